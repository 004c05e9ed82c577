//! The calls of Mesos' isolator interface, as the shim makes them: decode, call the isolator,
//! encode.

use std::sync::Arc;

use cxx::{CxxString, CxxVector, UniquePtr};
use isolator::{ConfigError, StartError};

use crate::answer::{Promise, Reply};
use crate::decode::DecodeError;
use crate::instance::{self, Instance};
use crate::roots::Roots;
use crate::{decode, encode, ffi, guard};

/// The calls of Mesos' isolator interface.
pub struct Module {
    instance: Arc<Instance>,
    roots: Roots,
}

/// Why the module is not started; the agent then refuses to start too. Its text is one line for the
/// operator.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The parameters that Mesos handed over cannot be read.
    #[error("{0}")]
    Parameters(String),
    /// A parameter is not accepted.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The isolator itself does not start, for example since another agent holds its folder.
    #[error("{0}")]
    Start(#[from] StartError),
    /// The library's other module in this agent was started otherwise.
    #[error(
        "the modules mesos_external_volumes and mesos_external_volumes_hook share everything, and their parameters differ: {0}; give \
         both the same parameters in --modules"
    )]
    Differs(String),
    /// A bug, contained.
    #[error("{0}")]
    Panic(String),
}

/// Starts the isolator with the module's parameters (a `Parameters` message), and sends its log to
/// `log`.
///
/// # Errors
/// When a parameter is not accepted or the isolator does not start. The log is installed all the
/// same, unless it is the `log_level` that is wrong.
pub(crate) fn start(parameters: &[u8], log: UniquePtr<ffi::Log>) -> Result<Box<Module>, ModuleError> {
    let instance = instance::shared(parameters, log)?;
    instance.has_isolator();
    Ok(Box::new(Module::of(instance)))
}

impl Module {
    fn of(instance: Arc<Instance>) -> Self {
        let roots = Roots::default();
        Self { instance, roots }
    }

    /// What runs on this agent at its start: `ContainerState` and `ContainerID` messages. The
    /// answer has no bytes.
    ///
    /// One message that cannot be read fails the recovery, and the agent says so and does not
    /// start: to go on without that container would let go of its volumes while it writes to them.
    pub(crate) fn recover(
        &self,
        container_states: &CxxVector<CxxString>,
        orphan_ids: &CxxVector<CxxString>,
        answer: UniquePtr<ffi::Answer>,
    ) {
        self.on_recover(
            container_states.iter().map(CxxString::as_bytes),
            orphan_ids.iter().map(CxxString::as_bytes),
            answer,
        );
    }

    /// A container is about to be launched: a `ContainerID` and a `ContainerConfig`. The answer is
    /// a `ContainerLaunchInfo`, or no bytes when the container has no volume.
    pub(crate) fn prepare(&self, container_id: &[u8], config: &[u8], answer: UniquePtr<ffi::Answer>) {
        self.on_prepare(container_id, config, answer);
    }

    /// The container's process is there and waits: a `ContainerID` and the process. The answer has
    /// no bytes; a failure ends the container before its command runs, and its reason reaches the
    /// framework.
    pub(crate) fn isolate(&self, container_id: &[u8], pid: i32, answer: UniquePtr<ffi::Answer>) {
        self.on_isolate(container_id, pid, answer);
    }

    /// What the container holds from now on: its `Resource` messages. The answer has no bytes and
    /// never fails, since Mesos would destroy the container.
    pub(crate) fn update(&self, container_id: &[u8], resources: &CxxVector<CxxString>, answer: UniquePtr<ffi::Answer>) {
        self.on_update(container_id, resources.iter().map(CxxString::as_bytes), answer);
    }

    /// Answers with a `ContainerLimitation` when a volume of the container is lost; otherwise stays
    /// pending. Never fails, since Mesos would destroy the container.
    pub(crate) fn watch(&self, container_id: &[u8], answer: UniquePtr<ffi::Answer>) {
        self.on_watch(container_id, answer);
    }

    /// The container has ended. The answer has no bytes.
    pub(crate) fn cleanup(&self, container_id: &[u8], answer: UniquePtr<ffi::Answer>) {
        self.on_cleanup(container_id, answer);
    }

