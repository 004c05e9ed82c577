//! When a Docker container has ended: what is known of each, and the rules. Pure.
//!
//! ```text
//!            prelaunch             bound                seen running, or seen to have been
//!  (unknown) ────────> Preparing ────────> Launching ─────────────────────────────────────> Seen ──> ended
//!                          └── Binding ──┘     │ Mesos says that its executor has ended          ^
//!                                              └─────────────────────────────────────────────────┘
//! ```
//!
//! A container has ended when no Docker container of its name runs *and* no process is there that
//! could start one: its executor, or `docker run`. Before it was seen for the first time Mesos may
//! still be fetching files or pulling the image, and there is nothing to be seen; then its end
//! needs Mesos' word as well, or that more time has passed than Mesos allows for that. What Mesos
//! says of its end is never enough.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::api::State;
use crate::types::{ContainerId, Containerizer};

/// A container of which nothing is to be seen is looked at again after this: a process is without
/// its name while it begins.
const SECOND_LOOK: Duration = Duration::from_secs(2);

/// What is to be seen of Docker containers on the host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    /// What the Docker daemon lists.
    pub(crate) containers: BTreeMap<String, State>,
    /// The names of containers that a process of the host has in its command line.
    pub(crate) processes: BTreeSet<String>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The container has ended: its volumes are to be unbound from these places, and let go.
    Ended(ContainerId, Vec<PathBuf>),
    /// The container runs and Mesos has given up on it: it is to be stopped.
    Stop(String),
}

/// A container to be followed.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    /// Its names in Docker: its own, and that of an executor that Mesos puts into a container of
    /// its own.
    names: [String; 2],
    framework: Option<String>,
    executor: Option<String>,
    containerizer: Containerizer,
    /// Where its volumes are bound.
    targets: Vec<PathBuf>,
    is_binding: bool,
    since: Instant,
    was_seen: bool,
    mesos_says_ended: bool,
    /// One of its volumes is lost.
    is_condemned: bool,
    absent_since: Option<Instant>,
    orphan_since: Option<Instant>,
}

impl Followed {
    /// A container that is about to be launched.
    pub(crate) fn launching(
        name: &str,
        containerizer: Containerizer,
        framework: Option<String>,
        executor: Option<String>,
        now: Instant,
    ) -> Self {
        Self {
            names: [name.to_owned(), format!("{name}.executor")],
            framework,
            executor,
            containerizer,
            targets: Vec::new(),
            is_binding: false,
            since: now,
            was_seen: false,
            mesos_says_ended: false,
            is_condemned: false,
            absent_since: None,
            orphan_since: None,
        }
    }

    /// A container that an earlier life of the agent launched, as its record tells. Nobody launches
    /// it any more.
    pub(crate) fn recorded(
        id: &ContainerId,
        containerizer: Containerizer,
        targets: Vec<PathBuf>,
        now: Instant,
    ) -> Self {
        let (framework, executor) = targets.iter().find_map(|target| run_of(target)).unzip();
        Self {
            targets,
            was_seen: true,
            ..Self::launching(&format!("mesos-{id}"), containerizer, framework, executor, now)
        }
    }
}

/// Whose sandbox a path lies in: `.../frameworks/<framework>/executors/<executor>/runs/...`.
fn run_of(target: &std::path::Path) -> Option<(String, String)> {
    let parts: Vec<_> = target
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    let run = parts
        .windows(5)
        .find(|part| part[0] == "frameworks" && part[2] == "executors" && part[4] == "runs")?;
    Some((run[1].clone().into_owned(), run[3].clone().into_owned()))
}

/// All Docker containers that have volumes.
#[derive(Debug)]
pub(crate) struct Tracker {
    containers: BTreeMap<ContainerId, Followed>,
    /// How long Mesos may take from the launch of a container to its executor's registration.
    launch_limit: Duration,
    /// For how long a container may run without its executor; none: for ever.
    orphan_grace: Option<Duration>,
    is_over: bool,
}

impl Tracker {
    pub(crate) fn new(launch_limit: Duration, orphan_grace: Option<Duration>) -> Self {
        Self {
            containers: BTreeMap::new(),
            launch_limit,
            orphan_grace,
            is_over: false,
        }
    }

