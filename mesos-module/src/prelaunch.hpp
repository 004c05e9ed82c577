// The answer to Mesos' question before it starts a Docker container: a future of an optional
// message of which only its absence is ever given.
#pragma once

#include <optional>
#include <string>

#include "hooks.hpp"

// A future that nobody has answered yet.
interface::Prelaunch pendingPrelaunch();

// Completes it. Either may come from any thread, and the first one counts.
void letLaunch(interface::Prelaunch& future);
void refuseLaunch(interface::Prelaunch& future, const std::string& reason);

// What is not as expected, in one line; nothing when all is well.
std::optional<std::string> prelaunchProblem();
