//! From the isolator's answers to Mesos' wire bytes.

use isolator::Limitation;
use prost::Message;

use crate::{guard, wire};

/// From the kernel's `clone(2)`, as Mesos hands it on.
const CLONE_NEWNS: i32 = 0x0002_0000;

/// `TaskStatus::REASON_CONTAINER_LIMITATION` of Mesos.
const REASON_CONTAINER_LIMITATION: i32 = 19;

/// A `ContainerLaunchInfo` that asks for a mount namespace of the container's own and for nothing else. The isolator mounts in
/// it by itself, when Mesos calls `isolate`.
pub(crate) fn own_mount_namespace() -> Vec<u8> {
    wire::ContainerLaunchInfo {
        clone_namespaces: vec![CLONE_NEWNS],
    }
    .encode_to_vec()
}

/// A `ContainerLimitation`, with the reason that makes Mesos hand the message to the framework as it is.
pub(crate) fn limitation(limitation: &Limitation) -> Vec<u8> {
    wire::ContainerLimitation {
        message: Some(guard::flat(&limitation.message)),
        reason: Some(REASON_CONTAINER_LIMITATION),
    }
    .encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_with_volumes_gets_a_mount_namespace_and_nothing_for_its_launcher_to_do() {
        // clone_namespaces (4), one number: 0x20000.
        assert_eq!(own_mount_namespace(), b"\x20\x80\x80\x08");
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
