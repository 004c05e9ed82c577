//! The folder in a container to which a volume goes. Folders are made and paths are resolved inside
//! the sandbox or the image, and never on the host.
//!
//! Paths come from labels, images and sandboxes, which are untrusted, and are used as root. So
//! every step resolves through `openat2` with `RESOLVE_IN_ROOT`: an absolute symlink, a `..` or a
//! magic link leads nowhere outside. The result is the path that the kernel reports for the open
//! folder, which has no symlink left in it, and the identity of the folder. The volume is bound
//! later, when the container's mount namespace is there, and only to that folder.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, ResolveFlags, mkdirat, openat};
use rustix::io::Errno;
use volume_driver_client::{Code, Drivers};
use volume_labels::{ContainerPath, MountFlags};

use super::ResolvedRequest;
use super::mesos_mounts::{OverlapError, keep_away};
use crate::config::Config;
use crate::docker::{PlaceError, in_sandbox};
use crate::error::Refusal;
use crate::host::binding::Place;
use crate::host::descriptor::{DIRECTORY, Identity, open, path_of, remedy};
use crate::ledger::VolumeRequest;
use crate::origin::Origin;
use crate::types::ContainerLaunch;

/// A folder that was found or made for a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The path at which the kernel sees the folder.
    path: PathBuf,
    identity: Identity,
}

impl Target {
    fn of(folder: &OwnedFd) -> io::Result<Self> {
        Ok(Self {
            path: path_of(folder)?,
            identity: Identity::of(folder)?,
        })
    }
}

/// Why a volume has no place in its container, or no driver. The message names the origin and the
/// volume first.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{volume}: {cause}")]
pub(crate) struct TargetError {
    /// Origin and name.
    volume: String,
    cause: TargetProblem,
}

#[derive(Clone, Debug, thiserror::Error)]
enum TargetProblem {
    #[error(transparent)]
    Driver(#[from] volume_driver_client::Error),
    #[error(transparent)]
    Name(#[from] volume_driver_client::UnsupportedName),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Overlap(#[from] OverlapError),
    /// Labels that name one path twice are refused by their grammar; two paths can still meet
    /// behind a symlink.
    #[error("its path is the same directory as that of {0}")]
    SameDirectory(Origin),
}

impl From<TargetError> for Refusal {
    fn from(error: TargetError) -> Self {
        let code = match &error.cause {
            TargetProblem::Driver(cause) => cause.code(),
            _ => Code::Invalid,
        };
        Self::new(code, error.to_string())
    }
}

/// What is wrong with a path in a container.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathError {
    /// Mesos binds its own `hosts`, `hostname` and `resolv.conf` in there, by path. The content of
    /// a volume would lead these elsewhere.
    #[error("path '{}' is '/etc' of the image, where Mesos mounts files of its own: use a path inside it", .0.display())]
    Etc(PathBuf),
    #[error("path '{}' lies in '/{folder}', which belongs to the kernel: use another path", .path.display())]
    Kernel { path: PathBuf, folder: &'static str },
    #[error("path '{}' would hide the sandbox at {}: use a path inside it, or elsewhere", .path.display(), .sandbox.display())]
    HidesSandbox { path: PathBuf, sandbox: PathBuf },
    /// Mesos follows the symlink by path, which would lead it, and the volume with it, to the host.
    #[error(
        "the image has a symlink on the way to its sandbox at {}, which would lead the mount to the host: use another image",
        .0.display()
    )]
    SymlinkToSandbox(PathBuf),
    #[error(transparent)]
    Docker(#[from] PlaceError),
    #[error("path '{}' has a part that is no name", .0.display())]
    NoName(PathBuf),
    #[error("path '{}' leads out of {}", .path.display(), .root.display())]
    Outside { path: PathBuf, root: PathBuf },
    #[error("cannot make path '{}' inside {}: {cause}", .path.display(), .root.display())]
    CannotMake {
        path: PathBuf,
        root: PathBuf,
        cause: OsError,
    },
    #[error("cannot open {}: {cause}", .path.display())]
    CannotOpen { path: PathBuf, cause: OsError },
    #[error(
        "absolute path '{}' without an image is a path of the agent's host, which this agent does not allow: use a relative path or an \
         image (or the module parameter allowed_host_paths)",
        .0.display()
    )]
    NotAllowed(PathBuf),
    #[error("absolute path '{}' without an image must exist on the agent: {cause}", .path.display())]
    Missing { path: PathBuf, cause: OsError },
}

