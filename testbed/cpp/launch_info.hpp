// The launch info of a container, as the JSON text the agent passes in the environment.
#pragma once

#include <string>

// `json` without the objects of its array "mounts" whose source is `source`. Anything that does not look like a launch
// info comes back as it was: the library is the one that says what is wrong with it.
std::string withoutMountsOf(const std::string& json, const std::string& source);
