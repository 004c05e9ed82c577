//! Whether the host gives what the module needs: kernel, folders, drivers, mounts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use isolator::{Config, is_on_shared_mount, is_shared_mount};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, StatVfsMountFlags, openat2, statfs, statvfs};
use rustix::io::Errno;
use volume_driver_client::{Candidate, Drivers};
use volume_labels::counted;

use super::finding::Finding;

/// `f_type` of file systems that a reboot or a new container empties.
const TMPFS: i128 = 0x0102_1994;
const RAMFS: i128 = 0x8584_58f6;
const OVERLAY: i128 = 0x794c_7630;

/// What paths of containers are resolved with.
pub(super) fn kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let flags = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match openat2(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), flags) {
        Ok(_) => Finding::ok("kernel", format!("Linux {release} has openat2")),
        Err(Errno::NOSYS | Errno::PERM) => Finding::fail(
            "kernel",
            format!("Linux {release} has no openat2, or it is filtered out"),
            "run Linux 5.6 or later, without a seccomp filter that hides it from the agent",
        ),
        Err(error) => Finding::fail(
            "kernel",
            format!("Linux {release}: openat2: {error}"),
            "look into the kernel's log",
        ),
    }
}

/// The folder of the records.
pub(super) fn state_folder(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "state folder";
    let folder = &config.state_dir;
    let shown = folder.display();
    let metadata = match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            return vec![Finding::fail(
                CHECK,
                format!("{shown} is no folder"),
                "name another in state_dir",
            )];
        }
        Err(error) => {
            let remedy =
                "the agent makes it when the module starts: see whether it is in --isolation, and run this on its host";
            return vec![Finding::fail(CHECK, format!("{shown}: {error}"), remedy)];
        }
    };
    let kind = statfs(folder).map(|found| i128::from(found.f_type) & 0xffff_ffff);
    let room = statvfs(folder).ok();
    let read_only = room
        .as_ref()
        .is_some_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY));
    // Where nothing is counted nothing runs out.
    let out_of = room.as_ref().and_then(|found| match found {
        found if found.f_blocks > 0 && found.f_bavail == 0 => Some("space"),
        found if found.f_files > 0 && found.f_favail == 0 => Some("inodes"),
        _ => None,
    });
    let mut findings = vec![match kind {
        _ if read_only => Finding::fail(
            CHECK,
            format!("{shown} is on a read-only file system"),
            "make it writable",
        ),
        _ if out_of.is_some() => Finding::fail(
            CHECK,
            format!(
                "{shown} is on a file system without {}: containers that ask for volumes are refused",
                out_of.unwrap_or_default()
            ),
            "make room there; no restart is needed",
        ),
        Ok(TMPFS | RAMFS) => Finding::fail(
            CHECK,
            format!("{shown} is in memory: after a reboot it is not known which volumes are attached"),
            "put state_dir on a disk",
        ),
        Ok(OVERLAY) => Finding::warn(
            CHECK,
            format!("{shown} is on an overlay: it goes with the container that the agent runs in"),
            "put state_dir on the host's disk",
        ),
        Ok(_) if metadata.mode() & 0o022 != 0 => Finding::fail(
            CHECK,
            format!(
                "{shown} has mode {:o}: others can forge records",
                metadata.mode() & 0o7777
            ),
            format!("chmod go-w {shown}"),
        ),
        Ok(_) => Finding::ok(CHECK, format!("{shown} is on a disk, and writable")),
        Err(error) => Finding::fail(CHECK, format!("{shown}: {error}"), "look at the file system"),
    }];
    let quarantine = folder.join("quarantine");
    let quarantined = fs::read_dir(&quarantine).map(Iterator::count).unwrap_or_default();
    if quarantined > 0 {
        findings.push(Finding::warn(
            "quarantine",
            format!(
                "{} that could not be read in {}",
                counted(quarantined, "record"),
                quarantine.display()
            ),
            "see what they name with 'mesos-volumes quarantine ls' and 'show', unmount what is still mounted with \
             'mesos-volumes driver unmount', then 'mesos-volumes quarantine rm'",
        ));
    }
    findings
}

/// Every driver that can be found, and the default one.
pub(super) fn drivers(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "driver";
    let drivers = Drivers::new(config.discovery.clone(), config.profiles.clone());
    let candidates = drivers.list();
    // Asked at the same time: one that hangs costs its own deadline only.
    let mut findings: Vec<Finding> = thread::scope(|threads| {
        let asking: Vec<_> = candidates
            .iter()
            .map(|candidate| threads.spawn(|| driver(&drivers, candidate)))
            .collect();
        let answers = asking.into_iter();
        answers
            .map(|thread| thread.join().expect("asking a driver does not panic"))
            .collect()
    });
    if candidates.is_empty() {
        let searched = config.discovery.socket_dirs.iter().chain(&config.discovery.spec_dirs);
        let searched: Vec<String> = searched.map(|path| path.display().to_string()).collect();
        findings.push(Finding::warn(
            CHECK,
            format!("there is none in {}", searched.join(", ")),
            "start one; see the parameters driver_sockets, driver_specs and drivers",
        ));
    }
    findings.extend(candidates.iter().filter_map(|candidate| own_limit(&drivers, candidate)));
    if let Some(default) = &config.default_driver
        && !candidates.iter().any(|candidate| candidate.name == *default)
    {
        let found = format!("the default driver '{default}' is not found");
        findings.push(Finding::fail(
            CHECK,
            found,
            "start it, or correct the parameter default_driver",
        ));
    }
    findings
}

