// The isolator interface of Mesos 1.10 and 1.11: what its virtual table holds, in order, and what recover() iterates.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "messages.hpp"

namespace isolator_1_10 {

// The elements of recover()'s containers are stored by value, so here, and only here, a size has to be exact.
template <std::size_t SIZE>
class Message {
public:
  // Every message of one type starts with the same virtual table: the check that the stride is right.
  const void* table() const { return vtable; }

private:
  const void* vtable;
  unsigned char rest[SIZE - sizeof(void*)];
};

using ContainerState = Message<88>;
using ContainerID = Message<40>;

// The library's hash is not noexcept, so its nodes carry the hash code behind the value. Never called here: only
// the layout counts.
struct Hash {
  std::size_t operator()(const ContainerID&) const { return 0; }
};

struct Equal {
  bool operator()(const ContainerID&, const ContainerID&) const { return false; }
};

using ContainerStates = std::vector<ContainerState>;
using ContainerIDs = std::unordered_set<ContainerID, Hash, Equal>;
using Limits = google::protobuf::Map<std::string, mesos::Value_Scalar>;

class Isolator {
public:
  virtual ~Isolator() = default;
  virtual bool supportsNesting() = 0;
  virtual bool supportsStandalone() = 0;
  virtual process::Future<Nothing> recover(const ContainerStates& states, const ContainerIDs& orphans) = 0;
  virtual process::Future<Option<mesos::slave::ContainerLaunchInfo>> prepare(
      const mesos::ContainerID& id, const mesos::slave::ContainerConfig& config) = 0;
  virtual process::Future<Nothing> isolate(const mesos::ContainerID& id, pid_t pid) = 0;
  virtual process::Future<mesos::slave::ContainerLimitation> watch(const mesos::ContainerID& id) = 0;
  virtual process::Future<Nothing> update(
      const mesos::ContainerID& id, const mesos::Resources& requests, const Limits& limits) = 0;
  virtual process::Future<mesos::ResourceStatistics> usage(const mesos::ContainerID& id) = 0;
  virtual process::Future<mesos::ContainerStatus> status(const mesos::ContainerID& id) = 0;
  virtual process::Future<Nothing> cleanup(const mesos::ContainerID& id) = 0;
};

}  // namespace isolator_1_10
