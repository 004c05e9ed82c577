//! What Mesos tells its hooks, as the shim hands it over: decode, tell the isolator, encode.

use std::sync::Arc;

use cxx::{CxxString, UniquePtr};

use crate::answer::{Promise, Reply};
use crate::decode::DecodeError;
use crate::instance::{self, Instance};
use crate::module::{ModuleError, failure, settle};
use crate::{decode, ffi, guard};

/// The functions of Mesos' hook interface that tell something.
pub struct HookModule {
    instance: Arc<Instance>,
    /// The agent's release of Mesos.
    mesos: String,
}

/// Starts the hook with its parameters (a `Parameters` message) on a release of Mesos, and sends
/// its log to `log`.
///
/// # Errors
/// As for the isolator; and when that was started with other parameters.
pub(crate) fn start_hook(
    parameters: &[u8],
    mesos: &CxxString,
    log: UniquePtr<ffi::Log>,
) -> Result<Box<HookModule>, ModuleError> {
    let instance = instance::shared(parameters, log)?;
    let mesos = mesos.to_string_lossy().into_owned();
    Ok(Box::new(HookModule { instance, mesos }))
}

impl HookModule {
    /// The agent has made its containerizers and has not recovered yet.
    pub(crate) fn agent_starts(&self) {
        tell("slaveAttributesDecorator", || {
            self.instance.agent_starts();
            Ok(())
        });
    }

    /// The agent was handed a task: a `TaskInfo` and the `ExecutorInfo` of the executor that will
    /// run it.
    pub(crate) fn task_arrives(&self, task: &[u8], executor: &[u8]) {
        tell("slaveRunTaskLabelDecorator", || {
            self.instance.isolator.task_arrives(decode::arriving(task, executor)?);
            Ok(())
        });
    }

    /// A Docker container is about to be launched: a `TaskInfo` of a task with a command, no bytes
    /// of an executor; the `ExecutorInfo`; the container's name, its sandbox on the host, and where
    /// it will see that. The answer has no bytes; a failure ends the launch, and its reason reaches
    /// the framework.
    pub(crate) fn prelaunch(
        &self,
        task: &[u8],
        executor: &[u8],
        name: &[u8],
        sandbox: &[u8],
        mapped: &[u8],
        answer: UniquePtr<ffi::Answer>,
    ) {
        let told = decode::Prelaunch {
            task,
            executor,
            name,
            sandbox,
            mapped,
            mesos: &self.mesos,
        };
        self.on_prelaunch(&told, answer);
    }

    fn on_prelaunch(&self, told: &decode::Prelaunch<'_>, reply: impl Reply) {
        let promise = Promise::new(reply);
        let call = || -> Result<(), DecodeError> {
            let (id, launch) = decode::docker_launch(told)?;
            let answer = promise.share();
            self.instance
                .isolator
                .prelaunch(id, launch, move |launched| match launched {
                    Ok(()) => answer.ready(&[]),
                    Err(error) => answer.fail(&guard::one_line(&error)),
                });
            Ok(())
        };
        settle(&promise, "slavePreLaunchDockerTaskExecutorDecorator", call);
    }

    /// The agent forwards a `TaskStatus` of a framework (a `FrameworkID`).
    pub(crate) fn task_status(&self, framework_id: &[u8], status: &[u8]) {
        tell("slaveTaskStatusDecorator", || {
            if let Some((framework, task)) = decode::ended_task(framework_id, status)? {
                self.instance.isolator.task_ended(&framework, &task);
            }
            Ok(())
        });
    }

    /// The agent has forgotten an executor (an `ExecutorInfo`).
    pub(crate) fn executor_removed(&self, executor: &[u8]) {
        tell("slaveRemoveExecutorHook", || {
            if let Some((framework, executor)) = decode::executor(executor)? {
                self.instance.isolator.executor_ended(&framework, &executor);
            }
            Ok(())
        });
    }
}

/// Tells the isolator something; what cannot be read is in the log, since these functions of Mesos
/// have nobody to tell.
fn tell(what: &str, call: impl FnOnce() -> Result<(), DecodeError>) {
    if let Some(reason) = failure(what, call) {
        tracing::error!(reason, hook = what, "Ignored what Mesos told a hook");
    }
}
