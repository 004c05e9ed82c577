#include "calls.hpp"

#include <memory>
#include <utility>

#include "bytes.hpp"
#include "promise.hpp"

namespace {

// A pending future, and the answer that completes it.
template <typename T, Unanswered UNANSWERED = Unanswered::FAILS>
std::pair<process::Future<T>, std::unique_ptr<external_volumes::Answer>> promised() {
  process::Future<T> future = pending<T>();
  return {future, std::make_unique<Promise<T, UNANSWERED>>(future)};
}

}  // namespace

process::Future<Nothing> Calls::recover(
    const std::vector<std::string>& containerStates, const std::vector<std::string>& orphanIds) const {
  auto [future, answer] = promised<Nothing>();
  module->recover(containerStates, orphanIds, std::move(answer));
  return future;
}

process::Future<Option<mesos::slave::ContainerLaunchInfo>> Calls::prepare(
    const mesos::ContainerID& id, const mesos::slave::ContainerConfig& config) const {
  auto [future, answer] = promised<Option<mesos::slave::ContainerLaunchInfo>>();
  module->prepare(bytes(serialized(id)), bytes(serialized(config)), std::move(answer));
  return future;
}

process::Future<Nothing> Calls::isolate(const mesos::ContainerID& id, pid_t pid) const {
  auto [future, answer] = promised<Nothing>();
  module->isolate(bytes(serialized(id)), pid, std::move(answer));
  return future;
}

process::Future<mesos::slave::ContainerLimitation> Calls::watch(const mesos::ContainerID& id) const {
  auto [future, answer] = promised<mesos::slave::ContainerLimitation, Unanswered::STAYS_PENDING>();
  module->watch(bytes(serialized(id)), std::move(answer));
  return future;
}

process::Future<Nothing> Calls::update(const mesos::ContainerID& id, const mesos::Resources& held) const {
  const google::protobuf::RepeatedPtrField<mesos::Resource> resources = held;
  std::vector<std::string> messages;
  messages.reserve(static_cast<std::size_t>(resources.size()));
  for (int i = 0; i < resources.size(); ++i) {
    messages.push_back(resources[i].SerializePartialAsString());
  }
  auto [future, answer] = promised<Nothing>();
  module->update(bytes(serialized(id)), messages, std::move(answer));
  return future;
}

process::Future<Nothing> Calls::cleanup(const mesos::ContainerID& id) const {
  auto [future, answer] = promised<Nothing>();
  module->cleanup(bytes(serialized(id)), std::move(answer));
  return future;
}
