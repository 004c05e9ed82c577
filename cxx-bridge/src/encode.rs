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

/// Binds step by step.
const BIND: &str = include_str!("bind.sh");

/// `TaskStatus::REASON_CONTAINER_LIMITATION` of Mesos.
const REASON_CONTAINER_LIMITATION: i32 = 19;

/// Mesos carries paths as protobuf strings, which have to be UTF-8.
#[derive(Debug, thiserror::Error)]
#[error("the path '{}' is not UTF-8, and Mesos cannot carry it", .0.display())]
pub(crate) struct PathNotUtf8(PathBuf);

/// A `ContainerLaunchInfo`: the binds, in order, in a mount namespace of the container's own. Mesos refuses mounts
/// without that namespace.
///
/// Mesos follows symlinks on the way to a target, and makes what is missing there, as root and on the host's file system. So a
/// target that others can reach before Mesos does is bound by a command that does not (`bind.sh`): one inside another volume,
/// whose content is anybody's, and all of an `exposed` container.
pub(crate) fn launch_info(mounts: &[BindMount], binds: Binds, exposed: bool) -> Result<Vec<u8>, PathNotUtf8> {
    let mut info = wire::ContainerLaunchInfo {
        clone_namespaces: vec![CLONE_NEWNS],
        ..Default::default()
    };
    for (index, mount) in mounts.iter().enumerate() {
        let outer = outer_target(mounts, index);
        if outer.is_some() || exposed || binds == Binds::Commands {
            info.pre_exec_commands.push(bind_command(mount, outer)?);
            continue;
        }
        info.mounts.push(bind(mount)?);
        if mount.read_only {
            info.mounts.push(remount(mount)?);
        }
    }
    if info.mounts.is_empty() && !info.pre_exec_commands.is_empty() {
        // Where there are mounts Mesos sees to it that they stay in the container; here nobody may have done so yet.
        let stay = ["mount", "-n", "--no-canonicalize", "--make-rslave", "/"];
        info.pre_exec_commands.insert(0, command(&stay));
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

/// The innermost earlier target that the target at `index` lies in.
fn outer_target(mounts: &[BindMount], index: usize) -> Option<&Path> {
    let earlier = mounts[..index].iter().map(|mount| mount.target.as_path());
    earlier
        .filter(|outer| mounts[index].target.starts_with(outer))
        .max_by_key(|outer| outer.as_os_str().len())
}

/// The bind as a command, which the launcher runs behind its mounts; inside `outer` the way is made where it is missing.
fn bind_command(mount: &BindMount, outer: Option<&Path>) -> Result<wire::CommandInfo, PathNotUtf8> {
    let (source, target) = (text(&mount.source)?, text(&mount.target)?);
    let options = if mount.read_only {
        remount_options(mount)
    } else {
        String::new()
    };
    let from = outer.unwrap_or(&mount.target);
    let way = mount.target.strip_prefix(from).unwrap_or(Path::new(""));
    let parts = way.iter().map(|part| part.to_str().unwrap_or(&target));
    let from = text(from)?;
    let script = script();
    let arguments = ["sh", "-c", &script, "external-volumes", &source, &options, &from];
    Ok(command(&arguments.into_iter().chain(parts).collect::<Vec<_>>()))
}

/// `bind.sh` without what explains it: Mesos writes each command into the sandbox's stderr.
fn script() -> String {
    let lines = BIND.lines().filter(|line| !line.starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// What [`remount`] asks for, as mount(8) takes it.
fn remount_options(mount: &BindMount) -> String {
    let Restrictions { nosuid, nodev, noexec } = mount.restrictions;
    let restrictions = [(nosuid, ",nosuid"), (nodev, ",nodev"), (noexec, ",noexec")];
    let restrictions = restrictions.iter().filter(|(set, _)| *set).map(|(_, option)| *option);
    iter::once("remount,bind,ro").chain(restrictions).collect()
}

/// A program with these arguments, its name first. Paths come from labels: they are arguments, also of a shell, and never text
/// that it reads.
fn command(arguments: &[&str]) -> wire::CommandInfo {
    wire::CommandInfo {
        value: arguments[0].to_owned(),
        shell: false,
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
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
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::process::Command;

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

    /// The same, with what `bind.sh` is called with in place of its text.
    fn shown(bytes: &[u8]) -> Vec<String> {
        let script = format!("sh -c {} external-volumes", script());
        commands(bytes)
            .iter()
            .map(|line| line.replace(&script, "bind"))
            .collect()
    }

    #[test]
    fn a_target_inside_another_volume_is_bound_step_by_step_behind_the_mounts() {
        let nested = [
            volume("/v/a", "/s/a", false),
            volume("/v/b", "/s/a/b/c", false),
            volume("/v/c", "/s/a/b/c/d", true),
        ];
        for minor in [5, 6, 7, 11] {
            let bytes = launch_info(&nested, Binds::of(minor), false).unwrap();
            let mut info = wire::ContainerLaunchInfo::decode(bytes.as_slice()).unwrap();
            let targets: Vec<String> = info.mounts.drain(..).map(|mount| mount.target).collect();
            assert_eq!(targets, ["/s/a"]);
            assert_eq!(
                shown(&info.encode_to_vec()),
                [
                    "bind /v/b  /s/a b c",
                    "bind /v/c remount,bind,ro,nosuid,nodev /s/a/b/c d"
                ]
            );
        }
    }

    #[test]
    fn before_1_5_and_in_an_exposed_container_every_bind_is_made_step_by_step() {
        let old = launch_info(&two_volumes(), Binds::of(4), false).unwrap();
        let expected = [
            "mount -n --no-canonicalize --make-rslave /",
            "bind /v/a  /s/a",
            "bind /v/b remount,bind,ro,nosuid,nodev /s/b",
        ];
        assert_eq!(shown(&old), expected);
        // Mesos takes a command that does not say so for one with a shell.
        assert!(old.windows(2).any(|field| field == b"\x30\x00"));
        assert_eq!(launch_info(&two_volumes(), Binds::of(11), true).unwrap(), old);
    }

    /// Runs the commands in a mount namespace of their own, then `look` in `folder`: its status and output.
    fn carried_out(bytes: &[u8], folder: &Path, look: &str) -> (bool, String) {
        let info = wire::ContainerLaunchInfo::decode(bytes).unwrap();
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "sh", "-c"]);
        let mut script = "set -e\n".to_owned();
        let mut count = 1;
        for command in &info.pre_exec_commands {
            let words = command.arguments.iter().map(|_| {
                count += 1;
                format!("\"${{{count}}}\" ")
            });
            script.extend(words);
            script.push('\n');
        }
        unshare.arg(format!("{script}cd \"$1\"; {look}")).arg("sh").arg(folder);
        for command in &info.pre_exec_commands {
            unshare.args(&command.arguments);
        }
        let output = unshare.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    fn of(source: &Path, target: &Path, read_only: bool) -> BindMount {
        volume(source.to_str().unwrap(), target.to_str().unwrap(), read_only)
    }

    #[test]
    fn step_by_step_a_bind_goes_to_its_target_or_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for made in ["volume", "in it", "sandbox/data", "host"] {
            fs::create_dir_all(root.join(made)).unwrap();
        }
        fs::write(root.join("volume/file"), "of the volume\n").unwrap();
        fs::write(root.join("in it/file"), "of the inner one\n").unwrap();
        symlink(root.join("host"), root.join("volume/way")).unwrap();
        let (outer, data) = (root.join("volume"), root.join("sandbox/data"));
        let inner = |path: &str, read_only| {
            let mounts = [
                of(&outer, &data, false),
                of(&root.join("in it"), &data.join(path), read_only),
            ];
            launch_info(&mounts, Binds::Commands, false).unwrap()
        };

        let look = "cat data/file data/a/b*/file; cd data/a/b*; touch new";
        let (good, said) = carried_out(&inner("a/b \"$(c)\"", true), &root.join("sandbox"), look);
        assert!(!good && said.contains("of the volume\nof the inner one\n"), "{said}");
        assert!(said.contains("Read-only file system"), "{said}");
        assert!(root.join("volume/a/b \"$(c)\"").is_dir(), "made in the volume");

        for path in ["way", "way/deep", "file"] {
            let (good, said) = carried_out(&inner(path, false), &root.join("sandbox"), "true");
            assert!(
                !good && said.contains("external volumes: cannot mount"),
                "{path}: {said}"
            );
        }
        assert_eq!(fs::read_dir(root.join("host")).unwrap().count(), 0);

        // The sandbox's own folder, turned aside before Mesos comes.
        fs::remove_dir(&data).unwrap();
        symlink(root.join("host"), &data).unwrap();
        let exposed = launch_info(&[of(&outer, &data, false)], Binds::Mounts, true).unwrap();
        let (good, said) = carried_out(&exposed, &root, "true");
        assert!(!good && said.contains("it leads to"), "{said}");
    }

    #[test]
    fn binds_come_with_a_mount_namespace_of_their_own_and_read_only_ones_are_remounted() {
        let bytes = launch_info(&two_volumes(), Binds::of(7), false).unwrap();
        assert_eq!(launch_info(&two_volumes(), Binds::of(5), false).unwrap(), bytes);
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
        let error = launch_info(&[odd], Binds::Mounts, false).unwrap_err();
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
