#include <stdexcept>

#include "isolator_1_10.hpp"
#include "promise.hpp"
#include "shape.hpp"

namespace {

using isolator_1_10::ContainerIDs;
using isolator_1_10::ContainerStates;
using isolator_1_10::Limits;
using mesos::ContainerID;
using mesos::slave::ContainerConfig;
using mesos::slave::ContainerLaunchInfo;
using mesos::slave::ContainerLimitation;
using process::Future;

// The messages of a container that stores them by value. All start with one virtual table when their size is what the
// shape says; with any other size the second one would start somewhere in the first.
template <typename Messages>
std::vector<std::string> serializedAll(const Messages& messages) {
  std::vector<std::string> all;
  const void* table = nullptr;
  for (const auto& message : messages) {
    if (table != nullptr && message.table() != table) {
      throw std::runtime_error("the messages that recover() gets do not have the size of Mesos " MESOS_VERSION);
    }
    table = message.table();
    all.push_back(asMessage(message).SerializePartialAsString());
  }
  return all;
}

class Isolator : public isolator_1_10::Isolator {
public:
  explicit Isolator(Calls isolatorCalls) : calls(std::move(isolatorCalls)) {}

  bool supportsNesting() override { return true; }

  bool supportsStandalone() override { return true; }

  Future<Nothing> recover(const ContainerStates& states, const ContainerIDs& orphans) override {
    try {
      return calls.recover(serializedAll(states), serializedAll(orphans));
    } catch (const std::exception& error) {
      Future<Nothing> failed = pending<Nothing>();
      failed.fail(std::string("External volumes: ") + error.what());
      return failed;
    }
  }

  Future<Option<ContainerLaunchInfo>> prepare(const ContainerID& id, const ContainerConfig& config) override {
    return calls.prepare(id, config);
  }

  // The volumes are in the container's mounts by now; there is nothing to do with its process.
  Future<Nothing> isolate(const ContainerID&, pid_t) override { return completed(Nothing()); }

  Future<ContainerLimitation> watch(const ContainerID& id) override { return calls.watch(id); }

  Future<Nothing> update(const ContainerID& id, const mesos::Resources& requests, const Limits&) override {
    return calls.update(id, requests);
  }

  // Neither message has a field for a volume.
  Future<mesos::ResourceStatistics> usage(const ContainerID&) override {
    return completed(mesos::ResourceStatistics());
  }

  Future<mesos::ContainerStatus> status(const ContainerID&) override { return completed(mesos::ContainerStatus()); }

  Future<Nothing> cleanup(const ContainerID& id) override { return calls.cleanup(id); }

private:
  const Calls calls;
};

}  // namespace

void* makeIsolator_1_10(Calls calls) {
  isolator_1_10::Isolator* isolator = new Isolator(std::move(calls));
  return isolator;
}