    /// Nothing is to be followed any more.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.containers.is_empty()
    }

    /// Whether something may change that no event tells of.
    pub(crate) fn is_waiting(&self) -> bool {
        self.containers.values().any(|container| {
            container.mesos_says_ended
                || container.is_condemned
                || container.was_seen && container.absent_since.is_some()
                || container.orphan_since.is_some()
        })
    }

    pub(crate) fn follow(&mut self, id: ContainerId, container: Followed) {
        self.containers.insert(id, container);
    }

    pub(crate) fn forget(&mut self, id: &ContainerId) {
        self.containers.remove(id);
    }

    /// The volumes are about to be bound. False when the container is not followed any more:
    /// nothing is to be bound then.
    pub(crate) fn begin_binding(&mut self, id: &ContainerId, targets: Vec<PathBuf>) -> bool {
        let Some(container) = self.containers.get_mut(id) else {
            return false;
        };
        container.is_binding = true;
        container.targets = targets;
        true
    }

    /// The volumes are bound, and Mesos goes on with the launch.
    pub(crate) fn bound(&mut self, id: &ContainerId, now: Instant) {
        if let Some(container) = self.containers.get_mut(id) {
            container.is_binding = false;
            container.since = now;
        }
    }

    /// Mesos says that a task has ended. That of a task with a command is the end of its executor
    /// too, whose id is the task's.
    pub(crate) fn task_ended(&mut self, framework: &str, task: &str) {
        self.end_where(framework, task, |container| {
            container.containerizer == Containerizer::Docker
        });
    }

    /// Mesos says that an executor has ended.
    pub(crate) fn executor_ended(&mut self, framework: &str, executor: &str) {
        self.end_where(framework, executor, |_| true);
    }

    fn end_where(&mut self, framework: &str, executor: &str, which: impl Fn(&Followed) -> bool) {
        let named = |container: &&mut Followed| {
            container.framework.as_deref() == Some(framework) && container.executor.as_deref() == Some(executor)
        };
        for container in self
            .containers
            .values_mut()
            .filter(named)
            .filter(|container| which(container))
        {
            container.mesos_says_ended = true;
        }
    }

    /// A volume of the container is lost: it is to be stopped.
    pub(crate) fn condemn(&mut self, id: &ContainerId) {
        if let Some(container) = self.containers.get_mut(id) {
            container.is_condemned = true;
        }
    }

    /// What follows from what is seen now. A container that has ended is followed no longer.
    pub(crate) fn judge(&mut self, sight: &Sight, now: Instant) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        let mut ended = Vec::new();
        for (id, container) in &mut self.containers {
            if container.is_binding {
                continue;
            }
            let states = |wanted: State| {
                let listed = container
                    .names
                    .iter()
                    .find(|name| sight.containers.get(*name) == Some(&wanted));
                listed.cloned()
            };
            let (running, has_ended) = (states(State::Running), states(State::Ended).is_some());
            let has_process = container.names.iter().any(|name| sight.processes.contains(name));
            container.was_seen |= running.is_some() || has_process || has_ended;
            if let Some(name) = running {
                container.absent_since = None;
                verdicts.extend(container.stopped(name, has_process, self.orphan_grace, now));
                continue;
            }
            container.orphan_since = None;
            let absent_since = *container.absent_since.get_or_insert(now);
            if has_process {
                // It is looked at again, since nothing tells of the process' end.
                continue;
            }
            let launch_is_over = now.duration_since(container.since) > self.launch_limit;
            if !container.was_seen && !container.mesos_says_ended && !launch_is_over {
                container.absent_since = None;
                continue;
            }
            if has_ended || now.duration_since(absent_since) >= SECOND_LOOK {
                ended.push(id.clone());
            }
        }
        for id in ended {
            if let Some(container) = self.containers.remove(&id) {
                verdicts.push(Verdict::Ended(id, container.targets));
            }
        }
        verdicts
    }
}

impl Followed {
    /// Whether a container that runs is to be stopped now.
    fn stopped(&mut self, name: String, has_process: bool, grace: Option<Duration>, now: Instant) -> Option<Verdict> {
        if self.is_condemned {
            self.is_condemned = false;
            return Some(Verdict::Stop(name));
        }
        // An executor inside its container has no process with the container's name.
        let is_orphan =
            !has_process && (self.mesos_says_ended || self.containerizer == Containerizer::Docker && self.was_seen);
        if !is_orphan {
            self.orphan_since = None;
            return None;
        }
        let since = *self.orphan_since.get_or_insert(now);
        if now.duration_since(since) < grace? {
            return None;
        }
        // If the daemon does not do it, it is asked again after the same time.
        self.orphan_since = Some(now);
        Some(Verdict::Stop(name))
    }
}

#[cfg(test)]
mod tests;
