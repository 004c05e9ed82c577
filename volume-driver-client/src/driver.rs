//! One driver at one address, and the calls it answers.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_transport::CompleteResponse;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::answer::{self, Scope, Volume};
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind};
use crate::exchange::{Client, Deadline, Failure, Request};
use crate::gate::{Gate, NoTurn};
use crate::locks::Limits;
use crate::mount_id::MountId;
use crate::no_cause;
use crate::operation::Operation;
use crate::phrases::Echo;
use crate::profile::Profile;
use crate::words::{WORDS_LIMIT, clean, clean_bytes};

/// One driver at one address. Cheap to clone; clones share idle connections.
///
/// Made by [`crate::Drivers::driver`], which looks the address up: make one per task rather than keep it, since drivers
/// move. Every call blocks until the answer or its deadline ([`Profile::timeouts`]). The calls that change something (Create,
/// Remove, Mount, Unmount) are sent at most once, on a connection of their own.
#[derive(Debug, Clone)]
pub struct Driver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    client: Client,
    profile: Profile,
    rewrites: Vec<PathRewrite>,
    wait: Duration,
    gate: Arc<Gate>,
}

/// How a path that a driver gives is found on this host.
///
/// A managed Docker plugin lives in its own root: its mountpoints are inside
/// `PLUGIN_DIR/propagated-mount` or `PLUGIN_DIR/rootfs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathRewrite {
    /// The driver's path, absolute. Of several rewrites the longest that fits is taken.
    pub from: PathBuf,
    /// What stands for it on this host, absolute.
    pub to: PathBuf,
}

/// Whether [`Driver::ensure`] may create a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreatePolicy {
    /// It must exist.
    Never,
    /// It is created with these options when the driver says that it does not know it.
    IfMissing(BTreeMap<String, String>),
}

/// What [`Driver::ensure`] found or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    /// The volume was there.
    Existed,
    /// The volume was created.
    Created,
}

impl Driver {
    pub(crate) fn new(
        name: String,
        endpoint: Endpoint,
        profile: Profile,
        rewrites: Vec<PathRewrite>,
        wait: Duration,
        gate: Arc<Gate>,
    ) -> Driver {
        Driver(Arc::new(Inner {
            name,
            client: Client::new(endpoint),
            profile,
            rewrites,
            wait,
            gate,
        }))
    }

    /// A driver at a known address, without any lookup and its checks.
    pub fn at(name: &str, endpoint: Endpoint, profile: Profile) -> Driver {
        Driver::new(
            name.to_owned(),
            endpoint,
            profile,
            Vec::new(),
            Duration::ZERO,
            Arc::default(),
        )
    }

    /// The name it was looked up by.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its address.
    pub fn endpoint(&self) -> &Endpoint {
        self.0.client.endpoint()
    }

    /// What is known of this driver, and the operator's settings for it.
    pub fn profile(&self) -> &Profile {
        &self.0.profile
    }

    /// `Plugin.Activate`: what the plugin implements. A volume driver lists `VolumeDriver`.
    ///
    /// # Errors
    /// `Unreachable`, `Protocol`, `Unsupported`, `Rejected`.
    pub fn activate(&self) -> Result<Vec<String>, Error> {
        let answer = self.call(Operation::Activate, None, None)?;
        answer::implements(&answer).map_err(|why| self.unreadable(Operation::Activate, None, &why))
    }

