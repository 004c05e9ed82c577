//! The official Mesos library, found, checked and made into programs that run here.
//!
//! The PyPI project `mesos.scheduler` has the whole of Mesos as one shared library. [`MesosInstall::ensure`] brings it
//! into a cache (once; the manifest says which file and its SHA-256), stands in for libraries that today's
//! distributions no longer have, and compiles a master, an agent and a containerizer on it. Nothing of this happens
//! at build time.

mod abi;
mod cache;
mod command;
mod download;
mod error;
mod manifest;
mod programs;
mod python;
mod stubs;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use abi::{Finding, inspect};
pub use cache::Cache;
pub use error::PackageError;
pub use manifest::Package;
pub use python::PythonPrograms;

use command::{last_line, run};
use download::Downloader;

/// The release used when none is named.
pub const DEFAULT_VERSION: &str = "1.11.0";

/// Runnable Mesos programs of one release.
#[derive(Debug, Clone)]
pub struct MesosInstall {
    version: String,
    library: PathBuf,
    programs: PathBuf,
}

impl MesosInstall {
    /// The programs of `version` from the cache of the environment (see [`Cache::from_environment`]), downloaded and
    /// compiled when they are not there yet: about 27 MB, then some seconds. Safe to call from many processes at
    /// once, and after one of them was killed half-way. Says on stderr what it does when it does something.
    ///
    /// # Errors
    /// The release is unknown, the registry cannot be reached, the download is not the file of the manifest, or a
    /// compiler or a shared library is missing. What is complete in the cache stays.
    pub fn ensure(version: &str) -> Result<MesosInstall, PackageError> {
        MesosInstall::ensure_in(&Cache::from_environment()?, &Package::find(version)?)
    }

    /// As [`MesosInstall::ensure`], with the cache and the package given.
    ///
    /// # Errors
    /// As there.
    pub fn ensure_in(cache: &Cache, package: &Package) -> Result<MesosInstall, PackageError> {
        let version = package.version.clone();
        let library = library(cache, package, |destination| {
            Downloader::prepare(cache)?.download(package, destination)
        })?;
        let key = programs::key(&version)?;
        let programs = cache.folder(&format!("programs-{version}-{key}"), |folder| {
            programs::build(&version, &library, folder)?;
            programs::check(folder)
        })?;
        Ok(MesosInstall {
            version,
            library,
            programs,
        })
    }

    /// What is in `folder`: a `libmesos.so`, and programs and stub libraries copied from [`MesosInstall::programs`], which
    /// look for the library beside themselves first. For libraries that are not official builds.
    pub fn in_folder(version: impl Into<String>, folder: &Path) -> MesosInstall {
        MesosInstall {
            version: version.into(),
            library: folder.join("libmesos.so"),
            programs: folder.to_owned(),
        }
    }

    /// The release, as in `1.11.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The official library.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// The folder with the programs.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// The path of `mesos-master`, `mesos-agent`, `mesos-containerizer` or `mesos-io-switchboard`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// The library of `package` in the cache; `download` is called when it is not there, with the file to write.
fn library(
    cache: &Cache,
    package: &Package,
    download: impl FnOnce(&Path) -> Result<(), PackageError>,
) -> Result<PathBuf, PackageError> {
    let folder = cache.folder(&format!("mesos-{}", package.version), |folder| {
        let archive = folder.join(&package.file);
        download(&archive)?;
        package.verify(&archive)?;
        unpack(package, &archive, folder)
    })?;
    Ok(folder.join("libmesos.so"))
}

/// Leaves the library in `folder` as a read-only `libmesos.so`, and nothing else of the archive.
fn unpack(package: &Package, archive: &Path, folder: &Path) -> Result<(), PackageError> {
    let unpacked = folder.join("unpacked");
    fs::create_dir(&unpacked).map_err(PackageError::io("create", &unpacked))?;
    let output = run(
        Command::new("tar")
            .args(["--extract", "--no-same-owner", "--file"])
            .arg(archive)
            .arg("--directory")
            .arg(&unpacked),
        "tar",
        "tar gzip",
    )?;
    if !output.status.success() {
        return Err(PackageError::Unpack {
            file: package.file.clone(),
            said: last_line(&output.stderr),
        });
    }
    let library = folder.join("libmesos.so");
    fs::rename(unpacked.join(&package.library), &library).map_err(|_| PackageError::Unpack {
        file: package.file.clone(),
        said: format!("it has no {}", package.library),
    })?;
    fs::set_permissions(&library, fs::Permissions::from_mode(0o444)).map_err(PackageError::io("protect", &library))?;
    fs::remove_dir_all(&unpacked).map_err(PackageError::io("remove", &unpacked))?;
    fs::remove_file(archive).map_err(PackageError::io("remove", archive))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package of the shape of the real ones, whose archive is made by the caller.
    fn package(archive: &Path) -> Package {
        Package {
            version: "0.0.1".into(),
            project: "none".into(),
            file: "library.tar.gz".into(),
            size: fs::metadata(archive).unwrap().len(),
            sha256: digest(archive),
            library: "usr/lib.so".into(),
        }
    }

    fn digest(path: &Path) -> String {
        use sha2::{Digest, Sha256};
        hex::encode(Sha256::digest(fs::read(path).unwrap()))
    }

    fn archive(folder: &Path, content: &str) -> PathBuf {
        fs::create_dir_all(folder.join("usr")).unwrap();
        fs::write(folder.join("usr/lib.so"), content).unwrap();
        let archive = folder.join("archive.tar.gz");
        let made = Command::new("tar")
            .arg("-C")
            .arg(folder)
            .arg("-czf")
            .arg(&archive)
            .arg("usr")
            .status()
            .unwrap();
        assert!(made.success());
        archive
    }

    fn copy_to<'a>(archive: &'a Path) -> impl FnOnce(&Path) -> Result<(), PackageError> + 'a {
        move |destination| {
            fs::copy(archive, destination)
                .map(|_| ())
                .map_err(PackageError::io("copy", archive))
        }
    }

    #[test]
    fn the_right_file_becomes_a_read_only_library() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path(), "the library");
        let cache = Cache::at(folder.path().join("cache")).unwrap();
        let library = library(&cache, &package(&archive), copy_to(&archive)).unwrap();
        assert_eq!(fs::read_to_string(&library).unwrap(), "the library");
        assert_eq!(fs::metadata(&library).unwrap().permissions().mode() & 0o777, 0o444);
    }

    #[test]
    fn a_file_with_another_digest_is_refused_and_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path(), "the library");
        let cache = Cache::at(folder.path().join("cache")).unwrap();
        let mut package = package(&archive);
        package.sha256 = "0".repeat(64);
        let error = library(&cache, &package, copy_to(&archive)).unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, PackageError::Altered { what: "sha256", .. }), "{said}");
        assert!(
            said.starts_with("library.tar.gz has sha256 ") && said.contains(&"0".repeat(64)),
            "{said}"
        );
        let left: Vec<_> = fs::read_dir(folder.path().join("cache"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["mesos-0.0.1.lock"]);
    }

    #[test]
    fn a_cut_off_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive(folder.path(), "the library");
        let cache = Cache::at(folder.path().join("cache")).unwrap();
        let mut package = package(&archive);
        package.size += 1;
        let error = library(&cache, &package, copy_to(&archive)).unwrap_err();
        assert!(matches!(error, PackageError::Altered { what: "size", .. }), "{error}");
    }

    #[test]
    fn an_unknown_release_is_told_the_known_ones() {
        let error = Package::find("0.28.0").unwrap_err();
        assert!(error.to_string().contains("known: 1.4.3, "), "{error}");
    }
}
