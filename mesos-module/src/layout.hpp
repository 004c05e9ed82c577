// Whether the library that runs is laid out as the declarations in abi/ say.
#pragma once

#include <optional>
#include <string>

// What is not as expected, in one line; nothing when all is well. Looks only at objects that it makes itself.
std::optional<std::string> layoutProblem();

// The release of Mesos that runs, as its module manager knows it; empty when it does not say.
std::string runningMesos();
