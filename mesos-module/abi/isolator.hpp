// The isolator interface of Mesos: what its virtual table holds, in order, put together from what changed and what did not.
#pragma once

#include <sys/types.h>

#include <string>

#include "containers.hpp"
#include "messages.hpp"

namespace interface {

using Limits = google::protobuf::Map<std::string, mesos::Value_Scalar>;

class Nesting {
public:
  virtual ~Nesting() = default;
  virtual bool supportsNesting() = 0;
};

class Standalone : public Nesting {
public:
  virtual bool supportsStandalone() = 0;
};

template <typename Before, typename States>
class Launch : public Before {
public:
  virtual process::Future<Nothing> recover(const States& states, const MessageSet& orphans) = 0;
  virtual process::Future<Option<mesos::slave::ContainerLaunchInfo>> prepare(
      const mesos::ContainerID& id, const mesos::slave::ContainerConfig& config) = 0;
  virtual process::Future<Nothing> isolate(const mesos::ContainerID& id, pid_t pid) = 0;
  virtual process::Future<mesos::slave::ContainerLimitation> watch(const mesos::ContainerID& id) = 0;
};

template <typename Before>
class Update : public Before {
public:
  virtual process::Future<Nothing> update(const mesos::ContainerID& id, const mesos::Resources& resources) = 0;
};

template <typename Before>
class UpdateWithLimits : public Before {
public:
  virtual process::Future<Nothing> update(
      const mesos::ContainerID& id, const mesos::Resources& requests, const Limits& limits) = 0;
};

template <typename Before>
class End : public Before {
public:
  virtual process::Future<mesos::ResourceStatistics> usage(const mesos::ContainerID& id) = 0;
  virtual process::Future<mesos::ContainerStatus> status(const mesos::ContainerID& id) = 0;
  virtual process::Future<Nothing> cleanup(const mesos::ContainerID& id) = 0;
};

using Isolator_1_4 = End<Update<Launch<Nesting, MessageList>>>;
using Isolator_1_5 = End<Update<Launch<Standalone, MessageList>>>;
using Isolator_1_7 = End<Update<Launch<Standalone, MessageVector>>>;
using Isolator_1_10 = End<UpdateWithLimits<Launch<Standalone, MessageVector>>>;

}  // namespace interface
