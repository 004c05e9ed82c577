// One isolator class per shape of Mesos' interface; each in a file of its own, so that no two shapes meet.
#pragma once

#include "calls.hpp"

// Mesos 1.10 and 1.11. What it returns is a `mesos::slave::Isolator*` to Mesos, which owns it.
void* makeIsolator_1_10(Calls calls);
