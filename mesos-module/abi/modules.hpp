// The module manager, as far as it tells which Mesos is running.
#pragma once

#include <string>
#include <unordered_map>

namespace mesos {
namespace modules {

class ModuleManager {
public:
  // By kind of module the oldest release that may load it. For "Isolator" that is the running release, in all of them.
  // The library's map derives from this one and adds nothing to it.
  static std::unordered_map<std::string, std::string> kindToVersion;
};

}  // namespace modules
}  // namespace mesos
