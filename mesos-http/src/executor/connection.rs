//! An executor's subscription to its agent.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use backoff::chance;
use crossbeam_channel::{Receiver, Sender};
use http_transport::Route;
use serde_json::{Value, json};

use super::{Environment, Event, Pending, Subscribed};
use crate::client::{Client, Header, Piece, StreamRequest, StreamStop};
use crate::error::{Action, Error};
use crate::types::{Bytes, StatusSource, TaskStatus, UpdateId};

/// The deadline of one UPDATE or MESSAGE. The agent is on the same machine.
const CALL_DEADLINE: Duration = Duration::from_secs(15);

/// How often a silent stream is looked after; only to notice that it was closed.
const TICK: Duration = Duration::from_secs(15);

/// The pause before an update the agent did not take is sent again.
const UPDATE_PAUSE: Duration = Duration::from_millis(250);

/// The shortest pause between attempts to subscribe.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// What a connection reports to its owner.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// Subscribed, for the first time or again.
    Subscribed(Box<Subscribed>),
    /// An event, other than SUBSCRIBED and HEARTBEAT.
    Event(Event),
    /// The agent is away; the connection tries again until the recovery timeout.
    Disconnected {
        /// The cause.
        error: Error,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// The agent does not accept this update and never will. It is forgotten.
    UpdateRefused {
        /// The update with state, reason and message.
        status: Box<TaskStatus>,
        /// The agent's words.
        error: Error,
    },
    /// The connection has ended, and so must the executor. This is the last notice.
    Ended {
        /// Why it does not try again.
        ending: Ending,
        /// What happened at last.
        error: Error,
    },
}

/// Why a connection does not try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The framework does not checkpoint: its executors end with their agent.
    NoCheckpoint,
    /// The agent did not come back within `MESOS_RECOVERY_TIMEOUT`.
    RecoveryTimeout,
    /// The agent refuses this executor.
    Refused,
    /// The connection was closed by this side.
    Closed,
}

/// An executor's connection to its agent.
///
/// One thread subscribes and reads events, another sends updates in order. Updates may be given
/// at any time, also while the agent is away: they are kept until it has acknowledged them.
#[derive(Debug)]
pub struct Connection {
    shared: Arc<Shared>,
    notices: Receiver<Notice>,
}

#[derive(Debug)]
struct Shared {
    environment: Environment,
    authorization: Option<String>,
    client: Client,
    route: Route,
    state: Mutex<State>,
    /// Signalled when there is something to send, and when `closed` becomes true.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    pending: Pending,
    subscribed: bool,
    stream: Option<StreamStop>,
    closed: bool,
}

