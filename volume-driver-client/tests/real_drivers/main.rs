//! The client against drivers of other projects: Debian's `rclone serve docker`, PyPI's
//! buttervolume on a btrfs file system, and `socat` speaking TLS in front of rclone.
//!
//! They need root (mounts, loop devices) and the packages rclone, fuse3, socat, openssl, btrfs-progs and python3-venv; a test whose
//! program is missing fails and names the package. buttervolume is installed by pip into the target folder on first use.
//!
//! * `rclone`: a whole life over a unix socket and over TCP, the driver's texts, one call at a time.
//! * `rclone_faults`: killed, restarted, stale socket, dead mount, an API that never comes up, stopped under users.
//! * `buttervolume`: errors with status 200, web pages for errors, directories instead of mounts.
//! * `tls`: certificates of both sides, right, wrong and missing.

#![allow(clippy::unwrap_used, reason = "a fixture that cannot be set up fails its test")]

mod buttervolume;
mod fixture;
mod rclone;
mod rclone_faults;
mod tls;
