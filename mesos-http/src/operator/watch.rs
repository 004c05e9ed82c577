//! The operator's event stream: all tasks of all frameworks.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use backoff::{Backoff, chance};
use crossbeam_channel::{Receiver, Sender};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::PATH;
use super::answer::{AgentState, FrameworkState, Tasks};
use super::caller::Caller;
use crate::client::{Header, Piece, StreamRequest, StreamStop, authorization};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::types::{AgentId, FrameworkId, FrameworkInfo, Task, TaskState, TaskStatus};

/// How often a silent stream is looked after.
const TICK: Duration = Duration::from_secs(15);

/// Silence after which a stream counts as dead; the master's heartbeat comes every 15 seconds.
const LONGEST_SILENCE: Duration = Duration::from_secs(75);

/// The largest record that is accepted, in bytes: 1 GiB. The first one holds the whole state of the cluster in JSON, a few
/// kilobytes for each task that the master remembers. Memory is taken only for what arrives.
const MAX_RECORD: usize = 1 << 30;

/// What the cluster looked like at the beginning of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The agents.
    pub agents: Vec<AgentState>,
    /// The frameworks.
    pub frameworks: Vec<FrameworkState>,
    /// The tasks.
    pub tasks: Tasks,
}

/// A change in the cluster, or in the connection to it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// The whole state. It comes first, and again after every break: changes may have been missed.
    Snapshot(Box<Snapshot>),
    /// A task was launched.
    TaskAdded(Box<Task>),
    /// A task has another state.
    TaskUpdated {
        /// Its framework.
        framework_id: FrameworkId,
        /// The update with state, reason and message.
        status: Box<TaskStatus>,
        /// The latest state, which may be ahead of the update's.
        state: TaskState,
    },
    /// An agent has registered.
    AgentAdded(Box<AgentState>),
    /// An agent is gone.
    AgentRemoved(AgentId),
    /// A framework has subscribed for the first time.
    FrameworkAdded(Box<FrameworkState>),
    /// A framework has changed.
    FrameworkUpdated(Box<FrameworkState>),
    /// A framework has ended.
    FrameworkRemoved(Box<FrameworkInfo>),
    /// An event this crate has no type for, or could not read.
    Other {
        /// The type's name.
        kind: String,
        /// Why it could not be read; `None` for an unknown type.
        unreadable: Option<String>,
        /// All of it.
        event: Value,
    },
    /// The stream broke, or the master refuses it; whatever the reason is, it is opened again after a pause that grows to
    /// 15 seconds. Until the next snapshot nothing is known of what happens in the cluster.
    Disconnected(Error),
}

/// A stream of [`ClusterEvent`]s, kept up by a thread until it is dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    events: Receiver<ClusterEvent>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    closing: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stream: Option<StreamStop>,
    closed: bool,
}

impl Watch {
    pub(super) fn open(caller: Caller) -> Watch {
        let shared = Arc::new(Shared::default());
        let (sender, events) = crossbeam_channel::unbounded();
        let reader = Reader {
            shared: Arc::clone(&shared),
            events: sender,
            caller,
        };
        thread::Builder::new()
            .name("mesos-watch".to_string())
            .spawn(move || reader.run())
            .expect("the system has no thread left for the event stream");
        Watch { shared, events }
    }

