//! What operators see of the module besides its log: metrics and the audit log. Nothing here
//! decides anything, waits for anything but memory, or fails a container.
//!
//! [`Reports`] is called on whatever thread something happens. Two threads show the metrics, in a
//! file and on a socket; one writes the audit log.

mod audit;
mod exposition;
mod metrics;
mod usage;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{info, warn};
use volume_driver_client::Code;

use crate::config::Config;
use crate::error::{PrepareError, Refusal};
use crate::ledger::{CreateOutcome, Event, MountOutcome, Presence, RemoveOutcome, UNMOUNTS_OF_NOTHING, UnmountOutcome};
use crate::origin::Origin;
use crate::types::{BindMount, ContainerId, ContainerLaunch, VolumeFault, VolumeKey};

use audit::{Audit, Entry};
use metrics::Metrics;
use usage::UsageTracker;

pub(crate) use exposition::Exposition;

/// A problem of a volume in use that ends no container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Warning {
    /// The file system is out of space or inodes.
    Full,
    /// A probe hangs.
    NotAnswering,
    /// A probe fails in a way that says nothing about the volume's health.
    Unknown,
}

impl Warning {
    fn word(self) -> &'static str {
        match self {
            Warning::Full => "full",
            Warning::NotAnswering => "not_answering",
            Warning::Unknown => "unknown",
        }
    }

    fn labels(self, volume: &VolumeKey) -> [&str; 2] {
        [volume.driver.as_str(), self.word()]
    }
}

/// Takes note of what happens.
pub(crate) struct Reports {
    metrics: Metrics,
    audit: Option<Audit>,
    usage: UsageTracker,
    /// Whether the metrics may differ from those last written.
    changed: AtomicBool,
}

impl Reports {
    /// Opens nothing and starts no thread but the audit log's, when there is to be one.
    pub(crate) fn new(config: &Config) -> std::io::Result<Arc<Self>> {
        let metrics = Metrics::new();
        let audit = config.audit_log.as_deref();
        let audit = audit.map(|path| Audit::start(path, metrics.audit_lost.clone()));
        Ok(Arc::new(Self {
            metrics,
            audit: audit.transpose()?,
            usage: UsageTracker::default(),
            changed: AtomicBool::new(true),
        }))
    }

    /// A container wants volumes.
    pub(crate) fn requested(&self, id: &ContainerId, launch: &ContainerLaunch) {
        self.usage.begin(id, launch);
    }

    /// The policy refused a volume.
    pub(crate) fn denied(&self, by: &str) {
        self.metrics.denied.with_label_values(&[by]).inc();
    }

    /// Before the ledger takes in an event.
    pub(crate) fn event(&self, event: &Event) {
        self.changed.store(true, Ordering::Relaxed);
        match event {
            Event::Acquire {
                container, requests, ..
            } => self.usage.wants(container, requests),
            Event::Release { container } => self.released(container),
            Event::RetryDue { volume, .. } => self.metrics.retries.with_label_values(&[&volume.driver]).inc(),
            Event::Restore(restored) => {
                for restored in restored {
                    self.usage.restore(&restored.record);
                    if restored.presence == Presence::Gone {
                        self.released(&restored.record.container);
                    }
                }
            }
            _ => {}
        }
    }

    fn released(&self, container: &ContainerId) {
        let Some(left) = self.usage.end(container) else {
            return;
        };
        let held = left.granted.map(|since| since.elapsed());
        for used in &left.uses {
            info!(%container, slot = used.origin.recorded(), volume = used.volume.name, driver = used.volume.driver, "volume released by container");
            self.record(|| Entry::of_use("released", container, &left.who, used, held));
        }
    }

