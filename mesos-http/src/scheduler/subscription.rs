//! The rules of a subscription, without any I/O.

use std::time::Duration;

use backoff::Backoff;
use serde_json::{Value, json};

use super::{Call, Event, PATH, Subscribed};
use crate::endpoint::Endpoint;
use crate::error::{Action, Error};
use crate::types::{FrameworkId, FrameworkInfo, OfferConstraints};

/// The shortest and the longest pause between attempts to subscribe.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// How many redirects in a row are followed at once. Then there is a pause as after any failure,
/// because two masters that name each other have no leader yet.
const QUICK_REDIRECTS: u32 = 3;

/// Heartbeats that may be missed before the stream counts as dead.
const MISSED_HEARTBEATS: u32 = 5;

/// The silence that is allowed before SUBSCRIBED, which contains the heartbeat interval, has
/// arrived.
const FIRST_SILENCE: Duration = Duration::from_secs(75);

/// The state of one framework's subscription: which master to ask, with which request, and the
/// [`Effect`] of a failure. It reads no clock and does no I/O.
///
/// Calling order: [`attempt`](Subscription::attempt) gives what to send. Then, until it fails,
/// [`opened`](Subscription::opened) with the answer's stream id, [`event`](Subscription::event)
/// with each event, [`check_silence`](Subscription::check_silence) from time to time. Whatever
/// goes wrong goes to [`failed`](Subscription::failed), which says whether to try again.
///
/// ```text
///              attempt            opened            SUBSCRIBED
///   apart ───────────────► asking ───────► open ─────────────────► subscribed
///     ▲                      │ failed        │ failed                 │ failed
///     └──────────────────────┴───────────────┴────────────────────────┘
/// ```
#[derive(Debug)]
pub struct Subscription {
    framework: FrameworkInfo,
    suppressed_roles: Vec<String>,
    offer_constraints: Option<OfferConstraints>,
    masters: Vec<Endpoint>,
    /// Which of the masters is asked next, unless there is a known leader.
    turn: usize,
    leader: Option<Endpoint>,
    redirects: u32,
    backoff: Backoff,
    /// Whether a call was lost and none has been accepted since: a new subscription alone is then no success.
    losing_calls: bool,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Apart,
    Asking {
        master: Endpoint,
    },
    Open {
        master: Endpoint,
        stream_id: Option<String>,
    },
    Subscribed {
        master: Endpoint,
        stream_id: Option<String>,
        heartbeat: Duration,
        /// Whether a call was lost, so that the stream is about to be ended and takes no further calls.
        ending: bool,
    },
}

/// What to send, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The URL to post to, without a `Mesos-Stream-Id` header.
    pub url: String,
    /// The body.
    pub body: Value,
}

/// What the caller does after a failure.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Try again after this pause.
    Retry(Duration),
    /// It makes no sense to try again.
    GiveUp,
}

impl Subscription {
    /// The subscription of `framework`, with the id it has, if it has one already. `masters` are
    /// asked in turn until one leads or names the leader.
    ///
    /// # Panics
    /// When `masters` is empty.
    pub fn new(masters: Vec<Endpoint>, framework: FrameworkInfo) -> Subscription {
        assert!(!masters.is_empty(), "a subscription needs a master to ask");
        Subscription {
            framework,
            suppressed_roles: Vec::new(),
            offer_constraints: None,
            masters,
            turn: 0,
            leader: None,
            redirects: 0,
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
            losing_calls: false,
            state: State::Apart,
        }
    }

    /// Roles for which the subscription wants no offers at first.
    pub fn suppress(&mut self, roles: Vec<String>) {
        self.suppressed_roles = roles;
    }

    /// Which agents' offers the subscription wants, from Mesos 1.11; `None`: all. An older master does
    /// not look at it.
    pub fn constrain(&mut self, offer_constraints: Option<OfferConstraints>) {
        self.offer_constraints = offer_constraints;
    }

    /// The framework's id, as soon as it has one.
    pub fn framework_id(&self) -> Option<&FrameworkId> {
        self.framework.id.as_ref()
    }

    /// The next attempt to subscribe.
    pub fn attempt(&mut self) -> Attempt {
        let master = match self.leader.take() {
            Some(leader) => leader,
            None => self.masters[self.turn % self.masters.len()].clone(),
        };
        let mut subscribe = json!({"framework_info": self.framework});
        if !self.suppressed_roles.is_empty() {
            subscribe["suppressed_roles"] = json!(self.suppressed_roles);
        }
        if let Some(constraints) = &self.offer_constraints {
            subscribe["offer_constraints"] = json!(constraints);
        }
        let mut body = json!({"type": "SUBSCRIBE", "subscribe": subscribe});
        if let Some(id) = &self.framework.id {
            // In both places: with only one the master refuses ("'framework_id' differs").
            body["framework_id"] = json!(id);
        }
        let url = master.url(PATH);
        self.state = State::Asking { master };
        Attempt { url, body }
    }

