//! Docker containers: Mesos calls no isolator for them. A hook tells of their launch, and the
//! Docker daemon of their end.
//!
//! ```text
//!  hook: prelaunch ──> as prepare() of a Mesos container ──> bound into the sandbox, on the host ──> docker run
//!  hook: a task ended, an executor ended ┐
//!  Docker: events ───────────────────────┴──> look: Docker's list, processes ──> ended: unbound, then as cleanup()
//! ```
//!
//! * [`place`] says where in the sandbox a volume goes, and what of a container's description rules
//!   that out.
//! * [`tracker`] decides when a container has ended. It is pure.
//! * [`watch`] looks, and carries out what follows.

mod api;
mod place;
mod processes;
mod sight_of_daemon;
mod tracker;
mod watch;

pub(crate) use api::Daemon;
pub(crate) use place::{PlaceError, check, in_sandbox};
pub(crate) use sight_of_daemon::daemon_sees;
pub(crate) use tracker::Tracker;
pub(crate) use watch::{Watch, Watcher};
