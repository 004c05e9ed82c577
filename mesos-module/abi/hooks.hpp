// The hook interface of Mesos: what its virtual table holds, in order, and the library's own
// functions that do nothing.
#pragma once

#include <map>
#include <string>

#include "messages.hpp"

// What a decorator answers. It is returned in memory of the caller, whose size only the library
// knows, so that it is never made or copied here: it is handed through from a function of the
// library.
template <typename T>
class Result {
public:
  Result(const Result&) = delete;
  ~Result();

private:
  void* state;
};

namespace mesos {

class Attributes;
class Environment;
class ExecutorInfo;
class FrameworkID;
class FrameworkInfo;
class Labels;
class SlaveInfo;
class TaskStatus;

// Read in place, and never made here.
class TaskInfo {
private:
  alignas(8) unsigned char room[ROOM];
};

// The library's own interface. Each function does nothing and answers that there is nothing to
// change; `this` and the arguments are not looked at. They are virtual there, which makes no
// difference to their names.
class Hook {
public:
  Result<Labels> masterLaunchTaskLabelDecorator(const TaskInfo&, const FrameworkInfo&, const SlaveInfo&);
  Result<Labels> slaveRunTaskLabelDecorator(
      const TaskInfo&, const ExecutorInfo&, const FrameworkInfo&, const SlaveInfo&);
  Try<Nothing> masterSlaveLostHook(const SlaveInfo&);
  Result<Environment> slaveExecutorEnvironmentDecorator(const ExecutorInfo&);
  Try<Nothing> slaveRemoveExecutorHook(const FrameworkInfo&, const ExecutorInfo&);
  Result<TaskStatus> slaveTaskStatusDecorator(const FrameworkID&, const TaskStatus&);
  Result<Resources> slaveResourcesDecorator(const SlaveInfo&);
  Result<Attributes> slaveAttributesDecorator(const SlaveInfo&);
};

// Not in every release (since 1.8), so that it must be looked up: its name, and how it is called.
constexpr const char* RESOURCE_DECORATOR =
    "_ZN5mesos4Hook33masterLaunchTaskResourceDecoratorERKNS_8TaskInfoERKNS_9ResourcesE";
using ResourceDecorator = Result<Resources> (*)(Hook*, const TaskInfo&, const Resources&);

// The functions of the interface that every release exports, in the order of the table. The
// compiler of the library puts them in this order too.
constexpr const char* HOOK_FUNCTIONS[] = {
    "_ZN5mesos4Hook30masterLaunchTaskLabelDecoratorERKNS_8TaskInfoERKNS_13FrameworkInfoERKNS_9SlaveInfoE",
    "_ZN5mesos4Hook26slaveRunTaskLabelDecoratorERKNS_8TaskInfoERKNS_12ExecutorInfoERKNS_13FrameworkInfoERKNS_9SlaveInfoE",
    "_ZN5mesos4Hook19masterSlaveLostHookERKNS_9SlaveInfoE",
    "_ZN5mesos4Hook33slaveExecutorEnvironmentDecoratorERKNS_12ExecutorInfoE",
    "_ZN5mesos4Hook23slaveRemoveExecutorHookERKNS_13FrameworkInfoERKNS_12ExecutorInfoE",
    "_ZN5mesos4Hook24slaveTaskStatusDecoratorERKNS_11FrameworkIDERKNS_10TaskStatusE",
    "_ZN5mesos4Hook23slaveResourcesDecoratorERKNS_9SlaveInfoE",
    "_ZN5mesos4Hook24slaveAttributesDecoratorERKNS_9SlaveInfoE",
};

}  // namespace mesos

namespace interface {

using Prelaunch = process::Future<Option<mesos::DockerTaskExecutorPrepareInfo>>;

class HookBegin {
public:
  virtual ~HookBegin() = default;
  virtual Result<mesos::Labels> masterLaunchTaskLabelDecorator(
      const mesos::TaskInfo& task, const mesos::FrameworkInfo& framework, const mesos::SlaveInfo& agent) = 0;
};

class HookWithResources : public HookBegin {
public:
  virtual Result<mesos::Resources> masterLaunchTaskResourceDecorator(
      const mesos::TaskInfo& task, const mesos::Resources& resources) = 0;
};

template <typename Before>
class HookEnd : public Before {
public:
  virtual Result<mesos::Labels> slaveRunTaskLabelDecorator(
      const mesos::TaskInfo& task,
      const mesos::ExecutorInfo& executor,
      const mesos::FrameworkInfo& framework,
      const mesos::SlaveInfo& agent) = 0;
  virtual Try<Nothing> masterSlaveLostHook(const mesos::SlaveInfo& agent) = 0;
  virtual Result<mesos::Environment> slaveExecutorEnvironmentDecorator(const mesos::ExecutorInfo& executor) = 0;
  virtual Prelaunch slavePreLaunchDockerTaskExecutorDecorator(
      const Option<mesos::TaskInfo>& task,
      const mesos::ExecutorInfo& executor,
      const std::string& name,
      const std::string& sandbox,
      const std::string& mapped,
      const Option<std::map<std::string, std::string>>& environment) = 0;
  virtual Try<Nothing> slavePostFetchHook(const mesos::ContainerID& id, const std::string& directory) = 0;
  virtual Try<Nothing> slaveRemoveExecutorHook(
      const mesos::FrameworkInfo& framework, const mesos::ExecutorInfo& executor) = 0;
  virtual Result<mesos::TaskStatus> slaveTaskStatusDecorator(
      const mesos::FrameworkID& framework, const mesos::TaskStatus& status) = 0;
  virtual Result<mesos::Resources> slaveResourcesDecorator(const mesos::SlaveInfo& agent) = 0;
  virtual Result<mesos::Attributes> slaveAttributesDecorator(const mesos::SlaveInfo& agent) = 0;
};

using Hook_1_4 = HookEnd<HookBegin>;
using Hook_1_8 = HookEnd<HookWithResources>;

}  // namespace interface