/// The kernel's answer, with the remedy when there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OsError(String);

impl<E: Into<io::Error>> From<E> for OsError {
    fn from(error: E) -> Self {
        let error = error.into();
        let remedy = Errno::from_io_error(&error).map_or("", remedy);
        Self(format!("{error}{remedy}"))
    }
}

impl std::fmt::Display for OsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Looks up each volume's driver, and resolves and makes each target. Returns the requests for the
/// ledger and the places for the binder. `forbidden` has the mount flags for each volume.
///
/// # Errors
/// The first volume that has no driver, or no place in the container.
pub(crate) fn targets(
    resolved: &[ResolvedRequest],
    forbidden: &[MountFlags],
    launch: &ContainerLaunch,
    config: &Config,
    drivers: &Drivers,
) -> Result<(Vec<VolumeRequest>, Vec<Place>), TargetError> {
    let mut requests: Vec<VolumeRequest> = Vec::new();
    let mut places = Vec::new();
    for (request, forbidden) in resolved.iter().zip(forbidden) {
        let target = target(request, &requests, launch, config, drivers).map_err(|cause| TargetError {
            volume: request.requested.display_origin(),
            cause,
        })?;
        let Target { path: target, identity } = target;
        let driver = request.volume.driver.clone();
        let labels = &request.requested.labels;
        places.push(Place {
            display_origin: request.requested.display_origin(),
            directory_backed: config.is_directory_backed(&driver),
            driver,
            target: target.clone(),
            identity,
            subpath: labels.subpath.clone(),
            forbidden: *forbidden,
        });
        requests.push(VolumeRequest {
            origin: request.requested.origin.clone(),
            volume: request.volume.clone(),
            mount_id: request.mount_id.clone(),
            target,
            read_only: request.read_only(),
            access: labels.access,
            spec: request.spec.clone(),
        });
    }
    Ok((requests, places))
}

fn target(
    request: &ResolvedRequest,
    others: &[VolumeRequest],
    launch: &ContainerLaunch,
    config: &Config,
    drivers: &Drivers,
) -> Result<Target, TargetProblem> {
    let driver = drivers.driver(&request.volume.driver)?;
    driver.profile().check_name(&request.volume.name)?;
    let target = resolve(&request.requested.labels.path, launch, config)?;
    keep_away(&target.path, launch, config)?;
    match others.iter().find(|other| other.target == target.path) {
        Some(other) => Err(TargetProblem::SameDirectory(other.origin.clone())),
        None => Ok(target),
    }
}

/// The folder for a path in the container, on the host. Folders on the way to it are made.
///
/// | | image | no image |
/// |---|---|---|
/// | absolute | inside the image; in the sandbox when it leads to the place of the sandbox | the path itself: must exist, below a folder of `allowed_host_paths` |
/// | relative | made in the sandbox, which Mesos then shows in the image, with what is mounted there | made in the sandbox |
///
/// No path leads to the sandbox itself or to a folder around it. In an image, no path leads to the
/// folders that Mesos mounts for the kernel.
///
/// # Errors
/// When the path leads to such a folder, or cannot be made.
pub(super) fn resolve(path: &ContainerPath, launch: &ContainerLaunch, config: &Config) -> Result<Target, PathError> {
    if let Some(docker) = &launch.docker {
        return make_inside(&launch.directory, &in_sandbox(path, docker)?);
    }
    match (path, &launch.rootfs) {
        (ContainerPath::Relative(path), None) => make_inside(&launch.directory, path),
        (ContainerPath::Relative(path), Some(rootfs)) => in_sandbox_of_image(path, rootfs, launch, config),
        (ContainerPath::Absolute(path), Some(rootfs)) => in_image(path, rootfs, launch, config),
        (ContainerPath::Absolute(path), None) => existing(path, launch, config),
    }
}