    /// A call to a driver is over, or could not begin.
    pub(crate) fn called(&self, volume: &VolumeKey, event: &Event, took: Duration) {
        let (operation, outcome, problem, mountpoint) = match event {
            Event::MountDone { outcome, .. } => match outcome {
                MountOutcome::Mounted(mountpoint) => ("mount", "ok", None, Some(&mountpoint.path)),
                MountOutcome::Failed(problem) => ("mount", "failed", Some(problem), None),
                MountOutcome::Refused(problem) => ("mount", "refused", Some(problem), None),
                MountOutcome::AttachedElsewhere(problem) => ("mount", "elsewhere", Some(problem), None),
                MountOutcome::Uncertain(problem) => ("mount", "uncertain", Some(problem), None),
            },
            Event::UnmountDone { outcome, .. } => match outcome {
                UnmountOutcome::Unmounted => ("unmount", "ok", None, None),
                UnmountOutcome::Failed(problem) => ("unmount", "failed", Some(problem), None),
                UnmountOutcome::NothingMounted(problem) => ("unmount", "nothing_mounted", Some(problem), None),
                UnmountOutcome::Uncertain(problem) => ("unmount", "uncertain", Some(problem), None),
                // The driver was only asked where the volume is.
                UnmountOutcome::Found(_) => return,
                UnmountOutcome::Unproven(problem) => ("unmount", "unproven", Some(problem), None),
                UnmountOutcome::NotSent(problem) => ("unmount", "not_sent", Some(problem), None),
            },
            Event::CreateDone { outcome, .. } => match outcome {
                CreateOutcome::Created => ("create", "ok", None, None),
                CreateOutcome::Failed(problem) | CreateOutcome::Refused(problem) => {
                    ("create", "failed", Some(problem), None)
                }
                CreateOutcome::Uncertain(problem) => ("create", "uncertain", Some(problem), None),
            },
            Event::RemoveDone { outcome, .. } => match outcome {
                RemoveOutcome::Removed => ("remove", "ok", None, None),
                RemoveOutcome::Missing => ("remove", "missing", None, None),
                RemoveOutcome::Failed(problem) => ("remove", "failed", Some(problem), None),
                RemoveOutcome::InUse(problem) => ("remove", "in_use", Some(problem), None),
                RemoveOutcome::Uncertain(problem) => ("remove", "uncertain", Some(problem), None),
                RemoveOutcome::NotSent(problem) => ("remove", "not_sent", Some(problem), None),
            },
            _ => return,
        };
        let code = match event {
            Event::MountDone { outcome, .. } => outcome.problem(),
            Event::UnmountDone { outcome, .. } => outcome.problem(),
            Event::CreateDone { outcome, .. } => outcome.problem(),
            Event::RemoveDone { outcome, .. } => outcome.problem(),
            _ => None,
        }
        .map(|(code, _)| code);
        self.changed.store(true, Ordering::Relaxed);
        if let Some(code) = code {
            let labels = [volume.driver.as_str(), operation, code.as_str()];
            self.metrics.driver_errors.with_label_values(&labels).inc();
        }
        self.metrics
            .driver_calls
            .with_label_values(&[volume.driver.as_str(), operation, outcome])
            .observe(took.as_secs_f64());
        let (name, driver, milliseconds) = (&volume.name, &volume.driver, took.as_millis() as u64);
        let line = match (operation, outcome) {
            ("mount", "uncertain") => "a Mount's outcome is uncertain; an Unmount will settle it",
            ("mount", "refused") => "the driver refused a Mount; an Unmount makes sure that nothing of it is left",
            ("unmount", "nothing_mounted") => {
                "the driver refused an Unmount although nothing is mounted; it will be repeated a few times"
            }
            ("remove", "in_use") => {
                "a Remove failed because the volume is in use; an Unmount comes before the next one"
            }
            ("unmount", "unproven") => {
                "the driver says that a volume is unmounted, and the mount table does not; it will be looked at again"
            }
            ("unmount", "failed") => "an Unmount failed; it will be retried",
            ("unmount", "uncertain") => "an Unmount's outcome is uncertain; it will be retried",
            ("unmount", "not_sent") => "an Unmount could not be sent; it will be retried",
            ("create", "uncertain") => "a Create's outcome is uncertain; a Remove will settle it",
            ("remove", "failed") => "a Remove failed; it will be retried",
            ("remove", "uncertain") => "a Remove's outcome is uncertain; it will be retried",
            ("remove", "not_sent") => "a Remove could not be sent; it will be retried",
            _ => "",
        };
        match (line, problem) {
            ("", _) => tracing::debug!(volume = name, driver, operation, outcome, milliseconds, "driver called"),
            (line, problem) => {
                let problem = problem.map_or("", |problem| &problem.words);
                warn!(volume = name, driver, milliseconds, problem, "{line}");
            }
        }
        let users = self.usage.users(volume, event, self.audit.is_some());
        self.record(|| Entry::of_call(operation, outcome, volume, &users, mountpoint, problem, took).coded(code));
    }

    /// A volume counts as unmounted although its driver keeps refusing the Unmount.
    pub(crate) fn settled(&self, volume: &VolumeKey, refusal: &str) {
        warn!(
            volume = volume.name,
            driver = volume.driver,
            refusal,
            "the volume counts as unmounted: nothing of it is mounted, and the driver refused {UNMOUNTS_OF_NOTHING} Unmounts in a \
             row; look at the storage whether the volume is still attached to this host"
        );
    }

