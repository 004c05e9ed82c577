//! From the isolator's answers to Mesos' wire bytes.

use std::iter;
use std::path::{Path, PathBuf};

use isolator::{BindMount, Limitation, Restrictions};
use prost::Message;

use crate::release::Binds;
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
pub(crate) fn launch_info(mounts: &[BindMount], binds: Binds) -> Result<Vec<u8>, PathNotUtf8> {
    let mut info = wire::ContainerLaunchInfo {
        clone_namespaces: vec![CLONE_NEWNS],
        ..Default::default()
    };
    let commands = match binds {
        Binds::Commands => true,
        Binds::MountsOnWhatIsThere => (0..mounts.len()).any(|index| lies_in_an_earlier_one(mounts, index)),
        Binds::Mounts => false,
    };
    if commands {
        info.pre_exec_commands = bind_commands(mounts)?;
        return Ok(info.encode_to_vec());
    }
    for mount in mounts {
        info.mounts.push(bind(mount)?);
        if mount.read_only {
            info.mounts.push(remount(mount)?);
        }
    }
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

/// Whether the target at `index` is inside the target of one before it: it is there once that one is bound, or not at all.
fn lies_in_an_earlier_one(mounts: &[BindMount], index: usize) -> bool {
    let target = &mounts[index].target;
    mounts[..index]
        .iter()
        .any(|earlier| target.starts_with(&earlier.target))
}

/// The binds as commands, which the launcher runs in order.
fn bind_commands(mounts: &[BindMount]) -> Result<Vec<wire::CommandInfo>, PathNotUtf8> {
    // Where there are mounts Mesos sees to it that they stay in the container; here nobody may have done so yet.
    let mut commands = vec![mount_command(&["--make-rslave", "/"])];
    for (index, mount) in mounts.iter().enumerate() {
        let (source, target) = (text(&mount.source)?, text(&mount.target)?);
        if lies_in_an_earlier_one(mounts, index) {
            commands.push(command("mkdir", &["-p", &target]));
        }
        commands.push(mount_command(&["--rbind", &source, &target]));
        if mount.read_only {
            // Source and target both, so that mount(8) looks nothing up in a table.
            commands.push(mount_command(&["-o", &remount_options(mount), &source, &target]));
        }
    }
    Ok(commands)
}

/// What [`remount`] asks for, as mount(8) takes it.
fn remount_options(mount: &BindMount) -> String {
    let Restrictions { nosuid, nodev, noexec } = mount.restrictions;
    let restrictions = [(nosuid, ",nosuid"), (nodev, ",nodev"), (noexec, ",noexec")];
    let restrictions = restrictions.iter().filter(|(set, _)| *set).map(|(_, option)| *option);
    iter::once("remount,bind,ro").chain(restrictions).collect()
}

fn mount_command(arguments: &[&str]) -> wire::CommandInfo {
    command("mount", &[&["-n", "--no-canonicalize"], arguments].concat())
}

/// A program with these arguments; without a shell, since paths come from labels.
fn command(program: &str, arguments: &[&str]) -> wire::CommandInfo {
    let all = [program].into_iter().chain(arguments.iter().copied());
    wire::CommandInfo {
        value: program.to_owned(),
        shell: false,
        arguments: all.map(str::to_owned).collect(),
    }
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

    /// One to write to and a read-only one.
    fn two_volumes() -> [BindMount; 2] {
        [volume("/v/a", "/s/a", false), volume("/v/b", "/s/b", true)]
    }

    /// The command lines, of which none has a shell, of a launch info without mounts.
    fn commands(bytes: &[u8]) -> Vec<String> {
        let info = wire::ContainerLaunchInfo::decode(bytes).unwrap();
        assert!(info.mounts.is_empty());
        assert_eq!(info.clone_namespaces, [CLONE_NEWNS]);
        let commands = info.pre_exec_commands.iter();
        let lines = commands.map(|command| {
            assert!(!command.shell);
            assert_eq!(command.arguments[0], command.value);
            command.arguments.join(" ")
        });
        lines.collect()
    }

    #[test]
    fn before_1_7_a_target_inside_another_volume_is_made_by_a_command() {
        let nested = [volume("/v/a", "/s/a", false), volume("/v/b", "/s/a/b/c", false)];
        let expected = [
            "mount -n --no-canonicalize --make-rslave /",
            "mount -n --no-canonicalize --rbind /v/a /s/a",
            "mkdir -p /s/a/b/c",
            "mount -n --no-canonicalize --rbind /v/b /s/a/b/c",
        ];
        assert_eq!(commands(&launch_info(&nested, Binds::of(4)).unwrap()), expected);
        assert_eq!(commands(&launch_info(&nested, Binds::of(6)).unwrap()), expected);
        let info = launch_info(&nested, Binds::of(7)).unwrap();
        let info = wire::ContainerLaunchInfo::decode(info.as_slice()).unwrap();
        assert_eq!((info.pre_exec_commands.len(), info.mounts.len()), (0, 2));
    }

    #[test]
    fn before_1_5_binds_are_commands_without_a_shell() {
        let bytes = launch_info(&two_volumes(), Binds::of(4)).unwrap();
        assert_eq!(
            commands(&bytes),
            [
                "mount -n --no-canonicalize --make-rslave /",
                "mount -n --no-canonicalize --rbind /v/a /s/a",
                "mount -n --no-canonicalize --rbind /v/b /s/b",
                "mount -n --no-canonicalize -o remount,bind,ro,nosuid,nodev /v/b /s/b",
            ]
        );
        // Mesos takes a command that does not say so for one with a shell.
        assert!(bytes.windows(2).any(|field| field == b"\x30\x00"));
    }

    #[test]
    fn binds_come_with_a_mount_namespace_of_their_own_and_read_only_ones_are_remounted() {
        let bytes = launch_info(&two_volumes(), Binds::of(7)).unwrap();
        assert_eq!(launch_info(&two_volumes(), Binds::of(5)).unwrap(), bytes);
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
        let error = launch_info(&[odd], Binds::Mounts).unwrap_err();
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
