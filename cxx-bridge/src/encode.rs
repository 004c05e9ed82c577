//! From the isolator's answers to Mesos' wire bytes.

use isolator::{BindMount, Limitation};
use prost::Message;

use crate::{guard, wire};

/// From the kernel's `clone(2)` and `mount(2)`, as Mesos hands them on.
const CLONE_NEWNS: i32 = 0x0002_0000;
const MS_SLAVE: u32 = 0x0008_0000;

/// `TaskStatus::REASON_CONTAINER_LIMITATION` of Mesos.
const REASON_CONTAINER_LIMITATION: i32 = 19;

/// A `ContainerLaunchInfo` that asks for a mount namespace of the container's own. The isolator
/// mounts in it by itself, when Mesos calls `isolate`.
///
/// Between that and the command, Mesos fetches files into the sandbox, and other processes may
/// rename the folder that is mounted on: the mount goes along, or is undone by the kernel when the
/// folder is removed. So the launcher is given one more step for each volume, which changes nothing
/// and fails where nothing is mounted: the command then never runs without its volume.
pub(crate) fn launch_info(mounts: &[BindMount]) -> Vec<u8> {
    // Mesos carries text as UTF-8. A folder of an image that has another name goes without this
    // step.
    let targets = mounts.iter().filter_map(|mount| mount.target.to_str());
    wire::ContainerLaunchInfo {
        clone_namespaces: vec![CLONE_NEWNS],
        mounts: targets
            .map(|target| wire::ContainerMountInfo {
                target: target.to_owned(),
                flags: Some(MS_SLAVE),
            })
            .collect(),
    }
    .encode_to_vec()
}

/// A `ContainerLimitation`, with the reason that makes Mesos hand the message to the framework as
/// it is.
pub(crate) fn limitation(limitation: &Limitation) -> Vec<u8> {
    wire::ContainerLimitation {
        message: Some(guard::flat(&limitation.message)),
        reason: Some(REASON_CONTAINER_LIMITATION),
    }
    .encode_to_vec()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_container_with_volumes_gets_a_mount_namespace_and_a_look_at_each_mount_before_its_command() {
        let mount = |target: &[u8]| BindMount {
            source: "/v/a".into(),
            target: OsStr::from_bytes(target).into(),
            read_only: true,
        };
        let bytes = launch_info(&[mount(b"/s/a"), mount(b"/s/\xff")]);
        let expected = [
            // clone_namespaces (4), one number: 0x20000.
            b"\x20\x80\x80\x08".as_slice(),
            // mounts (17): target (1) and flags (4) = MS_SLAVE.
            b"\x8a\x01\x0a\x0a\x04/s/a\x20\x80\x80\x20",
        ]
        .concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_limitation_carries_its_reason_and_no_resources() {
        let bytes = limitation(&Limitation {
            message: "gone".to_owned(),
        });
        // message (2), reason (3) = 19; a field 1 would abort the agent.
        assert_eq!(bytes, b"\x12\x04gone\x18\x13");
    }
}
