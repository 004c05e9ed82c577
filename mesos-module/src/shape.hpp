// One isolator class for each shape of Mesos' interface.
#pragma once

#include <cstddef>

#include "calls.hpp"
#include "releases.hpp"

// What it returns is a `mesos::slave::Isolator*` to Mesos of that shape, which owns it. `containerState` is the size of that
// message in the running library.
void* makeIsolator(Shape shape, std::size_t containerState, Calls calls);
