//! The health of mounted volumes: what each mount was like when it was made, and what probes find
//! out about it later.

pub(crate) mod baseline;
pub(crate) mod dead_mount;
mod monitor;
mod probe;
mod prober;
mod watched_volume;

pub(crate) use baseline::Baselines;
pub(crate) use monitor::run as make_rounds;
pub(crate) use watched_volume::{HealthReport, WatchedVolume};
