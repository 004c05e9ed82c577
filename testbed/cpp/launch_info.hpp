// The launch info of a container, as the JSON text the agent passes in the environment.
#pragma once

#include <string>

// `json` without the objects of its array "mounts" whose target's path ends in `ending`. Anything that does not look
// like a launch info comes back as it was: the library is the one that says what is wrong with it.
std::string withoutMountsAt(const std::string& json, const std::string& ending);