/// Whether the module waits for calls of a driver for longer than the driver works on them. Only
/// drivers of which a limit of their own is known are looked at.
fn own_limit(drivers: &Drivers, candidate: &Candidate) -> Option<Finding> {
    const CHECK: &str = "time limits";
    let name = &candidate.name;
    candidate.outcome.as_ref().ok()?;
    let profile = drivers.profiles().for_driver(name);
    let limit = profile.own_limit?.as_secs_f64();
    let beyond: Vec<String> = profile
        .beyond_own_limit()
        .into_iter()
        .map(|(call, timeout)| format!("{call} {} s", timeout.as_secs_f64()))
        .collect();
    if beyond.is_empty() {
        let found = format!("no call of '{name}' is waited for longer than the driver works on it ({limit} s)");
        return Some(Finding::ok(CHECK, found));
    }
    let setting = profile
        .own_limit_setting
        .as_deref()
        .unwrap_or("the limit in its own settings");
    Some(Finding::warn(
        CHECK,
        format!(
            "the module waits longer for '{name}' ({}) than the driver works on a call ({limit} s): a slow attach is refused \
             without a cause then, and goes on",
            beyond.join(", ")
        ),
        format!(
            "raise {setting} and say so in own_limit (seconds), or lower these timeouts; both are set for the driver below \
             'profiles' in the module parameter drivers"
        ),
    ))
}

fn driver(drivers: &Drivers, candidate: &Candidate) -> Finding {
    const CHECK: &str = "driver";
    let name = &candidate.name;
    let endpoint = match &candidate.outcome {
        Ok(endpoint) => endpoint,
        Err(why) => {
            let found = format!("'{name}' cannot be used: {why}");
            return Finding::fail(
                CHECK,
                found,
                "correct what is said there; a socket must be writable for root alone",
            );
        }
    };
    let activated = drivers.driver(name).and_then(|driver| driver.activate());
    match activated {
        Ok(kinds) if kinds.iter().any(|kind| kind == "VolumeDriver") => {
            Finding::ok(CHECK, format!("'{name}' answers at {endpoint}"))
        }
        Ok(_) => Finding::ok(
            CHECK,
            format!("'{name}' at {endpoint} is a plugin of another kind, and left alone"),
        ),
        Err(error) => Finding::fail(
            CHECK,
            error.to_string(),
            "start the driver, or remove its socket or spec file",
        ),
    }
}

/// Whether an unmount reaches the copies that containers hold.
pub(super) fn propagation(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "propagation";
    if config.mount_bases.is_empty() {
        let found = if is_on_shared_mount(Path::new("/var/lib")).unwrap_or(false) {
            Finding::ok(CHECK, "the host's mounts are shared, as systemd makes them")
        } else {
            Finding::warn(
                CHECK,
                "a volume can stay busy after its last task, because other containers keep a copy of its mount (the host's mounts \
                 are private)",
                "set mount_bases to the folder that the driver mounts in (REX-Ray: /var/lib/rexray/volumes)",
            )
        };
        return vec![found];
    }
    let of = |base: &std::path::PathBuf| {
        let shown = base.display();
        match is_shared_mount(base) {
            Ok(Some(true)) => Finding::ok(CHECK, format!("{shown} is a shared mount")),
            Ok(Some(false)) => Finding::fail(
                CHECK,
                format!("{shown} is a private mount, though mount_bases names it"),
                "see the agent's log for why it could not be shared, or restart the agent with the module",
            ),
            Ok(None) => Finding::fail(
                CHECK,
                format!("{shown} is no mount, though mount_bases names it"),
                "see whether the module is in --isolation, and whether this runs in the agent's mount namespace",
            ),
            Err(error) => Finding::warn(
                CHECK,
                format!("cannot read the mount table: {error}"),
                "run this as root",
            ),
        }
    };
    config.mount_bases.iter().map(of).collect()
}

/// The folders of what operators are to see.
pub(super) fn reports(config: &Config) -> Vec<Finding> {
    let named = [
        ("metrics_file", &config.metrics_file),
        ("metrics_socket", &config.metrics_socket),
        ("audit_log", &config.audit_log),
    ];
    let mut findings = Vec::new();
    for (parameter, path) in named {
        if let Some(path) = path
            && !path.parent().is_some_and(Path::is_dir)
        {
            findings.push(Finding::warn(
                "reports",
                format!("{parameter} is {}, and its folder is not there", path.display()),
                "make the folder",
            ));
        }
    }
    findings
}