    /// The master has opened the stream. It may still refuse the framework: then an ERROR is the
    /// first and only event.
    pub fn opened(&mut self, stream_id: Option<String>) {
        if let State::Asking { master } = &self.state {
            self.state = State::Open {
                master: master.clone(),
                stream_id,
            };
        }
    }

    /// An event has arrived.
    ///
    /// # Errors
    /// An ERROR event ends the subscription; it is to be given to [`failed`](Self::failed) like
    /// any other failure.
    pub fn event(&mut self, event: &Event) -> Result<(), Error> {
        match event {
            Event::Error(message) => Err(refusal(message)),
            Event::Subscribed(subscribed) => {
                self.subscribed(subscribed);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn subscribed(&mut self, subscribed: &Subscribed) {
        self.framework.id = Some(subscribed.framework_id.clone());
        if !self.losing_calls {
            self.backoff.reset();
        }
        self.redirects = 0;
        if let State::Open { master, stream_id } = &self.state {
            let heartbeat = subscribed.heartbeat_interval();
            self.state = State::Subscribed {
                master: master.clone(),
                stream_id: stream_id.clone(),
                heartbeat,
                ending: false,
            };
        }
    }

    /// The master has accepted a call. What the call changes for later subscriptions is kept.
    pub fn accepted(&mut self, call: &Call) {
        if std::mem::take(&mut self.losing_calls) {
            self.backoff.reset();
        }
        match call {
            Call::Suppress { roles } => {
                let roles = if roles.is_empty() { &self.framework.roles } else { roles };
                for role in roles {
                    if !self.suppressed_roles.contains(role) {
                        self.suppressed_roles.push(role.clone());
                    }
                }
            }
            Call::Revive { roles } if roles.is_empty() => self.suppressed_roles.clear(),
            Call::Revive { roles } => self.suppressed_roles.retain(|role| !roles.contains(role)),
            Call::UpdateFramework {
                framework_info,
                suppressed_roles,
                offer_constraints,
            } => {
                self.offer_constraints = offer_constraints.clone();
                self.framework = FrameworkInfo {
                    id: self.framework.id.clone(),
                    ..(**framework_info).clone()
                };
                self.suppressed_roles = suppressed_roles.clone();
            }
            _ => {}
        }
    }

    /// Where calls go and which stream id they carry; `None` while not subscribed.
    pub fn call_target(&self) -> Option<(String, Option<String>)> {
        match &self.state {
            State::Subscribed {
                master,
                stream_id,
                ending: false,
                ..
            } => Some((master.url(PATH), stream_id.clone())),
            _ => None,
        }
    }

    /// A call that was made for `target` is lost: it was not carried out, or its outcome is
    /// unknown, and it is not repeated. Returns whether the stream has to be ended. It has to be
    /// unless it is another stream by now.
    ///
    /// Scheduler and master disagree from here on: about an offer that one of them believes in,
    /// about whether offers are wanted, about a task that is to be killed. Only a new subscription
    /// settles that. The master then withdraws all offers, refuses what still is on its way with
    /// the old stream's id, and the scheduler reconciles and asks for offers again.
    pub fn lost(&mut self, target: &(String, Option<String>)) -> bool {
        if self.call_target().as_ref() != Some(target) {
            return false;
        }
        if let State::Subscribed { ending, .. } = &mut self.state {
            *ending = true;
        }
        self.losing_calls = true;
        true
    }

    /// Whether a stream that has been silent for this long still counts as alive.
    ///
    /// # Errors
    /// [`Error::Silent`] when five heartbeats are missing.
    pub fn check_silence(&self, silence: Duration) -> Result<(), Error> {
        let (master, limit) = match &self.state {
            State::Apart => return Ok(()),
            State::Asking { master } | State::Open { master, .. } => (master, FIRST_SILENCE),
            State::Subscribed { master, heartbeat, .. } => (master, *heartbeat * MISSED_HEARTBEATS),
        };
        if silence <= limit {
            Ok(())
        } else {
            Err(Error::Silent {
                url: master.url(PATH),
                silence,
            })
        }
    }

    /// The attempt or the stream has failed. `chance` in `0.0..1.0` spreads the pauses.
    pub fn failed(&mut self, error: &Error, chance: f64) -> Effect {
        let state = std::mem::replace(&mut self.state, State::Apart);
        if let Error::NotLeading {
            leader: Some(leader), ..
        } = error
            && let Ok(leader) = leader.parse()
        {
            self.leader = Some(leader);
            self.redirects += 1;
            if self.redirects <= QUICK_REDIRECTS {
                return Effect::Retry(Duration::ZERO);
            }
            return Effect::Retry(self.backoff.next_pause(chance));
        }
        if is_final(error) {
            return Effect::GiveUp;
        }
        // A stream that was good: the same master first, it may just have dropped this one
        // connection. Otherwise the next in the list.
        match state {
            State::Subscribed { master, .. } => self.leader = Some(master),
            _ => self.turn = self.turn.wrapping_add(1),
        }
        Effect::Retry(self.backoff.next_pause(chance))
    }
}

/// Whether a subscription that failed with this error would fail in the same way again. After an
/// answer that cannot be read, or a broken connection, it is repeated: SUBSCRIBE can be sent any
/// number of times.
fn is_final(error: &Error) -> bool {
    error.action() == Action::GiveUp
}

/// What an ERROR event means (the texts are those of src/master/master.cpp).
fn refusal(message: &str) -> Error {
    let message = message.to_string();
    if message.contains("has been removed") || message.contains("torn down") {
        Error::FrameworkRemoved(message)
    } else if message.contains("failed over") {
        Error::TakenOver(message)
    } else {
        Error::Refused(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription() -> Subscription {
        let masters = Endpoint::parse_list("m1:5050,m2:5050").unwrap();
        Subscription::new(masters, FrameworkInfo::new("f", "root"))
    }

    fn subscribed(heartbeat: f64) -> Event {
        Event::Subscribed(Subscribed {
            framework_id: "F".into(),
            heartbeat_interval_seconds: Some(heartbeat),
            master_info: None,
        })
    }

    fn url_of(attempt: &Attempt) -> &str {
        attempt.url.strip_suffix(PATH).unwrap()
    }

    fn not_leading(leader: Option<&str>) -> Error {
        Error::NotLeading {
            url: "http://m1:5050/".into(),
            leader: leader.map(str::to_string),
        }
    }

    fn closed() -> Error {
        Error::Closed {
            url: "http://m1:5050/".into(),
        }
    }

    #[test]
    fn the_id_stands_in_both_places_once_there_is_one() {
        let mut s = subscription();
        let first = s.attempt().body;
        assert_eq!(first.get("framework_id"), None);
        assert_eq!(first["subscribe"]["framework_info"].get("id"), None);
        s.opened(Some("stream".into()));
        s.event(&subscribed(15.0)).unwrap();
        assert_eq!(s.failed(&closed(), 0.0), Effect::Retry(Duration::from_millis(250)));
        let again = s.attempt().body;
        assert_eq!(again["framework_id"]["value"], "F");
        assert_eq!(again["subscribe"]["framework_info"]["id"]["value"], "F");
    }

    #[test]
    fn calls_are_possible_only_between_subscribed_and_the_break() {
        let mut s = subscription();
        assert_eq!(s.call_target(), None);
        s.attempt();
        s.opened(Some("stream".into()));
        assert_eq!(s.call_target(), None);
        s.event(&subscribed(15.0)).unwrap();
        let target = (
            "http://m1:5050/api/v1/scheduler".to_string(),
            Some("stream".to_string()),
        );
        assert_eq!(s.call_target(), Some(target));
        s.failed(&closed(), 0.0);
        assert_eq!(s.call_target(), None);
    }

    /// Subscribes, and gives the target of calls.
    fn subscribe(s: &mut Subscription, stream_id: &str) -> (String, Option<String>) {
        s.attempt();
        s.opened(Some(stream_id.to_string()));
        s.event(&subscribed(15.0)).unwrap();
        s.call_target().unwrap()
    }

    #[test]
    fn a_lost_call_ends_its_own_stream_and_no_later_one() {
        let mut s = subscription();
        let target = subscribe(&mut s, "one");
        assert!(s.lost(&target));
        assert_eq!(
            s.call_target(),
            None,
            "no further call goes to a stream that is about to end"
        );
        assert!(!s.lost(&target), "the stream is ended once");
        s.failed(&closed(), 1.0);
        subscribe(&mut s, "two");
        assert!(!s.lost(&target), "the call belonged to the stream before");
    }

    #[test]
    fn pauses_grow_while_every_subscription_loses_its_calls_and_end_with_an_accepted_one() {
        let mut s = subscription();
        let mut pauses = Vec::new();
        for number in 0..4 {
            let target = subscribe(&mut s, &number.to_string());
            s.lost(&target);
            pauses.push(s.failed(&closed(), 1.0));
        }
        let expected = [500, 1_000, 2_000, 4_000].map(|pause| Effect::Retry(Duration::from_millis(pause)));
        assert_eq!(pauses, expected);
        subscribe(&mut s, "good");
        s.accepted(&Call::Revive { roles: vec![] });
        assert_eq!(s.failed(&closed(), 1.0), Effect::Retry(Duration::from_millis(500)));
    }

    #[test]
    fn a_redirect_is_followed_at_once_but_a_ring_of_redirects_is_not() {
        let mut s = subscription();
        s.attempt();
        assert_eq!(
            s.failed(&not_leading(Some("http://m2:5050")), 1.0),
            Effect::Retry(Duration::ZERO)
        );
        assert_eq!(url_of(&s.attempt()), "http://m2:5050");
        s.failed(&not_leading(Some("http://m1:5050")), 1.0);
        s.failed(&not_leading(Some("http://m2:5050")), 1.0);
        let next = s.failed(&not_leading(Some("http://m1:5050")), 1.0);
        assert_eq!(next, Effect::Retry(Duration::from_millis(500)));
    }

    #[test]
    fn masters_are_asked_in_turn_while_none_answers() {
        let mut s = subscription();
        let unreachable = Error::Unreachable {
            url: String::new(),
            reason: String::new(),
        };
        let mut asked = Vec::new();
        for _ in 0..4 {
            asked.push(url_of(&s.attempt()).to_string());
            assert!(matches!(s.failed(&unreachable, 0.5), Effect::Retry(_)));
        }
        assert_eq!(
            asked,
            ["http://m1:5050", "http://m2:5050", "http://m1:5050", "http://m2:5050"]
        );
        s.attempt();
        s.failed(&not_leading(None), 0.5);
        assert_eq!(url_of(&s.attempt()), "http://m2:5050");
    }

    #[test]
    fn after_a_break_the_same_master_comes_first() {
        let mut s = subscription();
        s.attempt();
        s.failed(&not_leading(Some("http://m9:5050")), 0.0);
        s.attempt();
        s.opened(None);
        s.event(&subscribed(15.0)).unwrap();
        s.failed(&closed(), 0.0);
        assert_eq!(url_of(&s.attempt()), "http://m9:5050");
        s.failed(&closed(), 0.0);
        assert_ne!(url_of(&s.attempt()), "http://m9:5050");
    }

    #[test]
    fn what_was_suppressed_stays_suppressed_over_a_break() {
        let mut s = subscription();
        s.accepted(&Call::Suppress { roles: vec![] });
        assert_eq!(s.attempt().body["subscribe"]["suppressed_roles"], json!(["*"]));
        s.accepted(&Call::Revive {
            roles: vec!["*".into()],
        });
        assert_eq!(s.attempt().body["subscribe"].get("suppressed_roles"), None);
    }

    #[test]
    fn five_missing_heartbeats_are_too_many() {
        let mut s = subscription();
        s.attempt();
        s.opened(None);
        assert_eq!(s.check_silence(Duration::from_secs(75)), Ok(()));
        s.event(&subscribed(2.0)).unwrap();
        assert_eq!(s.check_silence(Duration::from_secs(10)), Ok(()));
        assert!(matches!(
            s.check_silence(Duration::from_millis(10_001)),
            Err(Error::Silent { .. })
        ));
    }

    #[test]
    fn an_error_event_ends_it_for_good() {
        for (text, expected) in [
            (
                "Framework has been removed",
                Error::FrameworkRemoved("Framework has been removed".into()),
            ),
            (
                "Framework failed over",
                Error::TakenOver("Framework failed over".into()),
            ),
            (
                "User 'x' is not authorized",
                Error::Refused("User 'x' is not authorized".into()),
            ),
        ] {
            let mut s = subscription();
            s.attempt();
            s.opened(None);
            let error = s.event(&Event::Error(text.into())).unwrap_err();
            assert_eq!(error, expected);
            assert_eq!(s.failed(&error, 0.0), Effect::GiveUp);
        }
    }

    #[test]
    fn a_master_that_recovers_is_asked_again() {
        let mut s = subscription();
        s.attempt();
        let recovering = Error::NotReady {
            url: String::new(),
            status: 503,
            message: String::new(),
        };
        assert!(matches!(s.failed(&recovering, 0.0), Effect::Retry(_)));
        let broken = Error::Uncertain {
            url: String::new(),
            reason: String::new(),
        };
        assert!(matches!(s.failed(&broken, 0.0), Effect::Retry(_)));
        let invalid = Error::Invalid {
            url: String::new(),
            status: 400,
            message: String::new(),
        };
        assert_eq!(s.failed(&invalid, 0.0), Effect::GiveUp);
    }
}