    /// Where events come. The channel has no limit, and it never ends as long as the watch is not dropped.
    pub fn events(&self) -> &Receiver<ClusterEvent> {
        &self.events
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let stream = {
            let mut state = self.shared.lock();
            state.closed = true;
            state.stream.take()
        };
        self.shared.closing.notify_all();
        if let Some(stream) = stream {
            stream.stop();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reader {
    shared: Arc<Shared>,
    events: Sender<ClusterEvent>,
    caller: Caller,
}

impl Reader {
    fn run(self) {
        let mut turn = self.caller.endpoints.iter().cycle();
        let Some(mut first) = turn.next() else { return };
        let mut backoff = Backoff::new(Duration::from_millis(500), TICK);
        let mut master = first.clone();
        loop {
            let request = StreamRequest::new(TICK, &self.caller.route).with_max_record(MAX_RECORD);
            {
                let mut state = self.shared.lock();
                if state.closed {
                    return;
                }
                state.stream = Some(request.stopper());
            }
            let error = self
                .follow(request, &master, &mut backoff)
                .err()
                .unwrap_or(Error::Ended);
            if self.shared.lock().closed {
                return;
            }
            let leader: Option<Endpoint> = match &error {
                Error::NotLeading {
                    leader: Some(leader), ..
                } => leader.parse().ok(),
                _ => None,
            };
            // Masters that point at each other must not be asked in a busy loop: only the first
            // hop away from the given address is free.
            let free = master == *first && leader.as_ref().is_some_and(|leader| leader != first);
            if leader.is_none() {
                first = turn.next().unwrap_or(first);
            }
            master = leader.unwrap_or_else(|| first.clone());
            // A refusal is no end either: an operator corrects the password or the ACLs while the watch goes on, and a watch
            // that has ended would leave its reader blind without a word.
            if !free {
                self.send(ClusterEvent::Disconnected(error));
                let pause = backoff.next_pause(chance());
                let state = self.shared.lock();
                let _ = self
                    .shared
                    .closing
                    .wait_timeout_while(state, pause, |state| !state.closed);
            }
        }
    }

    fn follow(&self, request: StreamRequest, master: &Endpoint, backoff: &mut Backoff) -> Result<(), Error> {
        let body = json!({"type": "SUBSCRIBE"}).to_string();
        let headers: Vec<Header<'_>> = authorization(self.caller.authorization.as_deref()).collect();
        let mut stream = request.send(&master.url(PATH), &headers, body.as_bytes())?;
        loop {
            match stream.next()? {
                Piece::Tick if stream.silence() > LONGEST_SILENCE => {
                    let silence = stream.silence();
                    return Err(Error::Silent {
                        url: stream.url,
                        silence,
                    });
                }
                Piece::Tick => {}
                Piece::Record(record) => {
                    let event: Value = serde_json::from_slice(&record).map_err(|e| Error::Unreadable {
                        url: stream.url.clone(),
                        reason: format!("an event is not JSON: {e}"),
                    })?;
                    backoff.reset();
                    if let Some(event) = read(event) {
                        self.send(event);
                    }
                }
            }
        }
    }

    /// Sends an event to the owner of the watch. An error means that the watch was dropped, which
    /// ends this thread soon.
    fn send(&self, event: ClusterEvent) {
        let _ = self.events.send(event);
    }
}

#[derive(Deserialize)]
struct Updated {
    framework_id: FrameworkId,
    status: TaskStatus,
    state: TaskState,
}

/// `None` for a heartbeat.
fn read(event: Value) -> Option<ClusterEvent> {
    let kind = event["type"].as_str().unwrap_or_default().to_string();
    let read = match kind.as_str() {
        "HEARTBEAT" => return None,
        "SUBSCRIBED" => snapshot(&event["subscribed"]["get_state"]),
        "TASK_ADDED" => boxed(&event["task_added"]["task"]).map(ClusterEvent::TaskAdded),
        "TASK_UPDATED" => Updated::deserialize(&event["task_updated"]).map(|u| ClusterEvent::TaskUpdated {
            framework_id: u.framework_id,
            status: Box::new(u.status),
            state: u.state,
        }),
        "AGENT_ADDED" => boxed(&event["agent_added"]["agent"]).map(ClusterEvent::AgentAdded),
        "AGENT_REMOVED" => AgentId::deserialize(&event["agent_removed"]["agent_id"]).map(ClusterEvent::AgentRemoved),
        "FRAMEWORK_ADDED" => boxed(&event["framework_added"]["framework"]).map(ClusterEvent::FrameworkAdded),
        "FRAMEWORK_UPDATED" => boxed(&event["framework_updated"]["framework"]).map(ClusterEvent::FrameworkUpdated),
        "FRAMEWORK_REMOVED" => boxed(&event["framework_removed"]["framework_info"]).map(ClusterEvent::FrameworkRemoved),
        _ => {
            return Some(ClusterEvent::Other {
                kind,
                unreadable: None,
                event,
            });
        }
    };
    Some(read.unwrap_or_else(|error| ClusterEvent::Other {
        kind,
        unreadable: Some(error.to_string()),
        event,
    }))
}

fn boxed<T: DeserializeOwned>(place: &Value) -> Result<Box<T>, serde_json::Error> {
    T::deserialize(place).map(Box::new)
}

fn snapshot(state: &Value) -> Result<ClusterEvent, serde_json::Error> {
    let list = |message: &str, field: &str| match &state[message][field] {
        Value::Null => json!([]),
        list => list.clone(),
    };
    let tasks = match &state["get_tasks"] {
        Value::Null => Tasks::default(),
        tasks => Tasks::deserialize(tasks)?,
    };
    Ok(ClusterEvent::Snapshot(Box::new(Snapshot {
        agents: serde_json::from_value(list("get_agents", "agents"))?,
        frameworks: serde_json::from_value(list("get_frameworks", "frameworks"))?,
        tasks,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_cluster_is_an_empty_snapshot() {
        let event = read(json!({"type": "SUBSCRIBED", "subscribed": {"get_state": {}}})).unwrap();
        assert_eq!(event, ClusterEvent::Snapshot(Box::default()));
    }

    #[test]
    fn tasks_come_with_labels_and_resources() {
        let event = json!({"type": "TASK_ADDED", "task_added": {"task": {"name": "t",
            "task_id": {"value": "t"}, "framework_id": {"value": "F"}, "agent_id": {"value": "S"},
            "state": "TASK_STAGING", "labels": {"labels": [{"key": "volume.a", "value": "vol-1"}]},
            "resources": [{"name": "ebsvolumes", "type": "SET", "set": {"item": ["vol-1"]}}]}}});
        let Some(ClusterEvent::TaskAdded(task)) = read(event) else {
            panic!()
        };
        assert_eq!(task.labels.get("volume.a"), Some("vol-1"));
        assert!(task.resources[0].value.as_set().unwrap().contains("vol-1"));
    }

    #[test]
    fn unreadable_events_are_kept() {
        let event = read(json!({"type": "AGENT_REMOVED"})).unwrap();
        assert!(
            matches!(
                event,
                ClusterEvent::Other {
                    unreadable: Some(_),
                    ..
                }
            ),
            "{event:?}"
        );
        assert_eq!(read(json!({"type": "HEARTBEAT"})), None);
    }
}
