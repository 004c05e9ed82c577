//! A subscription that is kept up by a thread.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use backoff::chance;
use crossbeam_channel::{Receiver, Sender};
use http_transport::Route;

use super::{Attempt, Call, Effect, Event, Subscribed, Subscription};
use crate::client::{Client, Header, Piece, StreamRequest, StreamStop, basic};
use crate::endpoint::{Endpoint, EndpointError};
use crate::error::{Action, Error};
use crate::tls::Tls;
use crate::types::{FrameworkId, FrameworkInfo, OfferConstraints};

/// The deadline of ordinary calls: as long as a silent stream is believed in.
const CALL_DEADLINE: Duration = Duration::from_secs(75);

/// How soon the answer to SUBSCRIBE has to begin.
const SUBSCRIBE_DEADLINE: Duration = Duration::from_secs(15);

/// How often [`Caller::deliver`] sends a call that the master has surely not carried out.
const CALL_TRIES: u32 = 5;

/// The pause after the first of these tries; it doubles.
const FIRST_CALL_PAUSE: Duration = Duration::from_millis(200);

/// What a connection needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The masters, asked in turn for the leader. Not empty.
    pub masters: Vec<Endpoint>,
    /// The framework, with its id if it comes back to its tasks.
    pub framework: FrameworkInfo,
    /// Roles for which no offers are wanted at first.
    pub suppressed_roles: Vec<String>,
    /// Which agents' offers are wanted; `None`: all.
    pub offer_constraints: Option<OfferConstraints>,
    /// The deadline of ordinary calls. Default: 75 seconds.
    pub call_deadline: Duration,
    /// How soon the answer to SUBSCRIBE has to begin; also how often it is looked whether a stream
    /// has been silent for five heartbeats. Default: 15 seconds.
    pub subscribe_deadline: Duration,
    /// Principal and secret for HTTP basic authentication.
    pub credential: Option<(String, String)>,
    /// For masters whose address begins with `https://`; `None`: the authorities this host trusts.
    pub tls: Option<Tls>,
}

impl Config {
    /// The defaults, with masters such as `10.0.0.1:5050,10.0.0.2:5050`.
    ///
    /// # Errors
    /// When `masters` is not such a list.
    pub fn new(masters: &str, framework: FrameworkInfo) -> Result<Config, EndpointError> {
        Ok(Config {
            masters: Endpoint::parse_list(masters)?,
            framework,
            suppressed_roles: Vec::new(),
            offer_constraints: None,
            call_deadline: CALL_DEADLINE,
            subscribe_deadline: SUBSCRIBE_DEADLINE,
            credential: None,
            tls: None,
        })
    }
}

/// What a connection reports to its owner.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "events are few and moved seldom: a box would only stand in the way of every match"
)]
pub enum Notice {
    /// Subscribed, for the first time or again. The framework id must be on disk before the first
    /// launch. Offers of earlier subscriptions are void, and it is the time to reconcile.
    Connected(Subscribed),
    /// An event of the subscription, other than SUBSCRIBED, ERROR and HEARTBEAT.
    Event(Event),
    /// Not subscribed. The connection tries again by itself until it is closed.
    Disconnected {
        /// The cause.
        error: Error,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// It makes no sense to try again, or the connection was closed. This is the last notice.
    Failed(Error),
}

/// A framework's connection to the leading master.
///
/// A thread subscribes, reads events, and subscribes again when the stream breaks, falls silent
/// or another master leads, with pauses that grow to 15 seconds. Dropping the connection closes
/// it; that does not end the framework (see [`Call::Teardown`]): its tasks run on, and the master
/// waits for the framework's failover timeout.
#[derive(Debug)]
pub struct Connection {
    caller: Caller,
    notices: Receiver<Notice>,
}

/// Sends calls; cheap to clone and to give to other threads.
#[derive(Debug, Clone)]
pub struct Caller {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    authorization: Option<String>,
    state: Mutex<State>,
    /// Signalled when `closed` becomes true.
    closing: Condvar,
}

#[derive(Debug)]
struct State {
    subscription: Subscription,
    /// Ends the current stream.
    stream: Option<StreamStop>,
    closed: bool,
}

impl Connection {
    /// Begins to subscribe. It does not wait for the master: that it is subscribed comes as
    /// [`Notice::Connected`].
    ///
    /// # Panics
    /// When `config.masters` is empty, or the system has no thread left.
    pub fn open(config: Config) -> Connection {
        let mut subscription = Subscription::new(config.masters, config.framework);
        subscription.suppress(config.suppressed_roles);
        subscription.constrain(config.offer_constraints);
        let authorization = config.credential.map(|(principal, secret)| basic(&principal, &secret));
        let route = Route {
            tls: config.tls,
            ..Route::default()
        };
        let shared = Arc::new(Shared {
            client: Client::new(config.call_deadline, route.clone()),
            authorization,
            state: Mutex::new(State {
                subscription,
                stream: None,
                closed: false,
            }),
            closing: Condvar::new(),
        });
        let (sender, notices) = crossbeam_channel::unbounded();
        let reader = Reader {
            shared: Arc::clone(&shared),
            notices: sender,
            subscribe_deadline: config.subscribe_deadline,
            route,
        };
        thread::Builder::new()
            .name("mesos-scheduler".to_string())
            .spawn(move || reader.run())
            .expect("the system has no thread left for the subscription");
        Connection {
            caller: Caller { shared },
            notices,
        }
    }

