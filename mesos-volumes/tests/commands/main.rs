//! The program as people and as Mesos call it, against Debian's rclone and against a server that
//! breaks off.
//!
//! They need root (FUSE mounts) and the packages rclone and fuse3; without them they fail and say
//! so. `docker_volume` runs a real master and agent from the testbed.

#![allow(clippy::unwrap_used, reason = "a fixture that cannot be set up fails its test")]

mod agents;
mod docker_volume;
mod driver;
mod driver_test;
mod dvdcli;
mod fixture;