impl Connection {
    /// Begins to subscribe.
    pub fn open(environment: Environment) -> Connection {
        let authorization = environment.token.as_ref().map(|token| format!("Bearer {token}"));
        let route = Route {
            socket: environment.domain_socket.clone(),
            ..Route::default()
        };
        let state = State {
            pending: Pending::new(),
            subscribed: false,
            stream: None,
            closed: false,
        };
        let shared = Arc::new(Shared {
            environment,
            authorization,
            client: Client::new(CALL_DEADLINE, route.clone()),
            route,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let (sender, notices) = crossbeam_channel::unbounded();
        let worker = Worker {
            shared: Arc::clone(&shared),
            notices: sender,
        };
        let reader = worker.clone();
        spawn("mesos-subscription", move || reader.read_for_ever());
        spawn("mesos-updates", move || worker.send_updates());
        Connection { shared, notices }
    }

    /// Where notices come. The channel has no limit and ends after [`Notice::Ended`].
    pub fn notices(&self) -> &Receiver<Notice> {
        &self.notices
    }

    /// Reports a status update. Id, time, source and executor are filled in. It returns at once;
    /// that the agent has written it down comes as [`Event::Acknowledged`] with the id.
    pub fn update(&self, mut status: TaskStatus) -> UpdateId {
        let uuid = UpdateId::random();
        status.uuid = Some(uuid.clone());
        status.source = Some(StatusSource::Executor);
        status.executor_id = Some(self.shared.environment.executor_id.clone());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        status.timestamp = Some(now.as_secs_f64());
        self.shared.lock().pending.add(status);
        self.shared.changed.notify_all();
        uuid
    }

    /// Whether every update has been acknowledged.
    pub fn is_all_acknowledged(&self) -> bool {
        self.shared.lock().pending.is_empty()
    }

    /// Sends bytes to the scheduler, without any guarantee.
    ///
    /// # Errors
    /// When the agent did not take them.
    pub fn message(&self, data: &[u8]) -> Result<(), Error> {
        self.shared
            .post("MESSAGE", "message", json!({"data": Bytes(data.to_vec())}))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let stream = {
            let mut state = self.shared.lock();
            state.closed = true;
            state.stream.take()
        };
        self.shared.changed.notify_all();
        if let Some(stream) = stream {
            stream.stop();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    thread::Builder::new()
        .name(name.to_string())
        .spawn(work)
        .expect("the system has no thread left for the connection to the agent");
}

impl Shared {
    /// The state is changed in single steps that do not panic half way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn headers(&self) -> Vec<Header<'_>> {
        self.authorization
            .as_deref()
            .map(|value| ("Authorization", value))
            .into_iter()
            .collect()
    }

    fn post(&self, kind: &str, field: &str, content: Value) -> Result<(), Error> {
        let Environment {
            framework_id,
            executor_id,
            url,
            ..
        } = &self.environment;
        let mut call = json!({"type": kind, "framework_id": framework_id, "executor_id": executor_id});
        call[field] = content;
        self.client
            .post(url, &self.headers(), call.to_string().as_bytes())
            .map(|_| ())
    }

    /// Waits, and tells whether the connection was closed meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), pause, |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }
}

/// A thread behind a connection.
#[derive(Clone)]
struct Worker {
    shared: Arc<Shared>,
    notices: Sender<Notice>,
}

impl Worker {
    /// Subscribes again and again.
    fn read_for_ever(self) {
        let environment = &self.shared.environment;
        let mut away_since = Instant::now();
        loop {
            let request = StreamRequest::new(TICK, &self.shared.route);
            let body = {
                let mut state = self.shared.lock();
                state.stream = Some(request.stopper());
                state
                    .pending
                    .subscribing(&environment.framework_id, &environment.executor_id)
            };
            let error = self.follow(request, &body).err().unwrap_or(Error::Ended);
            let (was_subscribed, closed) = {
                let mut state = self.shared.lock();
                state.pending.disconnected();
                (std::mem::replace(&mut state.subscribed, false), state.closed)
            };
            if was_subscribed {
                away_since = Instant::now();
            }
            if let Some(ending) = self.ending(&error, away_since, closed) {
                self.shared.lock().closed = true;
                self.shared.changed.notify_all();
                return self.send(Notice::Ended { ending, error });
            }
            let retry_in = environment
                .subscription_backoff_max
                .mul_f64(chance() / 2.0)
                .max(SHORTEST_PAUSE);
            tracing::debug!(%error, ?retry_in, "not subscribed");
            self.send(Notice::Disconnected { error, retry_in });
            self.shared.pause(retry_in);
        }
    }

    /// Why not to try again, if so.
    fn ending(&self, error: &Error, away_since: Instant, closed: bool) -> Option<Ending> {
        let environment = &self.shared.environment;
        match error {
            _ if closed => Some(Ending::Closed),
            _ if away_since.elapsed() >= environment.recovery_timeout => Some(Ending::RecoveryTimeout),
            // An agent that is there but still recovers; this happens to any executor.
            Error::NotReady { .. } | Error::Busy { .. } => None,
            _ if error.action() == Action::GiveUp => Some(Ending::Refused),
            _ if !environment.checkpoint => Some(Ending::NoCheckpoint),
            _ => None,
        }
    }

    /// Subscribes and reads until the stream breaks.
    fn follow(&self, request: StreamRequest, body: &Value) -> Result<(), Error> {
        let url = &self.shared.environment.url;
        let mut stream = request.send(url, &self.shared.headers(), body.to_string().as_bytes())?;
        loop {
            let Piece::Record(record) = stream.next()? else {
                continue;
            };
            let event = Event::from_json(&record).map_err(|e| Error::Unreadable {
                url: url.clone(),
                reason: format!("an event is not JSON: {e}"),
            })?;
            self.received(event);
        }
    }

    fn received(&self, event: Event) {
        match event {
            Event::Heartbeat => return,
            Event::Subscribed(subscribed) => {
                {
                    let mut state = self.shared.lock();
                    state.pending.subscribed();
                    state.subscribed = true;
                }
                self.shared.changed.notify_all();
                return self.send(Notice::Subscribed(subscribed));
            }
            Event::Launch(ref task) => self.shared.lock().pending.launched((**task).clone()),
            Event::LaunchGroup(ref group) => {
                let mut state = self.shared.lock();
                group.tasks.iter().for_each(|task| state.pending.launched(task.clone()));
            }
            Event::Acknowledged { ref task_id, ref uuid } => {
                let update = self.shared.lock().pending.acknowledged(task_id, uuid);
                if update.is_none() {
                    tracing::debug!(%task_id, %uuid, "an unknown update was acknowledged");
                }
            }
            _ => {}
        }
        self.send(Notice::Event(event));
    }

    /// Sends updates one after the other, because the agent takes their order for the task's.
    fn send_updates(self) {
        loop {
            let status = {
                let has_work = |state: &State| state.subscribed && state.pending.next_unsent().is_some();
                let idle = |state: &mut State| !(state.closed || has_work(state));
                let state = self.shared.changed.wait_while(self.shared.lock(), idle);
                let state = state.unwrap_or_else(PoisonError::into_inner);
                match state.pending.next_unsent() {
                    Some(status) if !state.closed => status.clone(),
                    _ => return,
                }
            };
            let Some(uuid) = status.uuid.clone() else { return };
            match self.shared.post("UPDATE", "update", json!({"status": status})) {
                Ok(()) => self.shared.lock().pending.sent(&uuid),
                Err(error @ (Error::Invalid { .. } | Error::Forbidden { .. })) => {
                    self.shared.lock().pending.refused(&uuid);
                    self.send(Notice::UpdateRefused {
                        status: Box::new(status),
                        error,
                    });
                }
                Err(error) => {
                    // Sent again, or carried by the next SUBSCRIBE. The agent knows an update it
                    // gets twice by its id.
                    tracing::debug!(%error, "an update was not taken");
                    self.shared.pause(UPDATE_PAUSE);
                }
            }
        }
    }

    /// Sends a notice to the owner of the connection. An error means that the connection was
    /// dropped, which ends this thread soon.
    fn send(&self, notice: Notice) {
        let _ = self.notices.send(notice);
    }
}