    /// Where notices come. The channel has no limit and ends after [`Notice::Failed`].
    pub fn notices(&self) -> &Receiver<Notice> {
        &self.notices
    }

    /// Sends a call; see [`Caller::call`].
    ///
    /// # Errors
    /// See [`Caller::call`].
    pub fn call(&self, call: &Call) -> Result<(), Error> {
        self.caller.call(call)
    }

    /// Sends a call, several times if need be; see [`Caller::deliver`].
    ///
    /// # Errors
    /// See [`Caller::deliver`].
    pub fn deliver(&self, call: &Call) -> Result<(), Error> {
        self.caller.deliver(call)
    }

    /// A handle for calls from other threads. It does not keep the connection open.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// The framework's id, as soon as it has one.
    pub fn framework_id(&self) -> Option<FrameworkId> {
        self.caller.framework_id()
    }

    /// Ends the connection, as dropping it does.
    pub fn close(self) {}
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.caller.shared.close();
    }
}

impl Caller {
    /// The framework's id, as soon as it has one.
    pub fn framework_id(&self) -> Option<FrameworkId> {
        self.shared.lock().subscription.framework_id().cloned()
    }

    /// Sends a call and waits until the master has accepted it, at most for the deadline of the
    /// configuration. Accepted is not done: what comes of it comes as events.
    ///
    /// A teardown that is accepted also closes the connection.
    ///
    /// # Errors
    /// [`Error::action`] tells what to do. When it is [`Action::Resubscribe`] or [`Action::Reconcile`], the call is lost
    /// and the connection subscribes again: see [`Subscription::lost`].
    pub fn call(&self, call: &Call) -> Result<(), Error> {
        let is_lost = |error: &Error| matches!(error.action(), Action::Resubscribe | Action::Reconcile);
        self.call_once(call, is_lost)
    }

    /// Sends a call as [`call`](Self::call) does, and again, up to five times in about three seconds, while the master
    /// has surely not carried it out.
    ///
    /// # Errors
    /// The call is lost, whatever the reason is, and the connection subscribes again: see [`Subscription::lost`].
    pub fn deliver(&self, call: &Call) -> Result<(), Error> {
        let mut pause = FIRST_CALL_PAUSE;
        for _ in 1..CALL_TRIES {
            match self.call_once(call, |error| error.action() != Action::Retry) {
                Err(error) if error.action() == Action::Retry => thread::sleep(pause),
                other => return other,
            }
            pause *= 2;
        }
        self.call_once(call, |_| true)
    }

