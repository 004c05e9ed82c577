// One hook class for each shape of Mesos' interface.
#pragma once

#include <optional>
#include <string>

#include "hook_calls.hpp"
#include "releases.hpp"

// What it returns is a `mesos::Hook*` to Mesos of this release, which owns it.
void* makeHook(const Release& release, HookCalls calls);

// What is not as expected in this release, in one line; nothing when all is well.
std::optional<std::string> hookProblem(const Release& release);