/// The folders where Mesos mounts the kernel's file systems in every image.
const KERNELS: [&str; 3] = ["proc", "sys", "dev"];

fn in_image(path: &Path, rootfs: &Path, launch: &ContainerLaunch, config: &Config) -> Result<Target, PathError> {
    let inside = path.strip_prefix("/").unwrap_or(path);
    not_the_kernels(path, inside)?;
    let target = make_inside(rootfs, inside)?;
    // Where the image's symlinks led.
    let root = real_path(rootfs)?;
    let inside = target.path.strip_prefix(&root).map_err(|_| outside(path, rootfs))?;
    not_the_kernels(path, inside)?;
    let sandbox = sandbox_in_image(config);
    if sandbox.starts_with(inside) {
        return Err(hides_sandbox(path, &config.sandbox_directory));
    }
    match inside.strip_prefix(sandbox) {
        // Mesos binds the sandbox over this folder of the image, which would hide a target in the
        // image.
        Ok(rest) => in_sandbox_of_image(rest, rootfs, launch, config),
        Err(_) => Ok(target),
    }
}

fn not_the_kernels(path: &Path, inside: &Path) -> Result<(), PathError> {
    if inside == Path::new("etc") {
        return Err(PathError::Etc(path.to_owned()));
    }
    match KERNELS.iter().find(|folder| inside.starts_with(folder)) {
        None => Ok(()),
        Some(folder) => Err(PathError::Kernel {
            path: path.to_owned(),
            folder,
        }),
    }
}

/// Makes a path relative to the sandbox. Mesos binds the sandbox, with what is mounted in it, into
/// the image (`MS_REC` since 1.5, `mount --rbind` before).
fn in_sandbox_of_image(
    path: &Path,
    rootfs: &Path,
    launch: &ContainerLaunch,
    config: &Config,
) -> Result<Target, PathError> {
    let made = make_inside(&launch.directory, path)?;
    let root = real_path(rootfs)?;
    match has_symlink(&root, sandbox_in_image(config)) {
        Ok(false) => Ok(made),
        Ok(true) => Err(PathError::SymlinkToSandbox(config.sandbox_directory.clone())),
        Err(error) => Err(cannot_make(&config.sandbox_directory, rootfs, error)),
    }
}

fn sandbox_in_image(config: &Config) -> &Path {
    let sandbox = &config.sandbox_directory;
    sandbox.strip_prefix("/").unwrap_or(sandbox)
}

/// Whether any part of `path` below `root`, as far as it is there, is a symlink.
fn has_symlink(root: &Path, path: &Path) -> Result<bool, Errno> {
    let base = openat(CWD, root, DIRECTORY, Mode::empty())?;
    let flags = inside() | ResolveFlags::NO_SYMLINKS;
    match open(&base, path, DIRECTORY, flags) {
        Ok(_) | Err(Errno::NOENT) => Ok(false),
        Err(Errno::LOOP) => Ok(true),
        Err(error) => Err(error),
    }
}

fn real_path(directory: &Path) -> Result<PathBuf, PathError> {
    directory.canonicalize().map_err(|error| cannot_open(directory, error))
}

/// Makes the missing folders of `path` inside `root`.
fn make_inside(root: &Path, path: &Path) -> Result<Target, PathError> {
    let base = openat(CWD, root, DIRECTORY, Mode::empty()).map_err(|error| cannot_open(root, error))?;
    let mut parent =
        open(&base, Path::new("."), DIRECTORY, inside()).map_err(|error| cannot_make(path, root, error))?;
    let mut walked = PathBuf::new();
    for part in path.components() {
        let Component::Normal(name) = part else {
            return Err(PathError::NoName(path.to_owned()));
        };
        walked.push(name);
        parent = step(&base, &parent, &walked, name).map_err(|error| cannot_make(path, root, error))?;
    }
    let target = Target::of(&parent).map_err(|error| cannot_make(path, root, error))?;
    let real_root = path_of(&base).map_err(|error| cannot_make(path, root, error))?;
    if target.path.starts_with(&real_root) {
        Ok(target)
    } else {
        Err(outside(path, root))
    }
}

