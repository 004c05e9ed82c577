#include "shape.hpp"

#include <stdexcept>
#include <utility>

#include "isolator.hpp"
#include "promise.hpp"

namespace {

using interface::Limits;
using mesos::ContainerID;
using mesos::slave::ContainerConfig;
using mesos::slave::ContainerLaunchInfo;
using mesos::slave::ContainerLimitation;
using process::Future;

// The first word of a message: its virtual table.
const void* table(const google::protobuf::MessageLite* message) {
  return *reinterpret_cast<const void* const*>(message);
}

// All messages of a container start with one virtual table. When the container is laid out otherwise than declared, or a
// message has another size, the second one would start somewhere in the first.
std::vector<std::string> serializedAll(const MessagePointers& messages) {
  std::vector<std::string> all;
  for (const google::protobuf::MessageLite* message : messages) {
    if (table(message) != table(messages.front())) {
      throw std::runtime_error("the messages that recover() gets are not laid out as in this release of Mesos");
    }
    all.push_back(message->SerializePartialAsString());
  }
  return all;
}

// Every function of every shape; those that the interface has override it, and the others are just there.
template <typename Interface>
class Isolator : public Interface {
public:
  Isolator(std::size_t containerStateBytes, Calls isolatorCalls)
    : containerState(containerStateBytes), calls(std::move(isolatorCalls)) {}

  bool supportsNesting() override { return true; }

  bool supportsStandalone() { return true; }

  Future<Nothing> recover(const MessageList& states, const MessageSet& orphans) {
    return recoverAll([&] { return states.messages(); }, orphans);
  }

  Future<Nothing> recover(const MessageVector& states, const MessageSet& orphans) {
    return recoverAll(
        [&] {
          if (states.rest(containerState) != 0) {
            throw std::runtime_error("the container states that recover() gets do not have the size Mesos says");
          }
          return states.messages(containerState);
        },
        orphans);
  }

  Future<Option<ContainerLaunchInfo>> prepare(const ContainerID& id, const ContainerConfig& config) override {
    return calls.prepare(id, config);
  }

  Future<Nothing> isolate(const ContainerID& id, pid_t pid) override { return calls.isolate(id, pid); }

  Future<ContainerLimitation> watch(const ContainerID& id) override { return calls.watch(id); }

  Future<Nothing> update(const ContainerID& id, const mesos::Resources& resources) {
    return calls.update(id, resources);
  }

  Future<Nothing> update(const ContainerID& id, const mesos::Resources& requests, const Limits&) {
    return calls.update(id, requests);
  }

  // Neither message has a field for a volume.
  Future<mesos::ResourceStatistics> usage(const ContainerID&) override {
    return completed(mesos::ResourceStatistics());
  }

  Future<mesos::ContainerStatus> status(const ContainerID&) override { return completed(mesos::ContainerStatus()); }

  Future<Nothing> cleanup(const ContainerID& id) override { return calls.cleanup(id); }

private:
  template <typename States>
  Future<Nothing> recoverAll(States states, const MessageSet& orphans) {
    try {
      return calls.recover(serializedAll(states()), serializedAll(orphans.messages()));
    } catch (const std::exception& error) {
      Future<Nothing> failed = pending<Nothing>();
      failed.fail(std::string("External volumes: ") + error.what());
      return failed;
    }
  }

  const std::size_t containerState;
  const Calls calls;
};

template <typename Interface>
void* make(std::size_t containerState, Calls calls) {
  Interface* isolator = new Isolator<Interface>(containerState, std::move(calls));
  return isolator;
}

}  // namespace

void* makeIsolator(Shape shape, std::size_t containerState, Calls calls) {
  switch (shape) {
    case Shape::LIST:
      return make<interface::Isolator_1_4>(containerState, std::move(calls));
    case Shape::STANDALONE:
      return make<interface::Isolator_1_5>(containerState, std::move(calls));
    case Shape::VECTOR:
      return make<interface::Isolator_1_7>(containerState, std::move(calls));
    case Shape::LIMITS:
      return make<interface::Isolator_1_10>(containerState, std::move(calls));
  }
  return nullptr;
}
