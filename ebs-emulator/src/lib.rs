//! A local Elastic Block Store for tests and demonstrations.
//!
//! Volumes are sparse files; attaching one to an emulated *host* makes it a real loop device, mounting it makes
//! a real ext4 mount. Each host has its own socket that speaks the Docker volume plugin protocol, as REX-Ray
//! does on an EC2 instance; the storage behind the sockets is one, so the rules of EBS hold between the hosts: a
//! volume is attached to one host at a time, and only to a host of its own availability zone.
//!
//! ```text
//!   client of host a ──► a/driver.sock ─┐                        ┌─► losetup, mkfs.ext4, mount(2)
//!   client of host b ──► b/driver.sock ─┼─► Storage (one turn ───┤
//!   operator, test   ──► control.sock  ─┘   per volume), faults  └─► volumes/vol-….json, events.jsonl
//! ```
//!
//! * [`storage`] is the storage itself: attach, mount, unmount, detach, each step recorded before it is taken; and detach
//!   by force, which leaves the host that had the volume with a mount that answers EIO.
//! * [`faults`] is what can be made to go wrong, as data; [`history`] is what happened.
//! * [`manners`] is how drivers differ: what REX-Ray and other drivers were seen to do, each trait selectable by itself.
//! * [`plugin`] and [`control`] are the two HTTP faces of it, [`serve`] the process that has them.
//! * [`Emulator`] starts such a process from a test and leaves nothing behind; [`Client`] talks to any.
//!
//! What the emulator believes about attachments and mounts after a restart it reads from the kernel (`/sys/block`,
//! `/proc/self/mountinfo`), not from its files, so it may be killed at any moment.
#![deny(unsafe_code)]

pub mod api;
pub mod client;
pub mod control;
mod device;
pub mod emulator;
pub mod error;
pub mod faults;
mod filesystem;
pub mod history;
pub mod host;
pub mod manners;
pub mod plugin;
mod pull;
pub mod release;
pub mod serve;
mod socket;
pub mod storage;
mod store;
pub mod volume;

pub use client::{Client, ClientError};
pub use emulator::{Emulator, EmulatorOptions};
pub use error::StorageError;
pub use faults::{Action, FaultRule, Operation, When};
pub use history::{Event, EventKind};
pub use host::HostSpec;
pub use manners::{Manner, Manners};
pub use volume::VolumeId;
