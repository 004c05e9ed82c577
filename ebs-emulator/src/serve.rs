//! The process: a driver socket per host, the control socket, and an orderly end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::error::StorageError;
use crate::history::{Event, EventKind};
use crate::host::HostSpec;
use crate::storage::Storage;
use crate::{control, filesystem, plugin, socket};

/// The control socket's name in the state folder.
pub const CONTROL_SOCKET: &str = "control.sock";

/// How long steps under way may take before the process ends in the middle of them, as a kill would end it.
const REST_LIMIT: Duration = Duration::from_secs(5);

/// What the process is to serve.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The state folder.
    pub state: PathBuf,
    /// The hosts.
    pub hosts: Vec<HostSpec>,
    /// Whether the end unmounts and detaches everything.
    pub unmount_on_exit: bool,
}

/// Serves until SIGTERM or SIGINT. Announces on standard output where it listens once it does.
///
/// Mounts and attachments stay when it ends, unless told otherwise: the next start finds them.
///
/// # Errors
/// [`StorageError`] when the state folder or a socket cannot be had.
pub async fn serve(options: ServeOptions) -> Result<(), StorageError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StorageError::io("wait for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StorageError::io("wait for SIGINT"))?;
    let (state, hosts) = (options.state.clone(), options.hosts.clone());
    let storage = Arc::new(
        tokio::task::spawn_blocking(move || Storage::open(&state, &hosts))
            .await
            .map_err(|error| StorageError::io("open the storage")(std::io::Error::other(error)))??,
    );
    let mut servers = JoinSet::new();
    let mut sockets = Vec::new();
    for host in storage.hosts() {
        let listener = socket::bind(&host.socket)?;
        println!(
            "host {} in {}: driver at {}",
            host.name,
            host.zone,
            host.socket.display()
        );
        sockets.push(host.socket.clone());
        servers.spawn(socket::serve(listener, plugin::router(storage.clone(), host.clone())));
    }
    // Last, so that whoever reaches the control socket finds the drivers too.
    let path = storage.root().join(CONTROL_SOCKET);
    let listener = socket::bind(&path)?;
    println!("control at {}", path.display());
    sockets.push(path);
    servers.spawn(socket::serve(listener, control::router(storage.clone())));

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    servers.shutdown().await;
    if options.unmount_on_exit {
        storage.let_everything_go().await;
        for host in storage.hosts().iter().filter(|host| host.shared) {
            filesystem::stop_sharing(&host.volumes_dir())?;
        }
    }
    let _still = storage.come_to_rest(REST_LIMIT).await;
    for path in sockets {
        std::fs::remove_file(&path).map_err(StorageError::io(format!("remove {}", path.display())))?;
    }
    storage.history.record(Event::new(EventKind::Stop));
    Ok(())
}
