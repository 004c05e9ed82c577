//! What the agent has not acknowledged yet.

use serde_json::{Value, json};

use crate::types::{ExecutorId, FrameworkId, TaskId, TaskInfo, TaskStatus, UpdateId};

/// Tasks and updates an executor has to keep until the agent has acknowledged them, in order.
///
/// An agent that comes back asks for both in SUBSCRIBE: an update it lacks would be lost, and a
/// task it launched just before it died, and that is not among the tasks, counts as never
/// launched. A task counts as acknowledged as soon as one of its updates is.
///
/// Calling order: [`subscribing`](Pending::subscribing) gives the body of each attempt, then
/// [`subscribed`](Pending::subscribed) or [`disconnected`](Pending::disconnected).
#[derive(Debug, Default)]
pub struct Pending {
    tasks: Vec<TaskInfo>,
    updates: Vec<(TaskStatus, Progress)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// To be sent.
    Unsent,
    /// Part of a SUBSCRIBE that has not been answered yet.
    InSubscribe,
    /// Taken by the agent; to be acknowledged.
    Sent,
}

impl Pending {
    /// Nothing yet.
    pub fn new() -> Pending {
        Pending::default()
    }

    /// A task has been received.
    pub fn launched(&mut self, task: TaskInfo) {
        self.tasks.push(task);
    }

    /// An update is to be sent. It needs a `uuid`: without one it is never acknowledged.
    pub fn add(&mut self, status: TaskStatus) {
        self.updates.push((status, Progress::Unsent));
    }

    /// The agent has acknowledged an update of this task. Gives the update, unless it is unknown.
    pub fn acknowledged(&mut self, task_id: &TaskId, uuid: &UpdateId) -> Option<TaskStatus> {
        let place = self
            .updates
            .iter()
            .position(|(status, _)| status.uuid.as_ref() == Some(uuid))?;
        self.tasks.retain(|task| task.task_id != *task_id);
        Some(self.updates.remove(place).0)
    }

    /// Whether no update is waiting.
    pub fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// The oldest update that is still to be sent by a call of its own.
    pub fn next_unsent(&self) -> Option<&TaskStatus> {
        self.updates
            .iter()
            .find(|(_, progress)| *progress == Progress::Unsent)
            .map(|(status, _)| status)
    }

    /// The agent has accepted the call with this update.
    pub fn sent(&mut self, uuid: &UpdateId) {
        for (status, progress) in &mut self.updates {
            if status.uuid.as_ref() == Some(uuid) {
                *progress = Progress::Sent;
            }
        }
    }

    /// The agent will never take this update; it is forgotten.
    pub fn refused(&mut self, uuid: &UpdateId) {
        self.updates.retain(|(status, _)| status.uuid.as_ref() != Some(uuid));
    }

    /// The body of a SUBSCRIBE with everything that is pending.
    pub fn subscribing(&mut self, framework_id: &FrameworkId, executor_id: &ExecutorId) -> Value {
        for (_, progress) in &mut self.updates {
            *progress = Progress::InSubscribe;
        }
        let updates: Vec<Value> = self
            .updates
            .iter()
            .map(|(status, _)| json!({"status": status}))
            .collect();
        json!({
            "type": "SUBSCRIBE", "framework_id": framework_id, "executor_id": executor_id,
            // The object has to be there even when there is nothing in it.
            "subscribe": {"unacknowledged_tasks": self.tasks, "unacknowledged_updates": updates},
        })
    }

    /// SUBSCRIBED has come: the agent has taken what the SUBSCRIBE carried.
    pub fn subscribed(&mut self) {
        for (_, progress) in &mut self.updates {
            if *progress == Progress::InSubscribe {
                *progress = Progress::Sent;
            }
        }
    }

    /// The attempt or the stream has failed: nothing counts as sent.
    pub fn disconnected(&mut self) {
        for (_, progress) in &mut self.updates {
            *progress = Progress::Unsent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Bytes, CommandInfo, TaskState};

    fn update(id: u8) -> TaskStatus {
        let mut status = TaskStatus::new("t".into(), TaskState::Running);
        status.uuid = Some(uuid(id));
        status
    }

    fn uuid(id: u8) -> UpdateId {
        UpdateId(Bytes(vec![id; 16]))
    }

    fn task() -> TaskInfo {
        TaskInfo::command("t", "S".into(), CommandInfo::shell("true"), Default::default())
    }

    fn unacknowledged(pending: &mut Pending) -> (usize, usize) {
        let subscribe = pending.subscribing(&"F".into(), &"t".into());
        let count = |field: &str| subscribe["subscribe"][field].as_array().unwrap().len();
        (count("unacknowledged_tasks"), count("unacknowledged_updates"))
    }

    #[test]
    fn a_task_is_told_until_one_of_its_updates_is_acknowledged() {
        let mut pending = Pending::new();
        assert_eq!(unacknowledged(&mut pending), (0, 0));
        pending.launched(task());
        pending.add(update(1));
        pending.add(update(2));
        assert_eq!(unacknowledged(&mut pending), (1, 2));
        assert_eq!(pending.acknowledged(&"t".into(), &uuid(1)), Some(update(1)));
        assert_eq!(pending.acknowledged(&"t".into(), &uuid(1)), None);
        assert_eq!(unacknowledged(&mut pending), (0, 1));
    }

    #[test]
    fn updates_are_sent_in_order_and_once() {
        let mut pending = Pending::new();
        pending.add(update(1));
        pending.add(update(2));
        assert_eq!(pending.next_unsent(), Some(&update(1)));
        pending.sent(&uuid(1));
        assert_eq!(pending.next_unsent(), Some(&update(2)));
        pending.sent(&uuid(2));
        assert_eq!(pending.next_unsent(), None);
        assert!(!pending.is_empty());
    }

    #[test]
    fn an_update_made_while_subscribing_is_not_lost() {
        let mut pending = Pending::new();
        pending.add(update(1));
        pending.subscribing(&"F".into(), &"t".into());
        pending.add(update(2));
        pending.subscribed();
        assert_eq!(pending.next_unsent(), Some(&update(2)));
    }

    #[test]
    fn after_a_break_everything_is_told_again() {
        let mut pending = Pending::new();
        pending.add(update(1));
        pending.sent(&uuid(1));
        pending.disconnected();
        assert_eq!(unacknowledged(&mut pending), (0, 1));
        pending.subscribed();
        assert_eq!(pending.next_unsent(), None);
    }

    #[test]
    fn a_refused_update_does_not_block_later_ones() {
        let mut pending = Pending::new();
        pending.add(update(1));
        pending.add(update(2));
        pending.refused(&uuid(1));
        assert_eq!(pending.next_unsent(), Some(&update(2)));
    }
}