    /// A prepare is answered.
    pub(crate) fn prepared(&self, id: &ContainerId, result: &Result<Vec<BindMount>, PrepareError>) {
        self.changed.store(true, Ordering::Relaxed);
        let label = match result {
            Ok(_) => "granted",
            Err(PrepareError::Deadline { .. } | PrepareError::Unresolved(_)) => "timed_out",
            Err(PrepareError::Destroyed | PrepareError::Stopped) => "abandoned",
            Err(_) => "refused",
        };
        self.metrics.prepares.with_label_values(&[label]).inc();
        let followed = self.usage.answered(id, result.is_ok());
        let waited = followed.as_ref().and_then(|followed| Some(followed.asked?.elapsed()));
        if let Some(waited) = waited {
            self.metrics.prepare_seconds.observe(waited.as_secs_f64());
        }
        match (result, followed) {
            (Ok(mounts), Some(followed)) => {
                for used in &followed.uses {
                    let mount = mounts.iter().find(|mount| mount.target == used.target);
                    let source = mount.map(|mount| &mount.source);
                    info!(container = %id, slot = used.origin.recorded(), volume = used.volume.name, driver = used.volume.driver,
                        source = %source.unwrap_or(&used.target).display(), target = %used.target.display(),
                        read_only = used.read_only, "volume ready for container");
                    self.record(|| Entry::of_use("granted", id, &followed.who, used, waited).at(source));
                }
            }
            (Ok(_), None) => {}
            (Err(problem), followed) => {
                warn!(container = %id, %problem, "container refused");
                let code = problem.code();
                if let Some(code) = code {
                    self.metrics.refusals.with_label_values(&[code.as_str()]).inc();
                }
                let who = followed.map(|followed| followed.who).unwrap_or_default();
                self.record(|| Entry::of_refusal(id, &who, problem.to_string(), waited).coded(code));
            }
        }
    }

    /// A container whose volumes are mounted on the host cannot have them after all.
    pub(crate) fn not_bound(&self, id: &ContainerId, code: Code, problem: &str) {
        self.changed.store(true, Ordering::Relaxed);
        warn!(container = %id, problem, "container refused");
        self.metrics.refusals.with_label_values(&[code.as_str()]).inc();
        let who = self.usage.who(id);
        self.record(|| Entry::of_refusal(id, &who, problem.to_owned(), None).coded(Some(code)));
    }

    /// A container whose labels cannot be read is refused before anything begins.
    pub(crate) fn refused_at_once(&self, id: &ContainerId, launch: &ContainerLaunch, problem: &Refusal) {
        self.usage.begin(id, launch);
        self.prepared(id, &Err(PrepareError::Request(problem.clone())));
    }

    /// A container is to end because of a volume.
    pub(crate) fn limited(
        &self,
        id: &ContainerId,
        origin: &Origin,
        volume: &VolumeKey,
        fault: VolumeFault,
        problem: &str,
    ) {
        self.changed.store(true, Ordering::Relaxed);
        let labels = [volume.driver.as_str(), fault.as_str(), fault.code().as_str()];
        self.metrics.limitations.with_label_values(&labels).inc();
        warn!(container = %id, slot = origin.recorded(), volume = volume.name, driver = volume.driver, problem,
            "ending a container because its volume has failed");
        self.record(|| {
            Entry::of_limitation(id, &self.usage.who(id), origin, volume, problem).coded(Some(fault.code()))
        });
    }

    /// Something about a volume in use needs an operator; its containers go on.
    pub(crate) fn warned(&self, volume: &VolumeKey, users: &BTreeSet<ContainerId>, warning: Warning, problem: &str) {
        self.changed.store(true, Ordering::Relaxed);
        self.metrics.warnings.with_label_values(&warning.labels(volume)).inc();
        let containers: Vec<String> = users.iter().map(ToString::to_string).collect();
        warn!(
            volume = volume.name,
            driver = volume.driver,
            containers = containers.join(","),
            problem,
            "a volume in use needs attention"
        );
    }

    /// The problem is over, or no container uses the volume any more.
    pub(crate) fn unwarned(&self, volume: &VolumeKey, warning: Warning, in_use: bool) {
        self.changed.store(true, Ordering::Relaxed);
        self.metrics.warnings.with_label_values(&warning.labels(volume)).dec();
        if in_use {
            info!(
                volume = volume.name,
                driver = volume.driver,
                was = warning.word(),
                "a volume in use is healthy again"
            );
        }
    }

    /// The metrics, without those that only the ledger knows.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        self.metrics.text()
    }

    fn record(&self, entry: impl FnOnce() -> Entry) {
        if let Some(audit) = &self.audit {
            audit.write(entry());
        }
    }

    /// Writes what the audit log still has to write.
    pub(crate) fn finish(&self) {
        if let Some(audit) = &self.audit {
            audit.finish();
        }
    }
}
