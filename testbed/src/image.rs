//! Container images for agents that have no registry: made of this machine's own programs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::error::ClusterError;

/// A Docker image with programs of this machine, their shared libraries, and what a test adds.
///
/// Mesos reads an image from a folder given as `--docker_registry`, as `NAME.tar` in the format of `docker save`
/// before content addresses; see [`AgentSpec::images`](crate::AgentSpec::images).
#[derive(Debug, Clone, Default)]
pub struct Image {
    programs: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    links: Vec<(PathBuf, PathBuf)>,
}

impl Image {
    /// An image with `sh` and a few programs for scripts.
    pub fn shell() -> Image {
        let programs = ["sh", "cat", "ls", "mkdir", "sleep", "touch"].map(|name| Path::new("/bin").join(name));
        Image {
            programs: programs.into(),
            ..Image::default()
        }
    }

    /// Adds a program of this machine, by its absolute path.
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Image {
        self.programs.push(path.into());
        self
    }

    /// Adds an empty folder, by its absolute path in the image.
    #[must_use]
    pub fn folder(mut self, path: impl Into<PathBuf>) -> Image {
        self.folders.push(path.into());
        self
    }

    /// Adds a symbolic link at `path` that points to `target`, which may be anything.
    #[must_use]
    pub fn link(mut self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Image {
        self.links.push((path.into(), target.into()));
        self
    }

    /// Writes the image `name` into the folder `registry`.
    ///
    /// # Errors
    /// A program is not on this machine, or a file cannot be written.
    pub fn save(&self, registry: &Path, name: &str) -> Result<(), ClusterError> {
        let folder = tempfile::tempdir().map_err(ClusterError::io("create a temporary folder for", registry))?;
        let root = folder.path().join("root");
        for path in ["dev", "etc", "mnt", "proc", "sys", "tmp"].map(Path::new) {
            make_folder(&root, path)?;
        }
        for file in self.files()? {
            let copy = inside(&root, &file);
            make_folder(&root, file.parent().unwrap_or(Path::new("/")))?;
            fs::copy(&file, &copy).map_err(ClusterError::io("copy into an image", &file))?;
        }
        for path in &self.folders {
            make_folder(&root, path)?;
        }
        for (path, target) in &self.links {
            make_folder(&root, path.parent().unwrap_or(Path::new("/")))?;
            symlink(target, inside(&root, path)).map_err(ClusterError::io("link in an image", path))?;
        }

        let layer = folder.path().join("image/1");
        fs::create_dir_all(&layer).map_err(ClusterError::io("create", &layer))?;
        tar(&root, &[Path::new(".")], &layer.join("layer.tar"))?;
        let created = "2020-01-01T00:00:00Z";
        let manifest = json!({"id": "1", "created": created, "config": {}, "architecture": "amd64", "os": "linux"});
        let image = folder.path().join("image");
        for (path, text) in [
            (layer.join("json"), manifest.to_string()),
            (layer.join("VERSION"), "1.0".to_owned()),
            (image.join("repositories"), json!({name: {"latest": "1"}}).to_string()),
        ] {
            fs::write(&path, text).map_err(ClusterError::io("write", &path))?;
        }
        fs::create_dir_all(registry).map_err(ClusterError::io("create", registry))?;
        tar(
            &image,
            &[Path::new("repositories"), Path::new("1")],
            &registry.join(format!("{name}.tar")),
        )
    }

    /// The programs and the shared libraries they need, each once.
    fn files(&self) -> Result<BTreeSet<PathBuf>, ClusterError> {
        let mut files = BTreeSet::new();
        for program in &self.programs {
            files.insert(program.clone());
            let listed = Command::new("ldd")
                .arg(program)
                .output()
                .map_err(ClusterError::io("run ldd on", program))?;
            // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`, or just the loader's path.
            let text = String::from_utf8_lossy(&listed.stdout).into_owned();
            files.extend(
                text.split_whitespace()
                    .filter(|word| word.starts_with('/'))
                    .map(PathBuf::from),
            );
        }
        Ok(files)
    }
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn make_folder(root: &Path, path: &Path) -> Result<(), ClusterError> {
    let folder = inside(root, path);
    fs::create_dir_all(&folder).map_err(ClusterError::io("create", &folder))
}

pub(crate) fn tar(folder: &Path, parts: &[&Path], archive: &Path) -> Result<(), ClusterError> {
    let output = Command::new("tar")
        .args(["--create", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(folder)
        .args(parts)
        .output()
        .map_err(ClusterError::io("run tar for", archive))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ClusterError::io("write", archive)(io::Error::other(said)))
}
