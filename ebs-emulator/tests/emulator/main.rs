//! The emulator as its users meet it: a process, sockets, real loop devices and mounts. Needs root.
//!
//! * [`command_line`]: what a person types.
//! * [`life_of_a_volume`]: attach, format, mount, unmount, detach, zones, hosts, sharing.
//! * [`detach_by_force`]: a volume taken from a host that has it mounted.
//! * [`driver_protocol`]: the answers on the wire, and the JSON of `describe`.
//! * [`rexray_manners`]: what REX-Ray was seen to do.
//! * [`restart_and_faults`]: SIGKILL and restart, fault rules, an orderly end.

#[cfg(test)]
mod command_line;
mod detach_by_force;
mod driver_protocol;
mod life_of_a_volume;
mod restart_and_faults;
#[cfg(test)]
mod rexray_manners;
#[cfg(test)]
mod rig;
