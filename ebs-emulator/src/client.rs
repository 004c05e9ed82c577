//! A client of the control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_transport::{Limits, Method, Request, Reuse, Route};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use thiserror::Error;

use crate::api::{
    ApiError, AttachVolume, ClearFaults, Cleared, CreateVolume, DescribeVolumes, DetachVolume, EventsAfter, FaultId,
    VolumeDescription, VolumeName,
};
use crate::faults::{Fault, FaultRule};
use crate::history::Event;
use crate::host::Host;
use crate::serve::CONTROL_SOCKET;

/// How long an action may take. Only a detach that a fault delays takes long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Longest response, in bytes. The history of a long test has millions of bytes.
const RESPONSE_LIMIT: usize = 1 << 30;

/// Why an action failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No emulator answers: it is not running, or it broke in the middle.
    #[error("no answer from the emulator at {}: {source} (is 'ebs-emulator serve' running?)", socket.display())]
    NoAnswer {
        /// The control socket.
        socket: PathBuf,
        /// The cause.
        #[source]
        source: http_transport::Failure,
    },
    /// The emulator refused.
    #[error("{0}")]
    Refused(String),
    /// The answer was not understood: another version of the emulator, most likely.
    #[error("the emulator's answer to {action} was not understood: {source}")]
    Answer {
        /// The action.
        action: &'static str,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

/// A client of one emulator.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    http: http_transport::Client,
}

impl Client {
    /// A client of the emulator that runs on the state folder `state`. Connects at each call.
    pub fn of_state(state: &Path) -> Client {
        let socket = state.join(CONTROL_SOCKET);
        let route = Route {
            socket: Some(socket.clone()),
            ..Route::default()
        };
        Client {
            http: http_transport::Client::new(route, "ebs-emulator"),
            socket,
        }
    }

    /// Makes a volume of `size` GiB.
    ///
    /// # Errors
    /// [`ClientError`], as every action of this client.
    pub fn create(&self, name: &str, size: u64, zone: &str) -> Result<VolumeDescription, ClientError> {
        let name = Some(name.to_owned());
        self.create_volume(&CreateVolume {
            name,
            size,
            zone: zone.to_owned(),
            volume_type: None,
        })
    }

    /// Makes a volume as the request says.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn create_volume(&self, request: &CreateVolume) -> Result<VolumeDescription, ClientError> {
        self.call("CreateVolume", request)
    }

    /// All volumes, in the shape of `aws ec2 describe-volumes`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn describe(&self) -> Result<DescribeVolumes, ClientError> {
        self.call("DescribeVolumes", &json!({}))
    }

    /// Deletes a volume, by id or name, with its data.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn delete(&self, volume: &str) -> Result<(), ClientError> {
        self.call(
            "DeleteVolume",
            &VolumeName {
                volume: volume.to_owned(),
            },
        )
        .map(ignore)
    }

    /// Lets an instance outside the emulator take a volume.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn attach_foreign(&self, volume: &str, instance: &str) -> Result<VolumeDescription, ClientError> {
        let (volume, instance) = (volume.to_owned(), instance.to_owned());
        self.call("AttachVolume", &AttachVolume { volume, instance })
    }

    /// Detaches a volume that is not mounted, whoever has it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn detach(&self, volume: &str) -> Result<(), ClientError> {
        self.detach_volume(volume, false)
    }

    /// Detaches a volume whoever has it, also where it is mounted: whoever works in it gets EIO, and what was not yet written
    /// is lost.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn force_detach(&self, volume: &str) -> Result<(), ClientError> {
        self.detach_volume(volume, true)
    }

    fn detach_volume(&self, volume: &str, force: bool) -> Result<(), ClientError> {
        let volume = volume.to_owned();
        self.call("DetachVolume", &DetachVolume { volume, force }).map(ignore)
    }

    /// The hosts, with their sockets.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn hosts(&self) -> Result<Vec<Host>, ClientError> {
        self.call("Hosts", &json!({}))
    }

    /// What happened, oldest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn log(&self) -> Result<Vec<Event>, ClientError> {
        self.log_after(0)
    }

    /// What happened after the event with this number.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn log_after(&self, after: u64) -> Result<Vec<Event>, ClientError> {
        self.call("Events", &EventsAfter { after })
    }

    /// Puts a fault rule in force and returns its number.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn fault(&self, rule: &FaultRule) -> Result<u64, ClientError> {
        self.call("SetFault", rule).map(|answer: FaultId| answer.id)
    }

    /// The fault rules in force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn faults(&self) -> Result<Vec<Fault>, ClientError> {
        self.call("ListFaults", &json!({}))
    }

    /// Takes one rule, or all, out of force; what hangs on it goes on. Returns how many there were.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn clear_faults(&self, id: Option<u64>) -> Result<usize, ClientError> {
        self.call("ClearFaults", &ClearFaults { id })
            .map(|answer: Cleared| answer.cleared)
    }

    fn call<T: DeserializeOwned>(&self, action: &'static str, request: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(request).expect("requests are plain data");
        let request = Request {
            method: Method::Post,
            url: &format!("http://emulator/{action}"),
            headers: &[],
            body: &body,
        };
        let response = self
            .http
            .call(&request, &Limits::within(TIMEOUT), RESPONSE_LIMIT, Reuse::Never)
            .map_err(|source| ClientError::NoAnswer {
                socket: self.socket.clone(),
                source,
            })?;
        let misunderstood = |source| ClientError::Answer { action, source };
        if response.is_success() {
            return serde_json::from_slice(&response.body).map_err(misunderstood);
        }
        let refusal: ApiError = serde_json::from_slice(&response.body).map_err(misunderstood)?;
        Err(ClientError::Refused(refusal.error))
    }
}

/// An answer that says nothing but that it was done.
fn ignore(_: serde_json::Value) {}
