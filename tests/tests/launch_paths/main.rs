//! Every way in which Mesos launches a container, and what is mounted where in it, as seen from inside.
//!
//! | module | what it proves |
//! |---|---|
//! | `matrix` | each launch path, with and without an image, at a relative and an absolute path: the volume is where it belongs |
//! | `places` | paths that are odd, taken, or lead elsewhere: inside the container or refused, never on the host |
//! | `mesos_mounts` | a volume at the path of a folder or persistent volume that Mesos mounts itself is refused, with both named |
//! | `pods` | which labels count in a pod, what its members get, and what looks into them |
//! | `attacks` | others of the same user, and who fills a volume, cannot lead a mount out of the container |
//! | `executors` | a custom executor with several tasks: whose labels count, and what becomes of a later task's |
//!
//! Task groups run under Mesos' default executor; the official library does not have that program, so what the agent starts
//! under its name is the testbed's own.
#![allow(clippy::unwrap_used, reason = "a fixture that cannot be set up fails its test")]

mod attacks;
mod executors;
mod inside;
mod matrix;
mod mesos_mounts;
mod places;
mod pods;
