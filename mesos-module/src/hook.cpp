#include "hook.hpp"

#include <dlfcn.h>

#include <utility>

#include "hooks.hpp"
#include "prelaunch.hpp"

namespace {

using mesos::ExecutorInfo;
using mesos::FrameworkInfo;
using mesos::SlaveInfo;
using mesos::TaskInfo;

void* resourceDecorator() { return ::dlsym(RTLD_DEFAULT, mesos::RESOURCE_DECORATOR); }

// Every function of every shape; those that the interface has override it, and the others are just
// there. What Mesos is answered comes from the library's own functions, so that nothing is changed.
template <typename Interface>
class Hook : public Interface {
public:
  explicit Hook(HookCalls hookCalls)
    : calls(std::move(hookCalls)),
      resources(reinterpret_cast<mesos::ResourceDecorator>(resourceDecorator())) {}

  Result<mesos::Labels> masterLaunchTaskLabelDecorator(
      const TaskInfo& task, const FrameworkInfo& framework, const SlaveInfo& agent) override {
    return unchanged().masterLaunchTaskLabelDecorator(task, framework, agent);
  }

  Result<mesos::Resources> masterLaunchTaskResourceDecorator(const TaskInfo& task, const mesos::Resources& held) {
    return resources(&unchanged(), task, held);
  }

  Result<mesos::Labels> slaveRunTaskLabelDecorator(
      const TaskInfo& task,
      const ExecutorInfo& executor,
      const FrameworkInfo& framework,
      const SlaveInfo& agent) override {
    calls.taskArrives(task, executor);
    return unchanged().slaveRunTaskLabelDecorator(task, executor, framework, agent);
  }

  Try<Nothing> masterSlaveLostHook(const SlaveInfo& agent) override {
    return unchanged().masterSlaveLostHook(agent);
  }

  Result<mesos::Environment> slaveExecutorEnvironmentDecorator(const ExecutorInfo& executor) override {
    return unchanged().slaveExecutorEnvironmentDecorator(executor);
  }

  interface::Prelaunch slavePreLaunchDockerTaskExecutorDecorator(
      const Option<TaskInfo>& task,
      const ExecutorInfo& executor,
      const std::string& name,
      const std::string& sandbox,
      const std::string& mapped,
      const Option<std::map<std::string, std::string>>&) override {
    return calls.prelaunch(task, executor, name, sandbox, mapped);
  }

  Try<Nothing> slavePostFetchHook(const mesos::ContainerID& id, const std::string&) override {
    // The library's own function of this name is not exported. This one answers the same and looks
    // at nothing.
    return unchanged().masterSlaveLostHook(reinterpret_cast<const SlaveInfo&>(id));
  }

  Try<Nothing> slaveRemoveExecutorHook(const FrameworkInfo& framework, const ExecutorInfo& executor) override {
    calls.executorRemoved(executor);
    return unchanged().slaveRemoveExecutorHook(framework, executor);
  }

  Result<mesos::TaskStatus> slaveTaskStatusDecorator(
      const mesos::FrameworkID& framework, const mesos::TaskStatus& status) override {
    calls.taskStatus(framework, status);
    return unchanged().slaveTaskStatusDecorator(framework, status);
  }

  Result<mesos::Resources> slaveResourcesDecorator(const SlaveInfo& agent) override {
    return unchanged().slaveResourcesDecorator(agent);
  }

  Result<mesos::Attributes> slaveAttributesDecorator(const SlaveInfo& agent) override {
    calls.agentStarts();
    return unchanged().slaveAttributesDecorator(agent);
  }

private:
  mesos::Hook& unchanged() { return *reinterpret_cast<mesos::Hook*>(this); }

  const HookCalls calls;
  const mesos::ResourceDecorator resources;
};

template <typename Interface>
void* make(HookCalls calls) {
  Interface* hook = new Hook<Interface>(std::move(calls));
  return hook;
}

}  // namespace

void* makeHook(const Release& release, HookCalls calls) {
  return release.hooksDecorateResources ? make<interface::Hook_1_8>(std::move(calls))
                                        : make<interface::Hook_1_4>(std::move(calls));
}

std::optional<std::string> hookProblem(const Release& release) {
  if ((resourceDecorator() != nullptr) != release.hooksDecorateResources) {
    return std::string("the hook interface ") + (release.hooksDecorateResources ? "lacks" : "has") +
        " the function masterLaunchTaskResourceDecorator";
  }
  // The library has no virtual table of this interface, and its functions lie in the order in which
  // they are declared.
  const char* before = nullptr;
  for (const char* name : mesos::HOOK_FUNCTIONS) {
    const char* found = static_cast<const char*>(::dlsym(RTLD_DEFAULT, name));
    if (found == nullptr || found <= before) {
      return std::string("function ") + name + " of the hook interface " +
          (found == nullptr ? "is not exported" : "is not in its place");
    }
    before = found;
  }
  return prelaunchProblem();
}
