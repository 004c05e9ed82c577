//! From the isolator's answers to Mesos' wire bytes.

use std::path::{Path, PathBuf};

use isolator::{BindMount, Limitation, Restrictions};
use prost::Message;

use crate::{guard, wire};

/// From the kernel's `mount(2)` and `clone(2)`, as Mesos hands them on.
const MS_RDONLY: u32 = 1;
const MS_NOSUID: u32 = 2;
const MS_NODEV: u32 = 4;
const MS_NOEXEC: u32 = 8;
const MS_REMOUNT: u32 = 32;
const MS_BIND: u32 = 4096;
const MS_REC: u32 = 16384;
const CLONE_NEWNS: i32 = 0x0002_0000;

/// `TaskStatus::REASON_CONTAINER_LIMITATION` of Mesos.
const REASON_CONTAINER_LIMITATION: i32 = 19;

/// Mesos carries paths as protobuf strings, which have to be UTF-8.
#[derive(Debug, thiserror::Error)]
#[error("the path '{}' is not UTF-8, and Mesos cannot carry it", .0.display())]
pub(crate) struct PathNotUtf8(PathBuf);

/// A `ContainerLaunchInfo`: the binds, in order, in a mount namespace of the container's own. Mesos refuses mounts
/// without that namespace.
pub(crate) fn launch_info(mounts: &[BindMount]) -> Result<Vec<u8>, PathNotUtf8> {
    let mut infos = Vec::new();
    for mount in mounts {
        infos.push(bind(mount)?);
        if mount.read_only {
            infos.push(remount(mount)?);
        }
    }
    let info = wire::ContainerLaunchInfo {
        clone_namespaces: vec![CLONE_NEWNS],
        mounts: infos,
    };
    Ok(info.encode_to_vec())
}

/// A `ContainerLimitation`, with the reason that makes Mesos hand the message to the framework as it is.
pub(crate) fn limitation(limitation: &Limitation) -> Vec<u8> {
    wire::ContainerLimitation {
        message: Some(guard::flat(&limitation.message)),
        reason: Some(REASON_CONTAINER_LIMITATION),
    }
    .encode_to_vec()
}

fn bind(mount: &BindMount) -> Result<wire::ContainerMountInfo, PathNotUtf8> {
    Ok(wire::ContainerMountInfo {
        target: text(&mount.target)?,
        source: Some(text(&mount.source)?),
        flags: Some(MS_BIND | MS_REC),
    })
}

/// The kernel takes no flags with a bind; a remount makes it read-only. Left to Mesos (which does it by itself from 1.8 on)
/// the remount would lift `nosuid`, `nodev` and `noexec`, since it sets all flags anew.
fn remount(mount: &BindMount) -> Result<wire::ContainerMountInfo, PathNotUtf8> {
    let Restrictions { nosuid, nodev, noexec } = mount.restrictions;
    let restrictions = [(nosuid, MS_NOSUID), (nodev, MS_NODEV), (noexec, MS_NOEXEC)];
    let restrictions = restrictions
        .iter()
        .filter(|(set, _)| *set)
        .fold(0, |flags, (_, flag)| flags | flag);
    Ok(wire::ContainerMountInfo {
        target: text(&mount.target)?,
        source: None,
        flags: Some(MS_REMOUNT | MS_BIND | MS_RDONLY | restrictions),
    })
}

fn text(path: &Path) -> Result<String, PathNotUtf8> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| PathNotUtf8(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn volume(source: &str, target: &str, read_only: bool) -> BindMount {
        BindMount {
            source: source.into(),
            target: target.into(),
            read_only,
            restrictions: Restrictions {
                nosuid: true,
                nodev: true,
                noexec: false,
            },
        }
    }

    #[test]
    fn binds_come_with_a_mount_namespace_of_their_own_and_read_only_ones_are_remounted() {
        let bytes = launch_info(&[volume("/v/a", "/s/a", false), volume("/v/b", "/s/b", true)]).unwrap();
        let expected = [
            // clone_namespaces (4), one number: 0x20000.
            b"\x20\x80\x80\x08".as_slice(),
            // mounts (17), each: target (1), source (2), flags (4) = MS_BIND | MS_REC.
            b"\x8a\x01\x10\x0a\x04/s/a\x12\x04/v/a\x20\x80\xa0\x01",
            b"\x8a\x01\x10\x0a\x04/s/b\x12\x04/v/b\x20\x80\xa0\x01",
            // The read-only one again, remounted: MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV.
            b"\x8a\x01\x09\x0a\x04/s/b\x20\xa7\x20",
        ]
        .concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_path_that_mesos_cannot_carry_is_refused() {
        let odd = BindMount {
            source: OsStr::from_bytes(b"/v/\xff").into(),
            target: "/s/a".into(),
            read_only: false,
            restrictions: Restrictions::default(),
        };
        let error = launch_info(&[odd]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the path '/v/\u{fffd}' is not UTF-8, and Mesos cannot carry it"
        );
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
