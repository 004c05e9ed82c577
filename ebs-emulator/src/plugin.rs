//! The driver of one host: the Docker volume plugin protocol, answered the way Go drivers answer it.
//!
//! Errors are status 500 with a non-empty `Err`. A call goes on when its caller hangs up, as a real driver's does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::StorageError;
use crate::faults::{Operation, Point, When};
use crate::history::{Event, EventKind};
use crate::host::Host;
use crate::manners::Manner;
use crate::socket::NoAnswer;
use crate::storage::{NewVolume, Storage};
use crate::volume::Volume;

/// The size of a volume created without one, as in REX-Ray.
const DEFAULT_SIZE_GIB: u64 = 16;

/// What drivers made with Docker's own library send.
const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.1+json";

#[derive(Debug, Clone)]
struct Driver {
    storage: Arc<Storage>,
    host: Arc<Host>,
    /// The device names that the attaches under way on this host have chosen.
    attaching: Arc<Mutex<Vec<u32>>>,
}

/// A body with every key that any call has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Call {
    name: String,
    #[serde(rename = "ID")]
    id: String,
    opts: Option<BTreeMap<String, String>>,
}

/// The endpoints of the driver of `host`.
pub fn router(storage: Arc<Storage>, host: Host) -> Router {
    let route = |operation| post(move |State(driver): State<Driver>, body: Bytes| answer(driver, operation, body));
    Router::new()
        .route("/Plugin.Activate", route(Operation::Activate))
        .route("/VolumeDriver.Create", route(Operation::Create))
        .route("/VolumeDriver.Remove", route(Operation::Remove))
        .route("/VolumeDriver.Mount", route(Operation::Mount))
        .route("/VolumeDriver.Unmount", route(Operation::Unmount))
        .route("/VolumeDriver.Path", route(Operation::Path))
        .route("/VolumeDriver.Get", route(Operation::Get))
        .route("/VolumeDriver.List", route(Operation::List))
        .route("/VolumeDriver.Capabilities", route(Operation::Capabilities))
        .fallback(async |_: Bytes| reply(StatusCode::NOT_FOUND, &json!({"Err": "404 page not found"})))
        .with_state(Driver {
            storage,
            host: Arc::new(host),
            attaching: Arc::default(),
        })
}

async fn answer(driver: Driver, operation: Operation, body: Bytes) -> Response {
    let call: Call = match body.trim_ascii() {
        b"" => Call::default(),
        text => match serde_json::from_slice(text) {
            Ok(call) => call,
            Err(error) => return reply(StatusCode::BAD_REQUEST, &json!({"Err": error.to_string()})),
        },
    };
    // A task of its own: dropping the connection drops this future, but must not stop the work.
    match tokio::spawn(driver.perform(operation, call)).await {
        Ok(Ok(value)) => reply(StatusCode::OK, &value),
        Ok(Err(StorageError::NoAnswer)) => NoAnswer::response(),
        Ok(Err(error)) => reply(StatusCode::INTERNAL_SERVER_ERROR, &json!({"Err": error.to_string()})),
        Err(error) => reply(
            StatusCode::INTERNAL_SERVER_ERROR,
            &json!({"Err": format!("the call broke: {error}")}),
        ),
    }
}

fn reply(status: StatusCode, value: &Value) -> Response {
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, CONTENT_TYPE);
    response
        .body(Body::from(format!("{value}\n")))
        .expect("status and header are constants")
}

impl Driver {
    /// One call from arrival to answer, with what the fault rules make of it.
    async fn perform(self, operation: Operation, call: Call) -> Result<Value, StorageError> {
        let arrived = Instant::now();
        let mut event = Event::new(EventKind::Request);
        event.host = Some(self.host.name.clone());
        event.operation = Some(operation);
        event.volume = Some(call.name.clone()).filter(|name| !name.is_empty());
        event.mount_id = Some(call.id.clone()).filter(|id| !id.is_empty());
        self.storage.history.record(event.clone());

        let mut names = vec![call.name.clone()];
        if let Ok(volume) = self.storage.find(&call.name) {
            names.extend([Some(volume.id.to_string()), volume.name].into_iter().flatten());
        }
        let mut point = Point {
            operation,
            when: When::Before,
            host: self.host.name.clone(),
            names,
        };
        let faults = &self.storage.faults;
        let result = async {
            faults.strike(&point).await?;
            let worked = self.work(operation, &call).await;
            point.when = When::After;
            faults.strike(&point).await?;
            worked
        };
        let result = match result.await {
            Err(StorageError::Pretended) => Ok(json!({"Err": ""})),
            Err(StorageError::Misled(path)) => Ok(json!({"Mountpoint": path, "Err": ""})),
            result => result,
        };

        event.kind = EventKind::Answer;
        event.error = result.as_ref().err().map(ToString::to_string);
        self.storage.history.record(event.took(arrived.elapsed()));
        result
    }