/// Opens `walked` below `base`, making its last part in `parent` when it is not there.
fn step(base: &OwnedFd, parent: &OwnedFd, walked: &Path, name: &OsStr) -> Result<OwnedFd, Errno> {
    match open(base, walked, DIRECTORY, inside()) {
        Err(Errno::NOENT) => {
            match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
                // Another process made it, or a symlink to nowhere is there: opening it shows
                // which.
                Ok(()) | Err(Errno::EXIST) => open(base, walked, DIRECTORY, inside()),
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
fn existing(path: &Path, launch: &ContainerLaunch, config: &Config) -> Result<Target, PathError> {
    let is_allowed = |path: &Path| {
        let mut allowed = config.allowed_host_paths.iter();
        allowed.any(|allowed| path.starts_with(allowed))
    };
    let forbidden = || PathError::NotAllowed(path.to_owned());
    let directory = open(CWD, path, DIRECTORY, ResolveFlags::NO_MAGICLINKS).map_err(|error| {
        // If the path existed, it would not be allowed either.
        if error != Errno::NOSYS && !is_allowed(path) {
            return forbidden();
        }
        PathError::Missing {
            path: path.to_owned(),
            cause: error.into(),
        }
    })?;
    let target = Target::of(&directory).map_err(|error| cannot_open(path, error))?;
    if !is_allowed(&target.path) {
        return Err(forbidden());
    }
    if real_path(&launch.directory)?.starts_with(&target.path) {
        return Err(hides_sandbox(path, &launch.directory));
    }
    Ok(target)
}

fn cannot_make(path: &Path, root: &Path, error: impl Into<io::Error>) -> PathError {
    PathError::CannotMake {
        path: path.to_owned(),
        root: root.to_owned(),
        cause: error.into().into(),
    }
}

fn cannot_open(path: &Path, error: impl Into<io::Error>) -> PathError {
    PathError::CannotOpen {
        path: path.to_owned(),
        cause: error.into().into(),
    }
}

fn outside(path: &Path, root: &Path) -> PathError {
    PathError::Outside {
        path: path.to_owned(),
        root: root.to_owned(),
    }
}

fn hides_sandbox(path: &Path, sandbox: &Path) -> PathError {
    PathError::HidesSandbox {
        path: path.to_owned(),
        sandbox: sandbox.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn launch(directory: &Path, rootfs: Option<&Path>) -> ContainerLaunch {
        ContainerLaunch {
            directory: directory.into(),
            rootfs: rootfs.map(Into::into),
            ..Default::default()
        }
    }

    fn resolve_text(text: &str, launch: &ContainerLaunch) -> Result<PathBuf, PathError> {
        let target = resolve(&ContainerPath::parse(text).unwrap(), launch, &Config::default())?;
        Ok(target.path)
    }

    #[test]
    fn a_relative_path_is_made_in_the_sandbox() {
        let sandbox = tempfile::tempdir().unwrap();
        let target = resolve_text("deep/data", &launch(sandbox.path(), None)).unwrap();
        assert_eq!(target, sandbox.path().canonicalize().unwrap().join("deep/data"));
        assert!(target.is_dir());
    }

    #[test]
    fn with_an_image_a_relative_path_is_in_the_sandbox_which_mesos_shows_in_the_image() {
        let (sandbox, image) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = resolve_text("data", &launch(sandbox.path(), Some(image.path()))).unwrap();
        assert_eq!(target, sandbox.path().canonicalize().unwrap().join("data"));
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
        let error = resolve_text("/evil/data", &launch).unwrap_err().to_string();
        assert!(error.contains("/evil/data") || error.contains("evil/data"), "{error}");
        assert_eq!(
            fs::read_dir(host.path()).unwrap().count(),
            0,
            "nothing is made on the host"
        );
    }

    /// A process that already runs in the sandbox swaps a directory for a symlink to the host as
    /// fast as it can.
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
                    // The resolver may have made a directory of its own in between; that is inside
                    // as well.
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
    fn in_an_image_a_path_that_leads_to_the_sandbox_is_made_in_the_sandbox_and_never_hides_it() {
        let (sandbox, image) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(image.path().join("mnt/mesos/sandbox")).unwrap();
        symlink("/mnt/mesos/sandbox", image.path().join("box")).unwrap();
        let launch = launch(sandbox.path(), Some(image.path()));
        let seen = sandbox.path().canonicalize().unwrap().join("data");
        for path in ["/mnt/mesos/sandbox/data", "/box/data"] {
            assert_eq!(resolve_text(path, &launch).unwrap(), seen);
            fs::remove_dir(sandbox.path().join("data")).unwrap();
        }
        for path in ["/mnt/mesos/sandbox", "/box", "/mnt/mesos", "/mnt"] {
            let error = resolve_text(path, &launch).unwrap_err().to_string();
            assert!(error.contains(path) && error.contains("hide the sandbox"), "{error}");
        }
    }

    #[test]
    fn in_an_image_the_kernels_folders_are_refused_also_behind_a_symlink() {
        let (sandbox, image) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(image.path().join("proc")).unwrap();
        symlink("/proc", image.path().join("kernel")).unwrap();
        let launch = launch(sandbox.path(), Some(image.path()));
        for path in ["/proc", "/proc/self/root", "/sys/fs/cgroup", "/dev/shm/data", "/kernel"] {
            let error = resolve_text(path, &launch).unwrap_err().to_string();
            assert!(
                error.contains(path) && error.contains("belongs to the kernel"),
                "{error}"
            );
        }
        assert!(resolve_text("/process", &launch).is_ok());
    }

    #[test]
    fn an_image_that_leads_its_sandbox_elsewhere_is_refused() {
        let (sandbox, image, host) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        fs::create_dir_all(host.path().join("sandbox")).unwrap();
        fs::create_dir_all(image.path().join("other/sandbox")).unwrap();
        fs::create_dir(image.path().join("mnt")).unwrap();
        for aside in [host.path(), Path::new("/other"), Path::new("/nowhere")] {
            symlink(aside, image.path().join("mnt/mesos")).unwrap();
            let error = resolve_text("data", &launch(sandbox.path(), Some(image.path())))
                .unwrap_err()
                .to_string();
            assert!(error.contains("the image has a symlink"), "{error}");
            fs::remove_file(image.path().join("mnt/mesos")).unwrap();
        }
    }

    #[test]
    fn an_allowed_host_path_around_the_sandbox_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = folder.path().join("sandbox");
        fs::create_dir(&sandbox).unwrap();
        let config = Config {
            allowed_host_paths: vec![folder.path().canonicalize().unwrap()],
            ..Config::default()
        };
        for around in [folder.path(), &sandbox] {
            let path = ContainerPath::parse(around.to_str().unwrap()).unwrap();
            let error = resolve(&path, &launch(&sandbox, None), &config)
                .unwrap_err()
                .to_string();
            assert!(error.contains("hide the sandbox"), "{error}");
        }
    }

    #[test]
    fn a_file_in_the_way_is_refused() {
        let sandbox = tempfile::tempdir().unwrap();
        fs::write(sandbox.path().join("data"), "").unwrap();
        assert!(resolve_text("data", &launch(sandbox.path(), None)).is_err());
    }

    #[test]
    fn a_host_path_needs_the_operators_permission() {
        let (sandbox, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = ContainerPath::parse(host.path().to_str().unwrap()).unwrap();
        let launch = launch(sandbox.path(), None);
        let error = resolve(&path, &launch, &Config::default()).unwrap_err().to_string();
        assert!(error.contains("allowed_host_paths"), "{error}");
        let config = Config {
            allowed_host_paths: vec![host.path().canonicalize().unwrap()],
            ..Config::default()
        };
        assert!(resolve(&path, &launch, &config).is_ok());
    }
}
