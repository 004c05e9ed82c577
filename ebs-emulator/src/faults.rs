//! What can be made to go wrong: rules, set over the control socket, that strike operations as they pass.
//!
//! A rule names an operation, perhaps a volume and a host, what happens, whether before or after the work, and
//! how often. Rules of driver calls (`mount`, `unmount`, ...) strike outside the volume's turn, as a stuck driver
//! process would: a call that hangs before its work does it later, when the rule is cleared, whatever came in
//! between. Rules of storage steps (`attach`, `format`, `detach`) strike inside the turn: the storage itself is slow
//! or refuses, and other calls for the same volume wait.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::StorageError;

/// An operation that a rule can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// The driver call `Plugin.Activate`.
    Activate,
    /// The driver call `Create`.
    Create,
    /// The driver call `Remove`.
    Remove,
    /// The driver call `Mount`.
    Mount,
    /// The driver call `Unmount`.
    Unmount,
    /// The driver call `Path`.
    Path,
    /// The driver call `Get`.
    Get,
    /// The driver call `List`.
    List,
    /// The driver call `Capabilities`.
    Capabilities,
    /// The storage step that makes the loop device.
    Attach,
    /// The storage step that runs mkfs.
    Format,
    /// The storage step that takes the loop device away.
    Detach,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default();
        f.write_str(&name)
    }
}

/// When a rule strikes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Before anything was done.
    #[default]
    Before,
    /// When the work is done and the answer is due.
    After,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// Wait, then go on.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Answer with an error. With [`When::After`] the work is done all the same.
    Fail {
        /// The driver's words.
        message: String,
    },
    /// Wait until the rule is cleared, then go on.
    Hang,
    /// Answer with success and do nothing, as REX-Ray does with `create.disable`, `remove.disable`, and an Unmount that it takes for done.
    /// Only before the work.
    Pretend,
    /// Answer a Mount with this path and do nothing, as a driver does that takes a volume for mounted there. Only before the work.
    Mislead {
        /// The mountpoint that the driver names.
        mountpoint: PathBuf,
    },
    /// Close the connection without an answer.
    Drop,
    /// End the emulator at once, as SIGKILL does.
    Crash,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRule {
    /// The operation it strikes.
    pub operation: Operation,
    /// Only this volume: an id, or a name as the call spells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// Only on this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Before or after the work.
    #[serde(default)]
    pub when: When,
    /// What happens.
    pub action: Action,
    /// How often it strikes before it is spent; always, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

impl FaultRule {
    /// A rule that strikes `operation` on every volume and host, before the work, always.
    pub fn new(operation: Operation, action: Action) -> FaultRule {
        FaultRule {
            operation,
            volume: None,
            host: None,
            when: When::Before,
            action,
            times: None,
        }
    }

    /// The same for one volume only.
    pub fn on(mut self, volume: impl Into<String>) -> FaultRule {
        self.volume = Some(volume.into());
        self
    }

    /// The same on one host only.
    pub fn at(mut self, host: impl Into<String>) -> FaultRule {
        self.host = Some(host.into());
        self
    }

    /// The same once the work is done.
    pub fn after(mut self) -> FaultRule {
        self.when = When::After;
        self
    }

    /// The same for the next `times` strikes only.
    pub fn times(mut self, times: u32) -> FaultRule {
        self.times = Some(times);
        self
    }
}

/// A rule in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its number, by which it is cleared.
    pub id: u64,
    /// How often it has struck.
    pub struck: u32,
    /// The rule.
    #[serde(flatten)]
    pub rule: FaultRule,
}

/// Where an operation stands when the rules are asked.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) operation: Operation,
    pub(crate) when: When,
    pub(crate) host: String,
    /// Every name of the volume: as spelled in the call, its id, its tag.
    pub(crate) names: Vec<String>,
}

