// Which Mesos runs, and whether it is laid out as the declarations in abi/ say.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "releases.hpp"

// The release of Mesos that runs, as its module manager knows it ("1.11.0"); empty when it does not say.
std::string runningMesos();

// What is not as expected in this release, in one line; nothing when all is well. Looks only at the library's constant data
// and at objects that it makes itself.
std::optional<std::string> layoutProblem(const Release& release);

// The size of a `mesos::slave::ContainerState` in the library that runs.
std::size_t containerStateBytes();