    fn call_once(&self, call: &Call, is_lost: impl Fn(&Error) -> bool) -> Result<(), Error> {
        let (target, framework_id) = {
            let state = self.shared.lock();
            let target = state.subscription.call_target();
            (target, state.subscription.framework_id().cloned())
        };
        let (Some(target), Some(framework_id)) = (target, framework_id) else {
            return Err(Error::NotSubscribed(None));
        };
        let (url, stream_id) = &target;
        let mut headers: Vec<Header<'_>> = Vec::new();
        if let Some(stream_id) = stream_id {
            headers.push(("Mesos-Stream-Id", stream_id));
        }
        headers.extend(self.shared.authorization());
        let body = call.to_json(&framework_id).to_string();
        tracing::debug!(call = call.kind(), url, "calling the master");
        match self.shared.client.post(url, &headers, body.as_bytes()) {
            Ok(_) => {
                self.shared.lock().subscription.accepted(call);
                if *call == Call::Teardown {
                    self.shared.close();
                }
                Ok(())
            }
            Err(error) => {
                if is_lost(&error) {
                    self.shared.lost(&target);
                }
                Err(error)
            }
        }
    }
}

impl Shared {
    /// The state is changed in single steps that do not panic half way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn authorization(&self) -> Option<Header<'_>> {
        self.authorization.as_deref().map(|value| ("Authorization", value))
    }

    fn close(&self) {
        let stream = {
            let mut state = self.lock();
            state.closed = true;
            state.stream.take()
        };
        self.closing.notify_all();
        if let Some(stream) = stream {
            stream.stop();
        }
    }

    /// A call that was made for `target` is lost: ends its stream, unless it is another one by now.
    fn lost(&self, target: &(String, Option<String>)) {
        let mut state = self.lock();
        if state.subscription.lost(target)
            && let Some(stream) = state.stream.take()
        {
            stream.stop();
        }
    }

    /// Waits, and tells whether the connection was closed meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        let state = self.lock();
        let waited = self.closing.wait_timeout_while(state, pause, |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }
}

/// The thread behind a connection.
struct Reader {
    shared: Arc<Shared>,
    notices: Sender<Notice>,
    subscribe_deadline: Duration,
    route: Route,
}

impl Reader {
    fn run(self) {
        loop {
            let request = StreamRequest::new(self.subscribe_deadline, &self.route);
            let attempt = {
                let mut state = self.shared.lock();
                if state.closed {
                    return self.send(Notice::Failed(Error::Ended));
                }
                state.stream = Some(request.stopper());
                state.subscription.attempt()
            };
            let error = self.follow(request, &attempt).err().unwrap_or(Error::Ended);
            let (next, closed) = {
                let mut state = self.shared.lock();
                (state.subscription.failed(&error, chance()), state.closed)
            };
            match next {
                _ if closed => return self.send(Notice::Failed(Error::Ended)),
                Effect::GiveUp => return self.send(Notice::Failed(error)),
                Effect::Retry(retry_in) => {
                    tracing::debug!(%error, ?retry_in, "not subscribed");
                    if !matches!(error, Error::NotLeading { .. }) {
                        self.send(Notice::Disconnected { error, retry_in });
                    }
                    self.shared.pause(retry_in);
                }
            }
        }
    }

    /// Subscribes and reads until the stream breaks.
    fn follow(&self, request: StreamRequest, attempt: &Attempt) -> Result<(), Error> {
        let headers: Vec<Header<'_>> = self.shared.authorization().into_iter().collect();
        let mut stream = request.send(&attempt.url, &headers, attempt.body.to_string().as_bytes())?;
        self.shared.lock().subscription.opened(stream.stream_id.clone());
        loop {
            match stream.next()? {
                Piece::Tick => self.shared.lock().subscription.check_silence(stream.silence())?,
                Piece::Record(record) => {
                    let event = Event::from_json(&record).map_err(|e| Error::Unreadable {
                        url: stream.url.clone(),
                        reason: format!("an event is not JSON: {e}"),
                    })?;
                    self.shared.lock().subscription.event(&event)?;
                    match event {
                        Event::Heartbeat => {}
                        Event::Subscribed(subscribed) => self.send(Notice::Connected(subscribed)),
                        event => self.send(Notice::Event(event)),
                    }
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