    /// `VolumeDriver.Capabilities`. A driver without this call (it came with Docker 1.12) is local.
    ///
    /// # Errors
    /// `Unreachable`, `Protocol`, `Rejected`.
    pub fn capabilities(&self) -> Result<Scope, Error> {
        match self.call(Operation::Capabilities, None, Some(json!({}))) {
            Ok(answer) => Ok(answer::scope(&answer)),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Scope::Local),
            Err(error) => Err(error),
        }
    }

    /// `VolumeDriver.Get`: one volume.
    ///
    /// # Errors
    /// `NotFound` when the driver says so: in known words, or by an answer without a `Volume` or with one that has no name
    /// (HPE 3PAR and relatives of dory answer so), or by `null` (NexentaStor). `Protocol` for an
    /// answer about another volume. Any other failure is no proof
    /// that the volume does not exist.
    pub fn get(&self, volume: &str) -> Result<Volume, Error> {
        let answer = self.call(Operation::Get, Some(volume), Some(json!({ "Name": volume })))?;
        let found = match answer::field(&answer, "Volume") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let found = answer::volume(value, "");
                Some(found.map_err(|why| self.unreadable(Operation::Get, Some(volume), &why))?)
            }
        };
        let Some(found) = found.filter(|found| !found.name.is_empty()) else {
            return Err(self.error(ErrorKind::NotFound, Operation::Get, Some(volume), String::new()));
        };
        if !self.is_about(&found.name, volume) {
            let other = clean(&found.name, WORDS_LIMIT);
            return Err(self.error(
                ErrorKind::Protocol,
                Operation::Get,
                Some(volume),
                format!("the answer is about another volume, '{other}'"),
            ));
        }
        Ok(self.on_this_host(found))
    }

    /// Whether the name in an answer is the one that was asked for. vSphere adds the datastore (`name@datastore`) or leaves it
    /// out.
    fn is_about(&self, answered: &str, asked: &str) -> bool {
        let profile = &self.0.profile;
        let shortened = |long: &str, short: &str| {
            long.split_once('@')
                .is_some_and(|(name, datastore)| !datastore.is_empty() && profile.is_same_name(name, short))
        };
        profile.is_same_name(answered, asked) || shortened(answered, asked) || shortened(asked, answered)
    }

    /// `VolumeDriver.List`: all volumes the driver knows.
    ///
    /// # Errors
    /// `Unreachable`, `Protocol`, `Unsupported`, `Rejected`.
    pub fn list(&self) -> Result<Vec<Volume>, Error> {
        let answer = self.call(Operation::List, None, Some(json!({})))?;
        let volumes = answer::volumes(&answer).map_err(|why| self.unreadable(Operation::List, None, &why))?;
        Ok(volumes.into_iter().map(|volume| self.on_this_host(volume)).collect())
    }

    /// `VolumeDriver.Path`: where the volume is, or would be, mounted; rewritten to this host. None when the driver gives none.
    /// That there is a path does not mean that the volume is mounted.
    ///
    /// # Errors
    /// `NotFound`, `Unreachable`, `Protocol` (also for a relative path), `Rejected`.
    pub fn path(&self, volume: &str) -> Result<Option<PathBuf>, Error> {
        let answer = self.call(Operation::Path, Some(volume), Some(json!({ "Name": volume })))?;
        match answer::text(&answer, "Mountpoint") {
            None => Ok(None),
            Some(path) => self
                .host_path(Path::new(path))
                .map(Some)
                .map_err(|why| self.unreadable(Operation::Path, Some(volume), &why)),
        }
    }

    /// `VolumeDriver.Create`. Sent at most once. Ask [`Driver::get`] first, or use [`Driver::ensure`]: some drivers make a
    /// second volume of the same name.
    ///
    /// # Errors
    /// `AlreadyExists`, `Rejected`, `Unreachable` (not sent), `UnsupportedName` (not sent), `Uncertain` (the volume may exist
    /// now).
    pub fn create(&self, volume: &str, options: &BTreeMap<String, String>) -> Result<(), Error> {
        self.check_name(Operation::Create, volume)?;
        // What the operator sets holds where the request says nothing.
        let mut all = self.0.profile.options.clone();
        all.extend(options.clone());
        let body = json!({ "Name": volume, "Opts": all });
        self.call(Operation::Create, Some(volume), Some(body)).map(drop)
    }

    /// `VolumeDriver.Remove`: the volume and its data. Sent at most once.
    ///
    /// # Errors
    /// `NotFound`, `Busy`, `Rejected`, `Unreachable` (not sent), `Uncertain`.
    pub fn remove(&self, volume: &str) -> Result<(), Error> {
        self.call(Operation::Remove, Some(volume), Some(json!({ "Name": volume })))
            .map(drop)
    }

    /// `VolumeDriver.Mount`: mounts the volume and returns the mountpoint on this host. Sent at most once.
    ///
    /// That the driver reports success proves nothing about the mount table: the caller looks there.
    /// When the driver says that it does not know the volume, one Get tells a missing volume from one that is
    /// attached elsewhere (REX-Ray answers "resource not found" for both).
    ///
    /// # Errors
    /// `NotFound`, `AttachedElsewhere`, `AlreadyMounted` (adopt it: [`Driver::path`]), `Busy`, `Rejected`:
    /// nothing was mounted by this call. `Unreachable`, `UnsupportedName`: not sent. `Uncertain`: no answer, a refusal that names
    /// no cause, or success with an empty, relative or unusable mountpoint: it may be mounted.
    pub fn mount(&self, volume: &str, id: &MountId) -> Result<PathBuf, Error> {
        self.check_name(Operation::Mount, volume)?;
        let body = json!({ "Name": volume, "ID": id.as_str() });
        let answer = self.call(Operation::Mount, Some(volume), Some(body)).map_err(|error| {
            if error.kind() == ErrorKind::NotFound && self.get(volume).is_ok() {
                return error.with_kind(ErrorKind::AttachedElsewhere);
            }
            error
        })?;
        let mountpoint = answer::text(&answer, "Mountpoint").unwrap_or("");
        self.host_path(Path::new(mountpoint)).map_err(|why| {
            self.error(
                ErrorKind::Uncertain,
                Operation::Mount,
                Some(volume),
                format!("success, but {why}"),
            )
        })
    }

    /// `VolumeDriver.Unmount`. Sent at most once.
    ///
    /// # Errors
    /// `NotMounted` and `NotFound`: nothing to unmount. `Busy`, `Rejected`: still mounted. `Unreachable`: not sent. `Uncertain`.
    pub fn unmount(&self, volume: &str, id: &MountId) -> Result<(), Error> {
        let body = json!({ "Name": volume, "ID": id.as_str() });
        self.call(Operation::Unmount, Some(volume), Some(body)).map(drop)
    }

    /// Makes sure that the volume exists: Get first, Create only when the policy allows it and the driver *said* that it does not
    /// know the volume. A driver that cannot answer is no reason to create.
    ///
    /// # Errors
    /// Those of [`Driver::get`] and [`Driver::create`]. `AlreadyExists` is not among them: it means
    /// that another caller has created the volume in the meantime, so it is there.
    pub fn ensure(&self, volume: &str, policy: &CreatePolicy) -> Result<Ensured, Error> {
        match (self.get(volume), policy) {
            (Ok(_), _) => Ok(Ensured::Existed),
            (Err(missing), CreatePolicy::IfMissing(options)) if missing.kind() == ErrorKind::NotFound => {
                match self.create(volume, options) {
                    Ok(()) => self.created(volume).map(|()| Ensured::Created),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Ensured::Existed),
                    Err(error) => Err(error),
                }
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Whether a volume is there after a Create that reported success: a driver whose creation is turned off reports it too.
    ///
    /// # Errors
    /// `Rejected` when the driver positively does not know the volume. A lookup that fails otherwise proves nothing, and the
    /// Create's answer stands.
    pub fn created(&self, volume: &str) -> Result<(), Error> {
        match self.get(volume) {
            Err(missing) if missing.kind() == ErrorKind::NotFound => Err(self.error(
                ErrorKind::Rejected,
                Operation::Create,
                Some(volume),
                "the driver reports success and has no such volume afterwards: its creation is turned off (REX-Ray: \
                 create.disable); create the volume yourself, or have the operator turn it on"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }

    fn check_name(&self, operation: Operation, volume: &str) -> Result<(), Error> {
        let checked = self.0.profile.check_name(volume);
        checked.map_err(|why| self.error(ErrorKind::UnsupportedName, operation, Some(volume), why.to_string()))
    }

    /// Sends one request and returns the object of a successful answer.
    fn call(
        &self,
        operation: Operation,
        volume: Option<&str>,
        body: Option<Value>,
    ) -> Result<Map<String, Value>, Error> {
        let mount_id = body
            .as_ref()
            .and_then(|body| body.get("ID")?.as_str().map(str::to_owned));
        let echo = Echo {
            volume,
            mount_id: mount_id.as_deref(),
        };
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let timeouts = &self.0.profile.timeouts;
        let deadline = Deadline {
            total: timeouts.of(operation),
            connect: timeouts.connect,
            wait: self.0.wait,
        };
        let request = Request {
            operation,
            body: body.as_bytes(),
            max_answer: self.0.profile.max_answer,
        };
        let start = Instant::now();
        let response = self.in_turn(request, deadline);
        let result = match response {
            Ok(response) => self.read(operation, echo, &response),
            Err(failure) => Err(self.failed(operation, volume, failure)),
        };
        let millis = start.elapsed().as_millis();
        match &result {
            Ok(_) => tracing::debug!(driver = %self.0.name, %operation, volume, millis, "answered"),
            Err(error) => {
                tracing::debug!(driver = %self.0.name, %operation, volume, millis, %error, "failed");
            }
        }
        result
    }

    /// Sends the request when it is its turn; the wait for it counts.
    fn in_turn(&self, request: Request<'_>, deadline: Deadline) -> Result<CompleteResponse, Failure> {
        let Profile {
            max_in_flight,
            pause_after_change,
            ..
        } = self.0.profile;
        let limits = Limits {
            in_flight: max_in_flight,
            pause: pause_after_change,
        };
        let end = Instant::now() + deadline.total;
        let turn = self
            .0
            .gate
            .enter(request.operation.is_mutating(), limits, end)
            .map_err(|why| match why {
                NoTurn::Late => Failure::NotSent(format!(
                    "no turn in {:?}: the driver is given {max_in_flight} calls at once, and so many are in flight",
                    deadline.total
                )),
                NoTurn::Locks(error) => Failure::Misconfigured(format!("lock files of calls: {error}")),
            })?;
        let left = end.saturating_duration_since(Instant::now());
        let result = self.0.client.call(
            request,
            Deadline {
                total: left,
                ..deadline
            },
        );
        drop(turn);
        result
    }

    fn read(
        &self,
        operation: Operation,
        echo: Echo<'_>,
        response: &CompleteResponse,
    ) -> Result<Map<String, Value>, Error> {
        let volume = echo.volume;
        let error = |kind, words| Err(self.error(kind, operation, volume, words));
        match response.status {
            200 => {
                let answer = answer::object(&response.body).map_err(|why| self.unreadable(operation, volume, &why))?;
                // An answer that was cut off before its first byte must not say that there is no
                // volume. A whole `null` says it.
                if operation == Operation::Get && response.body.iter().all(u8::is_ascii_whitespace) {
                    return Err(self.unreadable(operation, volume, "it is empty"));
                }
                match answer::err_of(&answer) {
                    None => Ok(answer),
                    Some(said) => error(self.meaning(&said, &echo, operation), clean(&said, WORDS_LIMIT)),
                }
            }
            // A success of another kind: the driver means well, and nothing is known.
            201..=299 => Err(self.unreadable(operation, volume, &format!("status {}", response.status))),
            100..=399 => error(
                ErrorKind::Protocol,
                format!("status {}, which no volume driver answers", response.status),
            ),
            status => {
                let said = refusal(&response.body);
                let kind = match self.meaning(&said, &echo, operation) {
                    ErrorKind::Rejected | ErrorKind::Uncertain if is_missing_endpoint(status, &said) => {
                        ErrorKind::Unsupported
                    }
                    kind => behind_gateway(status, &response.body, operation, kind),
                };
                let words = if said.is_empty() {
                    format!("status {status}, no words")
                } else {
                    said
                };
                error(kind, words)
            }
        }
    }

    /// What the driver's words mean. A refusal that names no cause settles nothing for a call that changes something: REX-Ray
    /// gives up waiting for an attach with such words, and the attach completes later.
    fn meaning(&self, said: &str, echo: &Echo<'_>, operation: Operation) -> ErrorKind {
        no_cause::weigh(self.0.profile.phrases.kind_of(said, echo, operation), operation, said)
    }

    fn failed(&self, operation: Operation, volume: Option<&str>, failure: Failure) -> Error {
        let (kind, words) = match failure {
            Failure::NotSent(words) => (ErrorKind::Unreachable, words),
            Failure::Misconfigured(words) => (ErrorKind::Misconfigured, words),
            Failure::Late(words) | Failure::Broken(words) | Failure::Garbage(words) if operation.is_mutating() => {
                (ErrorKind::Uncertain, words)
            }
            Failure::Late(words) | Failure::Broken(words) => (ErrorKind::Unreachable, words),
            Failure::Garbage(words) => (ErrorKind::Protocol, words),
        };
        self.error(kind, operation, volume, clean(&words, WORDS_LIMIT))
    }

    /// Success was reported in a form that cannot be read: for a changing call, it may have happened.
    fn unreadable(&self, operation: Operation, volume: Option<&str>, why: &str) -> Error {
        let kind = if operation.is_mutating() {
            ErrorKind::Uncertain
        } else {
            ErrorKind::Protocol
        };
        self.error(
            kind,
            operation,
            volume,
            format!("the answer cannot be read: {}", clean(why, WORDS_LIMIT)),
        )
    }

    fn error(&self, kind: ErrorKind, operation: Operation, volume: Option<&str>, words: String) -> Error {
        Error::new(kind, operation, &self.0.name, words)
            .at(self.endpoint())
            .about(volume)
    }

    fn on_this_host(&self, mut volume: Volume) -> Volume {
        volume.mountpoint = volume.mountpoint.and_then(|path| self.host_path(&path).ok());
        volume
    }

    /// A driver's path on this host, or why it cannot be one.
    fn host_path(&self, path: &Path) -> Result<PathBuf, String> {
        let shown = clean(&path.to_string_lossy(), WORDS_LIMIT);
        if path.as_os_str().is_empty() {
            return Err("the mountpoint is empty".to_owned());
        }
        if !path.is_absolute() {
            return Err(format!("the mountpoint '{shown}' is not absolute"));
        }
        if path.components().any(|part| part == Component::ParentDir) {
            return Err(format!("the mountpoint '{shown}' goes through '..'"));
        }
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(format!("the mountpoint '{shown}' holds a NUL"));
        }
        let fitting = self.0.rewrites.iter().filter_map(|rewrite| {
            let rest = path.strip_prefix(&rewrite.from).ok()?;
            Some((rewrite.from.components().count(), &rewrite.to, rest))
        });
        Ok(match fitting.max_by_key(|(depth, ..)| *depth) {
            Some((_, to, rest)) if rest.as_os_str().is_empty() => to.clone(),
            Some((_, to, rest)) => to.join(rest),
            None => path.to_owned(),
        })
    }
}

/// The driver's words in a refusal: `Err` of an object, `message` or `error` as other servers name it, or the text itself.
fn refusal(body: &[u8]) -> String {
    if let Ok(map) = answer::object(body) {
        let said = answer::err_of(&map)
            .or_else(|| answer::text(&map, "message").map(str::to_owned))
            .or_else(|| answer::text(&map, "error").map(str::to_owned));
        if let Some(said) = said {
            return clean(&said, WORDS_LIMIT);
        }
        if map.is_empty() || answer::field(&map, "Err").is_some() {
            return String::new();
        }
    }
    clean_bytes(body, WORDS_LIMIT)
}

/// What a refusal means when a gateway in front of the driver lost the driver's answer: the driver may still work on
/// the request. Words of the gateway mean nothing, those of the driver's own `Err` do.
fn behind_gateway(status: u16, body: &[u8], operation: Operation, kind: ErrorKind) -> ErrorKind {
    let own_words = || answer::object(body).is_ok_and(|map| answer::err_of(&map).is_some());
    match status {
        502 | 504 if kind == ErrorKind::Rejected || !own_words() => match operation.is_mutating() {
            true => ErrorKind::Uncertain,
            false => ErrorKind::Unreachable,
        },
        _ => kind,
    }
}

/// Whether the server has no such endpoint, which its router says rather than the driver.
fn is_missing_endpoint(status: u16, said: &str) -> bool {
    matches!(status, 404 | 405 | 501) || said.to_lowercase().contains("handler not found")
}
