// What a hook is told, the same for every shape of the interface: bytes in, a future out, at once.
#pragma once

#include <string>

#include "cxx-bridge/src/lib.rs.h"
#include "hooks.hpp"

class HookCalls {
public:
  explicit HookCalls(rust::Box<external_volumes::HookModule> hookModule) : module(std::move(hookModule)) {}

  void agentStarts() const;
  void taskArrives(const mesos::TaskInfo& task, const mesos::ExecutorInfo& executor) const;
  interface::Prelaunch prelaunch(
      const Option<mesos::TaskInfo>& task,
      const mesos::ExecutorInfo& executor,
      const std::string& name,
      const std::string& sandbox,
      const std::string& mapped) const;
  void taskStatus(const mesos::FrameworkID& framework, const mesos::TaskStatus& status) const;
  void executorRemoved(const mesos::ExecutorInfo& executor) const;

private:
  rust::Box<external_volumes::HookModule> module;
};