    fn on_recover<'a>(
        &self,
        states: impl Iterator<Item = &'a [u8]>,
        orphans: impl Iterator<Item = &'a [u8]>,
        reply: impl Reply,
    ) {
        let promise = Promise::new(reply);
        let call = || -> Result<(), DecodeError> {
            let mut running = Vec::new();
            for state in states {
                let (container, executor) = decode::recovered(state)?;
                self.roots.remember(container.id.clone(), executor);
                running.push(container);
            }
            let orphans = orphans.map(decode::container_id).collect::<Result<_, _>>()?;
            let answer = promise.share();
            self.instance
                .isolator
                .recover(running, orphans, move || answer.ready(&[]));
            Ok(())
        };
        settle(&promise, "recover", call);
    }

    fn on_prepare(&self, container_id: &[u8], config: &[u8], reply: impl Reply) {
        let promise = Promise::new(reply);
        let call = || -> Result<(), DecodeError> {
            let id = decode::container_id(container_id)?;
            let launch = decode::launch(config, self.roots.executor_of(&id))?;
            let answer = promise.share();
            self.instance
                .isolator
                .prepare(id, launch, move |prepared| match prepared {
                    Ok(Some(mounts)) => answer.ready(&encode::launch_info(&mounts)),
                    Ok(None) => answer.ready(&[]),
                    Err(error) => answer.fail(&guard::one_line(&error)),
                });
            Ok(())
        };
        settle(&promise, "prepare", call);
    }

    fn on_isolate(&self, container_id: &[u8], pid: i32, reply: impl Reply) {
        let promise = Promise::new(reply);
        let call = || -> Result<(), DecodeError> {
            let id = decode::container_id(container_id)?;
            let answer = promise.share();
            self.instance.isolator.isolate(&id, pid, move |bound| match bound {
                Ok(()) => answer.ready(&[]),
                Err(error) => answer.fail(&guard::one_line(&error)),
            });
            Ok(())
        };
        settle(&promise, "isolate", call);
    }

    fn on_update<'a>(&self, container_id: &[u8], resources: impl Iterator<Item = &'a [u8]>, reply: impl Reply) {
        let promise = Promise::new(reply);
        let call = || -> Result<(), DecodeError> {
            let id = decode::container_id(container_id)?;
            let held = decode::set_resources(resources)?;
            let answer = promise.share();
            self.instance.isolator.update(id, held, move || answer.ready(&[]));
            Ok(())
        };
        if let Some(reason) = failure("update", call) {
            tracing::error!(reason, "Ignored an update of a container's resources");
            promise.ready(&[]);
        }
    }

    fn on_watch(&self, container_id: &[u8], reply: impl Reply) {
        let call = || -> Result<(), DecodeError> {
            let id = decode::container_id(container_id)?;
            self.instance
                .isolator
                .watch(id, move |limitation| reply.ready(&encode::limitation(&limitation)));
            Ok(())
        };
        if let Some(reason) = failure("watch", call) {
            tracing::error!(reason, "The volumes of a container are not watched");
        }
    }

    fn on_cleanup(&self, container_id: &[u8], reply: impl Reply) {
        let promise = Promise::new(reply);
        let call = || -> Result<(), DecodeError> {
            let id = decode::container_id(container_id)?;
            self.roots.forget(&id);
            let answer = promise.share();
            self.instance.isolator.cleanup(id, move || answer.ready(&[]));
            Ok(())
        };
        settle(&promise, "cleanup", call);
    }
}

/// Makes a call; when it did not even reach the isolator, the promise fails with the reason.
pub(crate) fn settle<R: Reply>(promise: &Promise<R>, what: &str, call: impl FnOnce() -> Result<(), DecodeError>) {
    if let Some(reason) = failure(what, call) {
        promise.fail(&reason);
    }
}

pub(crate) fn failure(what: &str, call: impl FnOnce() -> Result<(), DecodeError>) -> Option<String> {
    match guard::contain(what, call) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(guard::one_line(&error)),
        Err(panic) => Some(panic),
    }
}

#[cfg(test)]
mod tests;
