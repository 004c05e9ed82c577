//! Why the tasks of a run have not finished, as far as the run itself knows.

use super::Run;
use crate::plan::PlannedTask;
use crate::state::{Millis, Standing};

/// Why a task does not run.
#[derive(Debug, serde::Serialize)]
pub struct Explanation {
    /// The task's name in the job file.
    pub task: String,
    /// The standing of the task in its job.
    pub standing: Standing,
    /// Why the task has not finished, one line for each reason. Empty when it has.
    pub why: Vec<String>,
}

impl Run {
    /// Why each task has not finished. What offers and claims have to do with it is for the service
    /// to add, so a task that only waits for an agent has no reason here.
    pub(crate) fn explanations(&self, now: Millis) -> Vec<Explanation> {
        self.plan.tasks.iter().map(|task| self.explanation(task, now)).collect()
    }

    fn explanation(&self, task: &PlannedTask, now: Millis) -> Explanation {
        let record = &self.state.tasks[task.name()];
        let standing = record.standing();
        let mut why = Vec::new();
        match standing {
            Standing::Waiting => {
                let open = task.task.after.iter().filter(|name| !self.state.is_finished(name));
                why.extend(open.map(|name| format!("it runs after '{name}', which is not finished")));
            }
            Standing::Ready if record.not_before_ms > now => {
                why.push(format!("it is launched again in {} ms", record.not_before_ms - now));
            }
            Standing::Ready => {}
            Standing::Active => {
                if let Some(attempt) = record.live() {
                    let state = attempt.state.as_ref().map_or("not confirmed", |state| state.as_str());
                    why.push(format!("it is {state} on {}", attempt.agent));
                    if attempt.is_in_doubt() {
                        why.push(super::doubt::remedy(attempt));
                    }
                }
            }
            Standing::Failed => why.extend(record.attempts.last().map(|last| super::failure(task.name(), last))),
            Standing::Finished => {}
        }
        Explanation {
            task: task.name().to_owned(),
            standing,
            why,
        }
    }
}
