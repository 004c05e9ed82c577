#include "layout.hpp"

#include <array>
#include <cstring>

#include "modules.hpp"
#include "promise.hpp"

namespace {

using mesos::slave::ContainerLaunchInfo;

template <typename T>
bool fresh(process::Future<T>& future) {
  const auto& state = future.state();
  return !state.lock && state.state == process::Future<T>::State::PENDING && !state.discard && !state.associated &&
      state.abandoned;
}

// A future that was just made, one that was set, and one that failed.
template <typename T>
bool futureAsDeclared(const T& value) {
  using State = typename process::Future<T>::State;
  process::Future<T> made;
  process::Future<T> set;
  process::Future<T> failed;
  if (!fresh(made) || !fresh(set) || !fresh(failed)) {
    return false;
  }
  return set.set(value) && set.state().state == State::READY && failed.fail("checked") &&
      failed.state().state == State::FAILED && fresh(made);
}

// clone_namespaces: [0x20000], a launch info that goes through the library's future and comes out as it went in.
bool launchInfoAsDeclared() {
  static constexpr std::array<char, 4> WIRE = {'\x20', '\x80', '\x80', '\x08'};
  ContainerLaunchInfo info;
  if (!asMessage(info).ParsePartialFromArray(WIRE.data(), static_cast<int>(WIRE.size()))) {
    return false;
  }
  process::Future<Option<ContainerLaunchInfo>> some = completed(Option<ContainerLaunchInfo>(info));
  process::Future<Option<ContainerLaunchInfo>> none = completed(Option<ContainerLaunchInfo>());
  return none.get().isNone() && some.get().isSome() &&
      asMessage(some.get().get()).SerializePartialAsString() == std::string(WIRE.data(), WIRE.size());
}

}  // namespace

std::optional<std::string> layoutProblem() {
  if (!futureAsDeclared(Nothing()) || !futureAsDeclared(Option<ContainerLaunchInfo>()) ||
      !futureAsDeclared(mesos::slave::ContainerLimitation()) || !futureAsDeclared(mesos::ResourceStatistics()) ||
      !futureAsDeclared(mesos::ContainerStatus())) {
    return "a future of libprocess is not laid out as in Mesos " MESOS_VERSION;
  }
  if (!launchInfoAsDeclared()) {
    return "an optional launch info is not laid out as in Mesos " MESOS_VERSION;
  }
  return std::nullopt;
}

std::string runningMesos() {
  // Walked, not looked up: a lookup would have to hash as the library does.
  for (const auto& [kind, version] : mesos::modules::ModuleManager::kindToVersion) {
    if (kind == "Isolator") {
      return version;
    }
  }
  return "";
}
