//! Binds in mount namespaces that these tests make for themselves. They need root, as the agent
//! does.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::fs::{Mode, openat};
use tempfile::TempDir;
use volume_labels::MountFlags;

use super::*;

/// A process in a mount namespace of its own, whose mounts are shared with the host's as those of a
/// container are at first.
struct Container(Child);

impl Container {
    fn start() -> Self {
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--mount",
            "--propagation",
            "unchanged",
            "sh",
            "-c",
            "echo ready; read end",
        ]);
        let mut child = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        Self(child)
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    /// Runs a script inside: whether it went well, and what it said.
    fn run(&self, script: &str) -> (bool, String) {
        let pid = self.pid().to_string();
        let output = Command::new("nsenter")
            .args(["--target", &pid, "--mount", "sh", "-c", script])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    fn bind(&self, binds: Vec<Bind>) -> Result<(), BindError> {
        let pid = self.pid();
        thread::spawn(move || bind_in_namespace_of(pid, &binds, &[]))
            .join()
            .unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A volume, a sandbox with the folder `data` that was checked, and a folder of the host.
struct Host {
    folder: TempDir,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for made in ["volume", "inner", "sandbox/data", "host"] {
            fs::create_dir_all(folder.path().join(made)).unwrap();
        }
        fs::write(folder.path().join("volume/file"), "of the volume\n").unwrap();
        fs::write(folder.path().join("inner/file"), "of the inner one\n").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// The bind of a plain folder at a path whose outer part was checked.
    fn bind(&self, volume: &str, target: &str) -> Bind {
        let target = self.path(target);
        let checked = target.ancestors().find(|path| path.exists()).unwrap();
        let checked = openat(CWD, checked, DIRECTORY, Mode::empty()).unwrap();
        Bind {
            display_origin: format!("label 'volume.data' = '{volume}'"),
            mountpoint: self.path(volume),
            directory_backed: true,
            identity: Identity::of(&checked).unwrap(),
            target,
            subpath: None,
            limits: Limits::default(),
        }
    }

    fn is_untouched(&self) {
        assert_eq!(fs::read_dir(self.path("host")).unwrap().count(), 0);
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let here = self.path("").display().to_string();
        assert!(
            !table.contains(here.trim_end_matches('/')),
            "the host has a mount of the container's"
        );
    }
}

#[test]
fn a_volume_is_seen_in_the_container_and_not_on_the_host() {
    let (host, container) = (Host::new(), Container::start());
    container.bind(vec![host.bind("volume", "sandbox/data")]).unwrap();
    let data = host.path("sandbox/data");
    assert_eq!(
        container.run(&format!("cat {}/file", data.display())).1,
        "of the volume\n"
    );
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    host.is_untouched();

    // What root mounts in the container's volume stays in the container as well.
    fs::create_dir(host.path("volume/inside")).unwrap();
    let (good, said) = container.run(&format!("mount -t tmpfs none {}/inside", data.display()));
    assert!(good, "{said}");
    host.is_untouched();
}

/// The mount goes along with the folder that it is on, and never out of the container.
#[test]
fn a_folder_that_is_renamed_after_the_bind_takes_the_mount_along_and_one_that_is_removed_ends_it() {
    let (host, container) = (Host::new(), Container::start());
    container.bind(vec![host.bind("volume", "sandbox/data")]).unwrap();
    fs::rename(host.path("sandbox/data"), host.path("sandbox/aside")).unwrap();
    symlink(host.path("host"), host.path("sandbox/data")).unwrap();
    let aside = host.path("sandbox/aside").display().to_string();
    assert_eq!(container.run(&format!("cat {aside}/file")).1, "of the volume\n");
    host.is_untouched();
    fs::remove_dir(host.path("sandbox/aside")).unwrap();
    let here = host.path("");
    let (_, mounts) = container.run(&format!("grep -c ' {}' /proc/self/mountinfo", here.display()));
    assert_eq!(mounts, "0\n");
    assert!(host.path("volume/file").is_file(), "nothing of the volume is removed");
    host.is_untouched();
}

#[test]
fn limits_hold_for_the_volume_and_for_every_mount_inside_it() {
    let (host, container) = (Host::new(), Container::start());
    fs::create_dir(host.path("volume/inside")).unwrap();
    let inside = host.path("volume/inside").display().to_string();
    let (good, said) = container.run(&format!("mount -t tmpfs none {inside}"));
    assert!(good, "{said}");
    let mut bind = host.bind("volume", "sandbox/data");
    bind.limits = Limits {
        read_only: true,
        forbidden: MountFlags {
            nosuid: true,
            nodev: true,
            noexec: true,
        },
    };
    container.bind(vec![bind]).unwrap();
    let data = host.path("sandbox/data").display().to_string();
    for place in [data.clone(), format!("{data}/inside")] {
        let (good, said) = container.run(&format!("touch {place}/new"));
        assert!(!good && said.contains("Read-only"), "{said}");
        let (_, options) = container.run(&format!("grep ' {place} ' /proc/self/mountinfo | cut -d' ' -f6"));
        for option in ["ro", "nosuid", "nodev", "noexec"] {
            assert!(
                options.split([',', '\n']).any(|word| word == option),
                "{place}: {options}"
            );
        }
    }
}

/// Linux before 5.12 has no `mount_setattr`: there the bind is made visible first and restricted
/// then.
#[test]
fn on_an_older_kernel_the_same_is_mounted_with_the_same_limits_or_refused() {
    let (host, container) = (Host::new(), Container::start());
    let as_before = |bind: &Bind| {
        let (pid, bind) = (container.pid(), bind.clone());
        let work = move || {
            let (source, _) = bind.find(&[]).unwrap();
            enter(pid).unwrap();
            let (source, target) = (source.open().unwrap(), bind.checked_target().unwrap());
            attach::older_kernels_attach(source.as_fd(), target.as_fd(), &bind.target, bind.limits).map(drop)
        };
        thread::spawn(work).join().unwrap()
    };
    let data = host.path("sandbox/data").display().to_string();
    let mut bind = host.bind("volume", "sandbox/data");
    bind.limits = Limits {
        read_only: true,
        forbidden: MountFlags {
            nosuid: true,
            ..MountFlags::default()
        },
    };
    as_before(&bind).unwrap();
    assert_eq!(container.run(&format!("cat {data}/file")).1, "of the volume\n");
    let (_, options) = container.run(&format!("grep ' {data} ' /proc/self/mountinfo | cut -d' ' -f6"));
    assert!(options.starts_with("ro,nosuid,"), "{options}");
    host.is_untouched();

    fs::create_dir(host.path("inner/inside")).unwrap();
    fs::create_dir(host.path("sandbox/more")).unwrap();
    let (good, said) = container.run(&format!("mount -t tmpfs none {}", host.path("inner/inside").display()));
    assert!(good, "{said}");
    let mut second = host.bind("inner", "sandbox/more");
    second.limits = bind.limits;
    assert_eq!(as_before(&second), Err(AttachError::MountInside));
}

#[test]
fn a_target_that_was_replaced_meanwhile_is_refused() {
    type Replace = fn(&Host);
    let ways: [(&str, Replace); 7] = [
        ("by a symlink to the host", |host| {
            fs::rename(host.path("sandbox/data"), host.path("sandbox/aside")).unwrap();
            symlink(host.path("host"), host.path("sandbox/data")).unwrap();
        }),
        ("by another folder", |host| {
            fs::rename(host.path("sandbox/data"), host.path("sandbox/aside")).unwrap();
            fs::create_dir(host.path("sandbox/data")).unwrap();
        }),
        ("by a pipe", |host| {
            fs::remove_dir(host.path("sandbox/data")).unwrap();
            let pipe = Command::new("mkfifo").arg(host.path("sandbox/data")).status();
            assert!(pipe.unwrap().success());
        }),
        ("by nothing", |host| fs::remove_dir(host.path("sandbox/data")).unwrap()),
        ("by a folder of the host that was moved there", |host| {
            fs::remove_dir(host.path("sandbox/data")).unwrap();
            fs::rename(host.path("host"), host.path("sandbox/data")).unwrap();
            fs::create_dir(host.path("host")).unwrap();
        }),
        ("by a file", |host| {
            fs::remove_dir(host.path("sandbox/data")).unwrap();
            fs::write(host.path("sandbox/data"), "").unwrap();
        }),
        ("by a symlink further up", |host| {
            fs::rename(host.path("sandbox"), host.path("aside")).unwrap();
            symlink(host.path("aside"), host.path("sandbox")).unwrap();
        }),
    ];
    for (way, replace) in ways {
        let (host, container) = (Host::new(), Container::start());
        let bind = host.bind("volume", "sandbox/data");
        replace(&host);
        let error = container.bind(vec![bind]).unwrap_err().to_string();
        assert!(
            error.starts_with("label 'volume.data' = 'volume': [invalid] cannot mount")
                && error.contains("replaced part of it"),
            "{way}: {error}"
        );
        host.is_untouched();
    }
}

#[test]
fn a_volume_inside_another_one_is_bound_in_it_and_never_out_of_it() {
    let (host, container) = (Host::new(), Container::start());
    let outer = host.bind("volume", "sandbox/data");
    container
        .bind(vec![host.bind("inner", "sandbox/data/a/b c"), outer.clone()])
        .unwrap();
    let look = format!("cat '{}/file'", host.path("sandbox/data/a/b c").display());
    assert_eq!(container.run(&look).1, "of the inner one\n");
    assert!(
        host.path("volume/a/b c").is_dir(),
        "the way is made in the outer volume"
    );

    symlink(host.path("host"), host.path("volume/way")).unwrap();
    symlink("a", host.path("volume/near")).unwrap();
    for path in ["way", "way/deep", "near/deep", "file"] {
        let container = Container::start();
        let inner = host.bind("inner", &format!("sandbox/data/{path}"));
        let error = container.bind(vec![outer.clone(), inner]).unwrap_err().to_string();
        assert!(error.contains("inside the volume around it"), "{path}: {error}");
        host.is_untouched();
    }
}

#[test]
fn a_process_with_the_hosts_own_mounts_is_refused() {
    let host = Host::new();
    let mut neighbour = Command::new("sleep").arg("100").spawn().unwrap();
    let (pid, bind) = (neighbour.id().cast_signed(), host.bind("volume", "sandbox/data"));
    let error = thread::spawn(move || bind_in_namespace_of(pid, &[bind], &[]))
        .join()
        .unwrap()
        .unwrap_err();
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
    assert_eq!(
        error,
        BindError::Namespace {
            reason: NamespaceError::Shared(pid)
        }
    );
    host.is_untouched();
}

#[test]
fn a_folder_of_a_volume_is_bound_alone_and_made_with_the_roots_owner_where_it_may_be() {
    let (host, container) = (Host::new(), Container::start());
    fs::set_permissions(host.path("volume"), fs::Permissions::from_mode(0o2770)).unwrap();
    chown(host.path("volume"), Some(65534), Some(65533)).unwrap();
    let at = |subpath: &str, read_only| Bind {
        subpath: Some(subpath.into()),
        limits: Limits {
            read_only,
            ..Limits::default()
        },
        ..host.bind("volume", "sandbox/data")
    };
    let missing = container.bind(vec![at("logs/app", true)]).unwrap_err().to_string();
    assert!(
        missing.contains("'logs/app' is not there") && missing.contains("'subpath'"),
        "{missing}"
    );
    container.bind(vec![at("logs/app", false)]).unwrap();
    let data = host.path("sandbox/data").display().to_string();
    let (good, said) = container.run(&format!("touch {data}/new"));
    assert!(good, "{said}");
    assert!(host.path("volume/logs/app/new").is_file());
    for made in ["volume/logs", "volume/logs/app"] {
        let found = fs::metadata(host.path(made)).unwrap();
        assert_eq!(
            (found.uid(), found.gid(), found.mode() & 0o7777),
            (65534, 65533, 0o2770),
            "{made}"
        );
    }
    Container::start().bind(vec![at("logs/app", true)]).unwrap();

    symlink(host.path("host"), host.path("volume/way")).unwrap();
    symlink("../..", host.path("volume/up")).unwrap();
    for (subpath, words) in [
        ("way", "a symlink"),
        ("way/deep", "a symlink"),
        ("up", "a symlink"),
        ("file", "not a folder"),
    ] {
        for read_only in [false, true] {
            let error = container.bind(vec![at(subpath, read_only)]).unwrap_err().to_string();
            assert!(error.contains(words), "{subpath}: {error}");
        }
    }
    host.is_untouched();
}

#[test]
fn a_driver_that_names_a_folder_of_the_kernel_or_of_the_agent_is_refused() {
    let host = Host::new();
    let agents = [host.path("volume"), PathBuf::from("/var/run/none")];
    fs::create_dir(host.path("volume/inside")).unwrap();
    symlink(host.path("volume"), host.path("alias")).unwrap();
    for (path, words) in [
        ("/proc".into(), "belongs to the kernel"),
        ("/proc/self/fd".into(), "belongs to the kernel"),
        ("/sys/fs".into(), "belongs to the kernel"),
        ("/dev".into(), "belongs to the kernel"),
        ("/".into(), "belongs to the kernel"),
        (host.path("volume"), "the agent's own"),
        (host.path("volume/inside"), "the agent's own"),
        (host.path(""), "the agent's own"),
    ] {
        for directory_backed in [false, true] {
            let error = Source::of(&path, directory_backed, &agents).unwrap_err().to_string();
            assert!(error.contains(words), "{}: {error}", path.display());
        }
    }
    assert!(Source::of(&host.path("alias"), true, &agents).is_err());
    assert!(Source::of(&host.path("inner"), true, &agents).is_ok());
}
