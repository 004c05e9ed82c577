//! Where a volume goes: directories made and paths resolved inside the sandbox or the image, never on the host.
//!
//! Everything here comes from labels, images and sandboxes, which are untrusted, and is done as root. So every step
//! resolves through `openat2` with `RESOLVE_IN_ROOT`: an absolute symlink, a `..` or a magic link leads nowhere outside.
//! The path handed to Mesos is the one the kernel reports for the directory opened, so it has no symlink left in it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2};
use rustix::io::Errno;
use volume_driver_client::Drivers;
use volume_labels::ContainerPath;

use crate::config::Config;
use crate::ledger::VolumeRequest;
use crate::request::{Wish, spoken};
use crate::types::ContainerLaunch;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Turns wishes into requests: each driver looked up, each target resolved and made.
///
/// # Errors
/// One line that names what asked.
pub(crate) fn targets(
    wishes: &[Wish],
    launch: &ContainerLaunch,
    config: &Config,
    drivers: &Drivers,
) -> Result<Vec<VolumeRequest>, String> {
    let mut requests: Vec<VolumeRequest> = Vec::new();
    for wish in wishes {
        let said = wish.asked.said();
        drivers
            .driver(&wish.volume.driver)
            .map_err(|error| format!("{said}: {error}"))?;
        let target =
            resolve(&wish.asked.labels.path, launch, config).map_err(|problem| format!("{said}: {problem}"))?;
        // Labels with one path twice are refused by their grammar; two paths may still meet behind a symlink.
        if let Some(other) = requests.iter().find(|other| other.target == target) {
            return Err(format!(
                "{said}: its path is the same directory as that of {}",
                spoken(&other.slot)
            ));
        }
        requests.push(VolumeRequest {
            slot: wish.asked.slot(),
            volume: wish.volume.clone(),
            mount_id: wish.mount_id.clone(),
            target,
            read_only: wish.read_only(),
            access: wish.access(),
            spec: wish.spec.clone(),
        });
    }
    Ok(requests)
}

/// The mount target for a container path, on the host; directories on the way to it are made.
///
/// | | image | no image |
/// |---|---|---|
/// | absolute | inside the image | the path itself: must exist, below a folder of `allowed_host_paths` |
/// | relative | made in the sandbox, seen where the image has its sandbox | made in the sandbox |
///
/// # Errors
/// One line that names the path and what is wrong with it.
pub(super) fn resolve(path: &ContainerPath, launch: &ContainerLaunch, config: &Config) -> Result<PathBuf, String> {
    match (path, &launch.rootfs) {
        (ContainerPath::Relative(path), rootfs) => {
            let made = make_inside(&launch.directory, path)?;
            match rootfs {
                None => Ok(made),
                // Mesos binds the sandbox there before it carries out our mounts.
                Some(rootfs) => {
                    let sandbox = launch
                        .directory
                        .canonicalize()
                        .map_err(|error| describe(&launch.directory, error))?;
                    let inside = made
                        .strip_prefix(&sandbox)
                        .map_err(|_| outside(path, &launch.directory))?;
                    let seen = config
                        .sandbox_directory
                        .strip_prefix("/")
                        .unwrap_or(&config.sandbox_directory);
                    Ok(rootfs.join(seen).join(inside))
                }
            }
        }
        (ContainerPath::Absolute(path), Some(rootfs)) => make_inside(rootfs, path.strip_prefix("/").unwrap_or(path)),
        (ContainerPath::Absolute(path), None) => existing(path, config),
    }
}

/// Makes `path` inside `root` where it is missing, and returns where it really is.
fn make_inside(root: &Path, path: &Path) -> Result<PathBuf, String> {
    let base = openat(CWD, root, DIRECTORY, Mode::empty()).map_err(|error| describe(root, error))?;
    let mut parent =
        openat2(&base, ".", DIRECTORY, Mode::empty(), inside()).map_err(|error| refuse(path, root, error))?;
    let mut walked = PathBuf::new();
    for part in path.components() {
        let Component::Normal(name) = part else {
            return Err(format!("path '{}' has a part that is no name", path.display()));
        };
        walked.push(name);
        parent = step(&base, &parent, &walked, name).map_err(|error| refuse(path, root, error))?;
    }
    let real = opened_path(&parent).map_err(|error| refuse(path, root, error))?;
    let real_root = opened_path(&base).map_err(|error| refuse(path, root, error))?;
    if real.starts_with(&real_root) {
        Ok(real)
    } else {
        Err(outside(path, root))
    }
}

/// Opens `walked` below `base`, making its last part in `parent` when it is not there.
fn step(base: &OwnedFd, parent: &OwnedFd, walked: &Path, name: &OsStr) -> Result<OwnedFd, Errno> {
    match openat2(base, walked, DIRECTORY, Mode::empty(), inside()) {
        Err(Errno::NOENT) => {
            match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
                // Somebody else made it, or a symlink to nowhere is there: the next line tells which.
                Ok(()) | Err(Errno::EXIST) => openat2(base, walked, DIRECTORY, Mode::empty(), inside()),
                Err(error) => Err(error),
            }
        }
        other => other,
    }
}

fn inside() -> ResolveFlags {
    ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS
}