    async fn work(&self, operation: Operation, call: &Call) -> Result<Value, StorageError> {
        match operation {
            Operation::Activate => Ok(json!({"Implements": ["VolumeDriver"]})),
            Operation::Capabilities => Ok(json!({"Capabilities": {"Scope": "global"}})),
            Operation::Create => self.create(call).await,
            Operation::Remove => {
                let name = self.found(&call.name)?;
                let removed = match self.host.manners.has(Manner::RemovesMounted) {
                    true => self.storage.delete_mounted(&self.host, &name).await,
                    false => self.storage.delete(&name).await,
                };
                removed.map(|()| json!({"Err": ""}))
            }
            Operation::Mount => {
                let path = self.mount(call).await?;
                Ok(json!({"Mountpoint": path, "Err": ""}))
            }
            Operation::Unmount => {
                let name = self.found(&call.name)?;
                if self.host.manners.has(Manner::BreaksOnNames) && call.name.contains([' ', '\\']) {
                    return Err(StorageError::CannotUnmount(call.name.clone()));
                }
                let unmounted = self.storage.unmount(&self.host, &name, &call.id).await;
                unmounted.map(|()| json!({"Err": ""}))
            }
            Operation::Path => {
                let name = self.found(&call.name)?;
                let path = self.storage.mountpoint(&self.host, &name)?.unwrap_or_default();
                Ok(json!({"Mountpoint": path, "Err": ""}))
            }
            Operation::Get => {
                let volume = self.storage.find(&self.found(&call.name)?)?;
                let name = match self.host.manners.has(Manner::IgnoresCase) {
                    true => volume.label(),
                    false => &call.name,
                };
                Ok(json!({"Volume": self.describe(&volume, name), "Err": ""}))
            }
            Operation::List => {
                let volumes = self.storage.volumes();
                let here = volumes.iter().filter(|volume| volume.zone == self.host.zone);
                let listed: Vec<Value> = here.map(|volume| self.describe(volume, volume.label())).collect();
                Ok(json!({"Volumes": listed, "Err": ""}))
            }
            Operation::Attach | Operation::Format | Operation::Detach => {
                unreachable!("a storage step has no route")
            }
        }
    }

    /// What to ask the storage for: the id of the volume that the driver takes a name for, by its manners.
    fn found(&self, name: &str) -> Result<String, StorageError> {
        let manners = &self.host.manners;
        if manners.has(Manner::BreaksOnNames) && name.contains(['/', '%', '?', '#']) {
            return Err(StorageError::ResourceNotFound);
        }
        let by_traits = [Manner::IgnoresCase, Manner::NamesOnly, Manner::OtherZonesUnknown];
        if !by_traits.iter().any(|manner| manners.has(*manner)) {
            return Ok(name.to_owned());
        }
        let is_called = |volume: &Volume| {
            let tag = volume.name.as_deref().unwrap_or_default();
            let by_name = match manners.has(Manner::IgnoresCase) {
                true => tag.eq_ignore_ascii_case(name),
                false => tag == name,
            };
            by_name || !manners.has(Manner::NamesOnly) && volume.id.as_str() == name
        };
        let is_seen = |volume: &Volume| !manners.has(Manner::OtherZonesUnknown) || volume.zone == self.host.zone;
        let volumes = self.storage.volumes();
        let first = volumes.iter().find(|volume| is_seen(volume) && is_called(volume));
        first
            .map(|volume| volume.id.to_string())
            .ok_or(StorageError::ResourceNotFound)
    }

