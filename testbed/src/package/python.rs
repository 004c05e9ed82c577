//! Programs of others that are written in Python, pinned by version and digest in `testbed/third-party.pins`.
//!
//! Each section of that file becomes one virtual environment in the cache. Nothing is installed whose digest is not in the
//! file, and pip resolves nothing by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::command::{last_line, run};
use super::{Cache, PackageError};

/// `[SECTION]`, `wants ...`, `regenerates ...`, then a line for each package as pip's requirements have it.
const PINS: &str = include_str!("../../third-party.pins");
/// What builds the packages that are sources only; it is installed first everywhere.
const BUILD_TOOLS: &str = "build-tools";

/// The programs of one section, installed.
#[derive(Debug, Clone)]
pub struct PythonPrograms {
    folder: PathBuf,
}

/// One section of the pins.
struct Section<'a> {
    name: &'a str,
    /// Lines for pip, without those of `regenerated`.
    requirements: Vec<&'a str>,
    /// Lines of packages whose C sources are older than the interpreter: Cython makes them again.
    regenerated: Vec<&'a str>,
}

impl PythonPrograms {
    /// The programs of a section from the cache of the environment, installed when they are not there yet.
    ///
    /// # Errors
    /// There is no such section, or pip cannot install it: the registry cannot be reached, or a digest differs.
    pub fn ensure(section: &str) -> Result<PythonPrograms, PackageError> {
        let tools = find(BUILD_TOOLS)?;
        let section = find(section)?;
        let text = [&tools.requirements[..], &section.requirements, &section.regenerated]
            .concat()
            .join("\n");
        let key = hex::encode(&Sha256::digest(text)[..6]);
        let folder = Cache::from_environment()?.folder_in_place(&format!("{}-{key}", section.name), |folder| {
            eprintln!("installing {} from PyPI", section.name);
            install(&tools, &section, folder)
        })?;
        Ok(PythonPrograms { folder })
    }

    /// The names of all sections.
    pub fn sections() -> Vec<&'static str> {
        let names = PINS
            .lines()
            .filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
        names.filter(|name| *name != BUILD_TOOLS).collect()
    }

    /// A program of the environment by its name.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// The folder of its programs, for `PATH`.
    pub fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }
}

fn find(name: &str) -> Result<Section<'_>, PackageError> {
    let header = format!("[{name}]");
    let mut lines = PINS.lines().skip_while(|line| *line != header);
    if lines.next().is_none() {
        return Err(PackageError::UnknownPrograms {
            section: name.to_owned(),
            known: PythonPrograms::sections().join(", "),
        });
    }
    let body: Vec<&str> = lines.take_while(|line| !line.starts_with('[')).collect();
    let old: Vec<&str> = body
        .iter()
        .filter_map(|line| line.strip_prefix("regenerates "))
        .flat_map(str::split_whitespace)
        .collect();
    let is_old = |line: &&str| old.iter().any(|package| line.starts_with(&format!("{package}==")));
    let packages = body.into_iter().filter(|line| line.contains("--hash="));
    let (regenerated, requirements) = packages.partition(is_old);
    Ok(Section {
        name,
        requirements,
        regenerated,
    })
}

fn install(tools: &Section<'_>, section: &Section<'_>, folder: &Path) -> Result<(), PackageError> {
    let failed = |said: String| PackageError::NotInstalled {
        section: section.name.to_owned(),
        said,
    };
    let succeed = |command: &mut Command| {
        let output = run(command, "python3", "python3 python3-venv")?;
        match output.status.success() {
            true => Ok(()),
            false => Err(failed(last_line(&[output.stdout, output.stderr].concat()))),
        }
    };
    let pip = |arguments: &[&str]| {
        let mut command = Command::new(folder.join("bin/python"));
        command
            .current_dir(folder)
            .args(["-m", "pip", "--quiet", "--disable-pip-version-check"])
            .args(arguments);
        succeed(&mut command)
    };
    succeed(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let pinned = [
        "--require-hashes",
        "--no-deps",
        "--no-build-isolation",
        "--requirement",
        "requirements.txt",
    ];
    for lines in [&tools.requirements, &section.requirements] {
        write(folder, &lines.join("\n"))?;
        pip(&[&["install"], &pinned[..]].concat())?;
    }
    for line in &section.regenerated {
        write(folder, line)?;
        let sources = ["download", "--no-binary", ":all:", "--dest", "sources"];
        pip(&[&sources[..], &pinned[..]].concat())?;
        let script = "cd sources && tar --extract --file *.tar.gz && rm *.tar.gz && cd * && \
                      find . -name '*.pyx' -exec ../../bin/cython -3 --force {} +";
        succeed(Command::new("sh").current_dir(folder).args(["-ec", script]))?;
        let unpacked = format!("./sources/{}", only_entry(&folder.join("sources"))?);
        pip(&["install", "--no-deps", "--no-build-isolation", &unpacked])?;
        let sources = folder.join("sources");
        fs::remove_dir_all(&sources).map_err(PackageError::io("remove", &sources))?;
    }
    Ok(())
}

fn write(folder: &Path, requirements: &str) -> Result<(), PackageError> {
    let path = folder.join("requirements.txt");
    fs::write(&path, requirements).map_err(PackageError::io("write", &path))
}

fn only_entry(folder: &Path) -> Result<String, PackageError> {
    let listing = fs::read_dir(folder).map_err(PackageError::io("list", folder))?;
    let first = listing.flatten().next();
    Ok(first
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_of_every_section_has_a_version_and_a_digest() {
        for name in PythonPrograms::sections().into_iter().chain([BUILD_TOOLS]) {
            let section = find(name).unwrap();
            assert!(!section.requirements.is_empty(), "{name}");
            for line in section.requirements.iter().chain(&section.regenerated) {
                let (_, digest) = line.split_once(" --hash=sha256:").unwrap_or_else(|| panic!("{line}"));
                assert!(line.contains("==") && digest.len() == 64, "{line}");
            }
        }
    }

    #[test]
    fn a_section_that_is_not_there_is_answered_with_those_that_are() {
        let problem = PythonPrograms::ensure("hadoop").unwrap_err().to_string();
        assert!(problem.contains("'hadoop'") && problem.contains("toil"), "{problem}");
    }
}