/// A directory of the host itself, which only the operator can allow.
fn existing(path: &Path, config: &Config) -> Result<PathBuf, String> {
    let directory = openat2(CWD, path, DIRECTORY, Mode::empty(), ResolveFlags::NO_MAGICLINKS).map_err(|error| {
        format!(
            "absolute path '{}' without an image must exist on the agent: {error}",
            path.display()
        )
    })?;
    let real = opened_path(&directory).map_err(|error| describe(path, error))?;
    if config
        .allowed_host_paths
        .iter()
        .any(|allowed| real.starts_with(allowed))
    {
        return Ok(real);
    }
    Err(format!(
        "absolute path '{}' without an image is a path of the agent's host, which this agent does not allow: use a \
         relative path or an image (or the module parameter allowed_host_paths)",
        path.display()
    ))
}

fn opened_path(directory: &OwnedFd) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

fn refuse(path: &Path, root: &Path, error: impl Into<io::Error>) -> String {
    let error = error.into();
    let remedy = if error.raw_os_error() == Some(Errno::NOSYS.raw_os_error()) {
        ": this kernel lacks openat2 (Linux 5.6), without which a path cannot be kept inside a container"
    } else {
        ""
    };
    format!(
        "cannot make path '{}' inside {}: {error}{remedy}",
        path.display(),
        root.display()
    )
}

fn describe(path: &Path, error: impl Into<io::Error>) -> String {
    format!("cannot open {}: {}", path.display(), error.into())
}

fn outside(path: &Path, root: &Path) -> String {
    format!("path '{}' leads out of {}", path.display(), root.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn launch(directory: &Path, rootfs: Option<&Path>) -> ContainerLaunch {
        ContainerLaunch {
            directory: directory.into(),
            rootfs: rootfs.map(Into::into),
            ..Default::default()
        }
    }

    fn resolve_text(text: &str, launch: &ContainerLaunch) -> Result<PathBuf, String> {
        resolve(&ContainerPath::parse(text).unwrap(), launch, &Config::default())
    }

    #[test]
    fn a_relative_path_is_made_in_the_sandbox() {
        let sandbox = tempfile::tempdir().unwrap();
        let target = resolve_text("deep/data", &launch(sandbox.path(), None)).unwrap();
        assert_eq!(target, sandbox.path().canonicalize().unwrap().join("deep/data"));
        assert!(target.is_dir());
    }

    #[test]
    fn with_an_image_a_relative_path_is_seen_below_the_images_sandbox() {
        let (sandbox, image) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = resolve_text("data", &launch(sandbox.path(), Some(image.path()))).unwrap();
        assert_eq!(target, image.path().join("mnt/mesos/sandbox/data"));
        assert!(sandbox.path().join("data").is_dir());
    }

    #[test]
    fn an_images_symlink_stays_inside_the_image() {
        let (sandbox, image, host) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        fs::create_dir(image.path().join("real")).unwrap();
        symlink("/real", image.path().join("inner")).unwrap();
        symlink(host.path(), image.path().join("evil")).unwrap();
        symlink("../../../../../..", image.path().join("up")).unwrap();
        let launch = launch(sandbox.path(), Some(image.path()));
        let root = image.path().canonicalize().unwrap();
        assert_eq!(resolve_text("/inner/data", &launch).unwrap(), root.join("real/data"));
        assert_eq!(resolve_text("/up/data", &launch).unwrap(), root.join("data"));
        let error = resolve_text("/evil/data", &launch).unwrap_err();
        assert!(error.contains("/evil/data") || error.contains("evil/data"), "{error}");
        assert_eq!(
            fs::read_dir(host.path()).unwrap().count(),
            0,
            "nothing is made on the host"
        );
    }

    /// A process that already runs in the sandbox swaps a directory for a symlink to the host as fast as it can.
    #[test]
    fn a_directory_swapped_for_a_symlink_meanwhile_leads_nowhere_outside() {
        let (sandbox, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, outside) = (sandbox.path().canonicalize().unwrap(), host.path().to_owned());
        let (way, aside) = (root.join("way"), root.join("aside"));
        fs::create_dir(&way).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let swapped = fs::rename(&way, &aside).and_then(|()| symlink(&outside, &way));
                    let back = fs::remove_file(&way).and_then(|()| fs::rename(&aside, &way));
                    // The resolver may have made a directory of its own in between; that is inside as well.
                    if swapped.is_err() || back.is_err() {
                        let _ = fs::remove_dir_all(&way);
                        let _ = fs::remove_dir_all(&aside);
                        let _ = fs::create_dir(&way);
                    }
                }
            });
            let launch = launch(&root, None);
            for _ in 0..5_000 {
                // Inside, or refused.
                if let Ok(target) = resolve_text("way/data", &launch) {
                    assert!(target.starts_with(&root), "{}", target.display());
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(
            fs::read_dir(&outside).unwrap().count(),
            0,
            "nothing is made on the host"
        );
    }

    #[test]
    fn a_file_in_the_way_is_refused() {
        let sandbox = tempfile::tempdir().unwrap();
        fs::write(sandbox.path().join("data"), "").unwrap();
        assert!(resolve_text("data", &launch(sandbox.path(), None)).is_err());
    }

    #[test]
    fn a_host_path_needs_the_operators_word() {
        let (sandbox, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = ContainerPath::parse(host.path().to_str().unwrap()).unwrap();
        let launch = launch(sandbox.path(), None);
        let error = resolve(&path, &launch, &Config::default()).unwrap_err();
        assert!(error.contains("allowed_host_paths"), "{error}");
        let config = Config {
            allowed_host_paths: vec![host.path().canonicalize().unwrap()],
            ..Config::default()
        };
        assert!(resolve(&path, &launch, &config).is_ok());
    }
}
