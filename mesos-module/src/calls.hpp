// The calls of an isolator, the same for every shape of the interface: bytes in, a future out, at once.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "cxx-bridge/src/lib.rs.h"
#include "messages.hpp"
#include "process.hpp"

class Calls {
public:
  explicit Calls(rust::Box<external_volumes::Module> isolator) : module(std::move(isolator)) {}

  process::Future<Nothing> recover(
      const std::vector<std::string>& containerStates, const std::vector<std::string>& orphanIds) const;
  process::Future<Option<mesos::slave::ContainerLaunchInfo>> prepare(
      const mesos::ContainerID& id, const mesos::slave::ContainerConfig& config) const;
  process::Future<Nothing> isolate(const mesos::ContainerID& id, pid_t pid) const;
  process::Future<mesos::slave::ContainerLimitation> watch(const mesos::ContainerID& id) const;
  process::Future<Nothing> update(const mesos::ContainerID& id, const mesos::Resources& held) const;
  process::Future<Nothing> cleanup(const mesos::ContainerID& id) const;

private:
  rust::Box<external_volumes::Module> module;
};
