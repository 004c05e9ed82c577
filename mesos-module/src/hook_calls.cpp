#include "hook_calls.hpp"

#include <memory>
#include <utility>

#include "bytes.hpp"
#include "prelaunch.hpp"

namespace {

// Lets a Docker container be launched, or refuses it. A second answer does nothing.
class PrelaunchAnswer : public external_volumes::Answer {
public:
  explicit PrelaunchAnswer(interface::Prelaunch answered) : future(std::move(answered)) {}

  ~PrelaunchAnswer() override {
    refuseLaunch(future, "The external volumes module gave no answer; the agent's log says why");
  }

  void ready(rust::Slice<const std::uint8_t>) const override { letLaunch(future); }

  void fail(rust::Str reason) const override { refuseLaunch(future, std::string(reason)); }

private:
  mutable interface::Prelaunch future;
};

}  // namespace

void HookCalls::agentStarts() const { module->agent_starts(); }

void HookCalls::taskArrives(const mesos::TaskInfo& task, const mesos::ExecutorInfo& executor) const {
  module->task_arrives(bytes(serialized(task)), bytes(serialized(executor)));
}

interface::Prelaunch HookCalls::prelaunch(
    const Option<mesos::TaskInfo>& task,
    const mesos::ExecutorInfo& executor,
    const std::string& name,
    const std::string& sandbox,
    const std::string& mapped) const {
  interface::Prelaunch future = pendingPrelaunch();
  // A task is never without bytes: its name, id and agent are required.
  const std::string task_info = task.isSome() ? serialized(task.get()) : std::string();
  module->prelaunch(
      bytes(task_info),
      bytes(serialized(executor)),
      bytes(name),
      bytes(sandbox),
      bytes(mapped),
      std::make_unique<PrelaunchAnswer>(future));
  return future;
}

void HookCalls::taskStatus(const mesos::FrameworkID& framework, const mesos::TaskStatus& status) const {
  module->task_status(bytes(serialized(framework)), bytes(serialized(status)));
}

void HookCalls::executorRemoved(const mesos::ExecutorInfo& executor) const {
  module->executor_removed(bytes(serialized(executor)));
}