/// The rules in force.
#[derive(Debug)]
pub(crate) struct Faults {
    rules: Mutex<Rules>,
    /// Tells hanging operations that rules were cleared.
    cleared: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Rules {
    last_id: u64,
    active: Vec<Fault>,
}

impl Faults {
    pub(crate) fn new() -> Faults {
        Faults {
            rules: Mutex::default(),
            cleared: watch::Sender::new(()),
        }
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        // A panic while holding the lock leaves a usable list.
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a rule in force and returns its number.
    pub(crate) fn set(&self, rule: FaultRule) -> u64 {
        let mut rules = self.rules();
        rules.last_id += 1;
        let id = rules.last_id;
        rules.active.push(Fault { id, struck: 0, rule });
        id
    }

    /// All rules in force. A rule that is spent but still holds a hanging operation is among them.
    pub(crate) fn list(&self) -> Vec<Fault> {
        self.rules().active.clone()
    }

    /// Takes one rule, or all, out of force and wakes what hangs on it. Returns how many there were.
    pub(crate) fn clear(&self, id: Option<u64>) -> usize {
        let mut rules = self.rules();
        let before = rules.active.len();
        rules.active.retain(|fault| id.is_some_and(|id| fault.id != id));
        let gone = before - rules.active.len();
        drop(rules);
        self.cleared.send_replace(());
        gone
    }

    /// Lets every rule that matches strike, in the order they were set.
    ///
    /// # Errors
    /// [`StorageError::Injected`] or [`StorageError::NoAnswer`], as the rule says.
    pub(crate) async fn strike(&self, point: &Point) -> Result<(), StorageError> {
        for (id, action) in self.matching(point) {
            tracing::info!(fault = id, operation = %point.operation, host = point.host, ?action, "fault strikes");
            match action {
                Action::Delay { ms } => tokio::time::sleep(Duration::from_millis(ms)).await,
                Action::Fail { message } => return Err(StorageError::Injected(message)),
                Action::Hang => self.wait_until_cleared(id).await,
                Action::Pretend => return Err(StorageError::Pretended),
                Action::Mislead { mountpoint } => return Err(StorageError::Misled(mountpoint)),
                Action::Drop => return Err(StorageError::NoAnswer),
                Action::Crash => crash(),
            }
        }
        Ok(())
    }

    fn matching(&self, point: &Point) -> Vec<(u64, Action)> {
        let mut struck = Vec::new();
        let mut rules = self.rules();
        for fault in &mut rules.active {
            let rule = &fault.rule;
            let hit = rule.operation == point.operation
                && rule.when == point.when
                && rule.host.as_ref().is_none_or(|host| *host == point.host)
                && rule.volume.as_ref().is_none_or(|volume| point.names.contains(volume))
                && rule.times.is_none_or(|times| fault.struck < times);
            if hit {
                fault.struck += 1;
                struck.push((fault.id, rule.action.clone()));
            }
        }
        // Spent rules go, except those that something hangs on: they must stay for `clear` to release it.
        rules.active.retain(|fault| {
            fault.rule.action == Action::Hang || fault.rule.times.is_none_or(|times| fault.struck < times)
        });
        struck
    }

    async fn wait_until_cleared(&self, id: u64) {
        let mut cleared = self.cleared.subscribe();
        while self.rules().active.iter().any(|fault| fault.id == id) {
            if cleared.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Ends this process the way SIGKILL does: no destructor, no farewell.
fn crash() -> ! {
    // The kernel delivers it before the call returns; exit covers the impossible.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::exit(137)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(operation: Operation, volume: &str) -> Point {
        Point {
            operation,
            when: When::Before,
            host: "a".into(),
            names: vec![volume.into()],
        }
    }

    #[tokio::test]
    async fn a_rule_strikes_its_operation_and_volume_as_often_as_it_says() {
        let faults = Faults::new();
        let rule = FaultRule::new(Operation::Mount, Action::Fail { message: "no".into() })
            .on("v")
            .times(2);
        faults.set(rule);
        assert!(faults.strike(&point(Operation::Mount, "w")).await.is_ok());
        assert!(faults.strike(&point(Operation::Unmount, "v")).await.is_ok());
        assert!(faults.strike(&point(Operation::Mount, "v")).await.is_err());
        assert!(faults.strike(&point(Operation::Mount, "v")).await.is_err());
        assert!(faults.strike(&point(Operation::Mount, "v")).await.is_ok());
        assert!(faults.list().is_empty());
    }

    #[tokio::test]
    async fn what_hangs_goes_on_when_the_rule_is_cleared() {
        let faults = std::sync::Arc::new(Faults::new());
        let id = faults.set(FaultRule::new(Operation::Mount, Action::Hang).times(1));
        let hanging = tokio::spawn({
            let faults = faults.clone();
            async move { faults.strike(&point(Operation::Mount, "v")).await }
        });
        while faults.list()[0].struck == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!hanging.is_finished());
        assert_eq!(faults.clear(Some(id)), 1);
        assert!(hanging.await.unwrap().is_ok());
    }
}
