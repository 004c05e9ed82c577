//! What a status update means.

use error_codes::Code;
use mesos_http::scheduler::Call;
use mesos_http::types::{Reason, TaskState, TaskStatus};

use super::doubt::remedy;
use super::{Effects, Run};
use crate::progress::Progress;
use crate::state::{Attempt, Change, Millis, Verdict};

impl Run {
    pub(super) fn update(&mut self, status: TaskStatus, now: Millis, effects: &mut Effects) {
        let acknowledge = Call::acknowledge(&status);
        self.reconciliation.answered(status.task_id.as_str());
        let found = self.state.tasks.iter_mut().find_map(|(name, record)| {
            let attempt = record
                .attempts
                .iter_mut()
                .find(|attempt| attempt.task_id == status.task_id.0)?;
            Some((name.clone(), attempt))
        });
        match found {
            Some((name, attempt)) if attempt.verdict.is_none() => {
                let reported_at = effects.progress.len();
                let is_new = note(attempt, &status, now);
                if is_new {
                    effects.save = true;
                    if attempt.is_in_doubt() {
                        effects.progress.push(Progress::InDoubt {
                            task: name.clone(),
                            task_id: attempt.task_id.clone(),
                            remedy: remedy(attempt),
                        });
                    }
                }
                if self.state.cancelled && may_be_killed(&status.state) {
                    // The KILL at the time of the cancellation did not reach it.
                    let agent = Some(attempt.agent.id.clone().into());
                    effects.calls.push(Call::kill(status.task_id.clone(), agent));
                }
                attempt.verdict = verdict(attempt);
                let verdict = attempt.verdict;
                self.concluded(&name, verdict, now, effects);
                let last = self.state.tasks[&name].attempts.last();
                if let Some(attempt) = last.filter(|_| is_new) {
                    // Whether the task has failed for good is known only now.
                    let state = Progress::state(&name, attempt, self.state.framework_id.as_deref(), now);
                    effects.progress.insert(reported_at, state);
                }
            }
            // The task was given up, or belongs to a state that was lost, but it runs. It must not
            // write while its successor does.
            _ if !status.state.is_terminal() && may_be_killed(&status.state) => {
                let agent = status.agent_id.clone();
                effects.calls.push(Call::kill(status.task_id.clone(), agent));
                effects.progress.push(Progress::Stray {
                    task_id: status.task_id.0,
                    state: status.state,
                });
            }
            _ => {}
        }
        effects.calls.extend(acknowledge);
    }

    /// Launches that ended without a fault of the task are made again, and a task that failed when
    /// it has retries: a bounded number of times each.
    fn concluded(&mut self, name: &str, verdict: Option<Verdict>, now: Millis, effects: &mut Effects) {
        let own_retries = self.plan.task(name).map_or(0, |task| task.task.retries);
        let cancelled = self.state.cancelled;
        let Some((verdict, record)) = verdict.zip(self.state.tasks.get_mut(name)) else {
            return;
        };
        let (again, retries, limit) = match verdict {
            Verdict::NeverLaunched => (verdict, record.in_a_row(verdict), self.rules.launch_retries),
            Verdict::VolumeElsewhere => (verdict, record.in_a_row(verdict), self.rules.volume_retries),
            Verdict::Drained => (verdict, record.in_a_row(verdict), self.rules.drain_retries),
            Verdict::Failed => (Verdict::FailedOnce, record.count(Verdict::FailedOnce) + 1, own_retries),
            Verdict::Finished | Verdict::FailedOnce => return,
        };
        let outcome = if retries > limit || cancelled {
            Verdict::Failed
        } else {
            again
        };
        if let Some(attempt) = record.attempts.last_mut() {
            attempt.verdict = Some(outcome);
        }
        if outcome == Verdict::Failed {
            return;
        }
        let pause_ms = self.pause(name, outcome, now);
        effects.progress.push(Progress::Retry {
            task: name.to_owned(),
            retry: retries,
            of: limit,
            pause_ms,
        });
    }
}

/// Records the update in the attempt. Returns whether the state is new.
fn note(attempt: &mut Attempt, status: &TaskStatus, now: Millis) -> bool {
    let message = status.message.clone().filter(|message| !message.is_empty());
    if attempt.state.as_ref() == Some(&status.state) {
        return false;
    }
    attempt.state = Some(status.state.clone());
    attempt.reason = status.reason.clone();
    attempt.message = message;
    let at_ms = status
        .timestamp
        .map_or(now, |seconds| (seconds * 1000.0).round().max(0.0) as Millis);
    attempt.changes.push(Change {
        state: status.state.clone(),
        at_ms,
    });
    true
}

/// What the attempt's state means for its task; `None` while it may still run. An unreachable, lost
/// or unknown task may: whatever it writes to stays its own until an agent or an operator says that
/// it is over. Whether the task began is judged by everything that is known of it: its own earlier
/// states, and what the operator stream showed.
fn verdict(attempt: &Attempt) -> Option<Verdict> {
    match attempt.state.as_ref()? {
        TaskState::Finished => Some(Verdict::Finished),
        TaskState::Dropped if !attempt.has_begun() => Some(Verdict::NeverLaunched),
        // The agent is there and does not know the task: it is the answer for a launch that the
        // master never got.
        TaskState::Gone if !attempt.has_begun() => Some(Verdict::NeverLaunched),
        // A master that does not know PARTITION_AWARE's states says so of an offer that was gone.
        TaskState::Lost if attempt.reason == Some(Reason::InvalidOffers) && !attempt.has_begun() => {
            Some(Verdict::NeverLaunched)
        }
        TaskState::Failed if is_volume_elsewhere(attempt) => Some(Verdict::VolumeElsewhere),
        // The operator moves what runs there; the task did nothing wrong.
        TaskState::Killed if attempt.reason == Some(Reason::AgentDraining) => Some(Verdict::Drained),
        state if state.is_terminal() => Some(Verdict::Failed),
        _ => None,
    }
}

/// Whether another user still has the volume, which ends without help. The agent's error code says
/// so; the text of the message is for people.
fn is_volume_elsewhere(attempt: &Attempt) -> bool {
    let code = attempt.message.as_deref().and_then(Code::of_message);
    attempt.reason == Some(Reason::ContainerLaunchFailed)
        && !attempt.claims.is_empty()
        && code.is_some_and(Code::passes_by_itself)
}

fn may_be_killed(state: &TaskState) -> bool {
    matches!(state, TaskState::Staging | TaskState::Starting | TaskState::Running)
}

/// One line on a task that failed.
pub(crate) fn failure(name: &str, attempt: &Attempt) -> String {
    let state = attempt.state.as_ref().map_or("never confirmed", |state| state.as_str());
    let reason = attempt
        .reason
        .as_ref()
        .map(|reason| format!(", {}", reason.as_str()))
        .unwrap_or_default();
    let message = attempt.message.as_deref().unwrap_or("no message");
    let line = foreign_text::one_line(message);
    format!(
        "task '{name}' ({}) on agent {}: {state}{reason}: {line}",
        attempt.task_id, attempt.agent
    )
}