    async fn mount(&self, call: &Call) -> Result<PathBuf, StorageError> {
        let name = self.found(&call.name)?;
        let manners = &self.host.manners;
        let result = match self.attach_in_time(call, &name).await {
            Ok(()) => self.storage.mount(&self.host, &name, &call.id).await,
            Err(error) => Err(error),
        };
        match result {
            Err(StorageError::AttachedElsewhere { .. }) if manners.has(Manner::ForeignUnknown) => {
                Err(StorageError::ResourceNotFound)
            }
            result => result,
        }
    }

    /// The attach of a Mount, where the driver's manners make it a step of its own.
    async fn attach_in_time(&self, call: &Call, name: &str) -> Result<(), StorageError> {
        let manners = &self.host.manners;
        let collides = manners.has(Manner::DevicesCollide);
        if manners.limit().is_none() && !collides || self.storage.find(name)?.attachment.is_some() {
            return Ok(());
        }
        let device = manners.device();
        {
            let mut chosen = self.attaching.lock().unwrap_or_else(PoisonError::into_inner);
            if collides && chosen.contains(&device) {
                return Err(StorageError::DeviceCollision(call.name.clone()));
            }
            chosen.push(device);
        }
        let (driver, id) = (self.clone(), name.to_owned());
        // A task of its own: it goes on when nobody waits for it any more.
        let attach = tokio::spawn(async move {
            let attached = driver.storage.attach_to(&driver.host, &id).await;
            let mut chosen = driver.attaching.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = chosen.iter().position(|other| *other == device) {
                chosen.swap_remove(place);
            }
            drop(chosen);
            attached
        });
        let limit = manners.limit().unwrap_or(Duration::MAX);
        match tokio::time::timeout(limit, attach).await {
            Ok(Ok(attached)) => attached,
            Ok(Err(panic)) => Err(StorageError::Injected(format!("the attach broke: {panic}"))),
            Err(_) => Err(StorageError::OwnTimeLimit(call.name.clone())),
        }
    }

    async fn create(&self, call: &Call) -> Result<Value, StorageError> {
        let mut new = NewVolume {
            name: Some(call.name.clone()),
            size_gib: DEFAULT_SIZE_GIB,
            zone: self.host.zone.clone(),
            volume_type: "gp3".into(),
            unique_name: true,
        };
        for (key, value) in call.opts.iter().flatten() {
            match key.as_str() {
                "size" => {
                    new.size_gib = value.parse().map_err(|_| {
                        StorageError::InvalidParameter(format!("option size '{value}' is not a number of GiB"))
                    })?;
                }
                "zone" | "availabilityZone" => new.zone.clone_from(value),
                "type" | "volumeType" => new.volume_type.clone_from(value),
                _ => return Err(StorageError::InvalidParameter(format!("unknown option '{key}'"))),
            }
        }
        if self.host.manners.has(Manner::IgnoresCase) || self.host.manners.has(Manner::OtherZonesUnknown) {
            // REX-Ray looks for the exact name, among the volumes that it sees.
            new.unique_name = false;
            let seen =
                |volume: &&Volume| !self.host.manners.has(Manner::OtherZonesUnknown) || volume.zone == self.host.zone;
            let volumes = self.storage.volumes();
            if volumes.iter().filter(seen).any(|volume| volume.name == new.name) {
                return Err(StorageError::NameExists(call.name.clone()));
            }
        }
        self.storage.create(new).await.map(|_| json!({"Err": ""}))
    }

    /// The volume as Get and List show it on this host.
    fn describe(&self, volume: &Volume, name: &str) -> Value {
        let attachment = volume.attachment.as_ref();
        let here = attachment.filter(|it| it.host.as_ref() == Some(&self.host.name));
        let mount = here.and_then(|it| it.mount.as_ref()).filter(|mount| mount.in_use());
        json!({
            "Name": name,
            "Mountpoint": mount.map(|mount| mount.path.join(crate::filesystem::DATA_DIR)).unwrap_or_default(),
            "CreatedAt": volume.create_time.to_string(),
            "Status": {
                "id": volume.id.as_str(),
                "size": volume.size_gib,
                "availabilityZone": volume.zone,
                "type": volume.volume_type,
                "attachedTo": attachment.map(|it| it.holder()),
                "attachmentState": attachment.map(|it| it.state.as_str()),
            },
        })
    }
}
