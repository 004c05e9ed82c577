//! mesos-master, mesos-agent and the programs an agent runs, compiled against the official library.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use sha2::{Digest, Sha256};

use super::command::{last_line, run};
use super::{PackageError, stubs};

/// What a program is made of: its name, then the sources that are its own.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("mesos-master", &["master.cpp"]),
    ("mesos-agent", &["agent.cpp", "future_tracker.cpp"]),
    ("mesos-containerizer", &["containerizer.cpp", "launch_info.cpp"]),
    ("mesos-io-switchboard", &["io_switchboard.cpp"]),
];

/// Every file that takes part, by the name it is included by.
const SOURCES: &[(&str, &str)] = &[
    ("stout.hpp", include_str!("../../../mesos-module/abi/stout.hpp")),
    ("mesos.hpp", include_str!("../../cpp/mesos.hpp")),
    ("flags.hpp", include_str!("../../cpp/flags.hpp")),
    ("flags.cpp", include_str!("../../cpp/flags.cpp")),
    ("master.cpp", include_str!("../../cpp/master.cpp")),
    ("agent.cpp", include_str!("../../cpp/agent.cpp")),
    ("future_tracker.hpp", include_str!("../../cpp/future_tracker.hpp")),
    ("future_tracker.cpp", include_str!("../../cpp/future_tracker.cpp")),
    ("io_switchboard.cpp", include_str!("../../cpp/io_switchboard.cpp")),
    ("launch_info.hpp", include_str!("../../cpp/launch_info.hpp")),
    ("launch_info.cpp", include_str!("../../cpp/launch_info.cpp")),
    ("containerizer.cpp", include_str!("../../cpp/containerizer.cpp")),
];

const FLAGS: &[&str] = &["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror"];

/// Tells apart what is built from different sources, for different releases, or by different compilers.
///
/// # Errors
/// There is no g++.
pub(super) fn key(version: &str) -> Result<String, PackageError> {
    let compiler = run(Command::new("g++").arg("--version"), "g++", "g++")?;
    let mut digest = Sha256::new();
    digest.update(version);
    digest.update(&compiler.stdout);
    digest.update(FLAGS.join(" "));
    digest.update(include_str!("stubs.rs"));
    digest.update(include_str!("programs.rs"));
    for (name, text) in SOURCES {
        digest.update(name);
        digest.update(text);
    }
    Ok(hex::encode(&digest.finalize()[..6]))
}

/// Compiles the programs, and the stub libraries they need, into `folder`.
///
/// # Errors
/// The compiler is missing or refuses.
pub(super) fn build(version: &str, library: &Path, folder: &Path) -> Result<(), PackageError> {
    eprintln!("compiling the programs of Mesos {version}");
    let sources = folder.join("sources");
    fs::create_dir(&sources).map_err(PackageError::io("create", &sources))?;
    for (name, text) in SOURCES {
        let path = sources.join(name);
        fs::write(&path, text).map_err(PackageError::io("write", &path))?;
    }
    stubs::build(library, folder)?;
    // Twice as quick on two processors: the compiler runs once for each source.
    thread::scope(|scope| {
        let compiling: Vec<_> = SOURCES
            .iter()
            .filter(|(name, _)| name.ends_with(".cpp"))
            .map(|(name, _)| scope.spawn(|| compile(version, name, &sources)))
            .collect();
        compiling
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a compilation does not panic"))
    })?;
    for (program, own) in PROGRAMS {
        link(program, own, &sources, library, folder)?;
    }
    fs::remove_dir_all(&sources).map_err(PackageError::io("remove", &sources))?;
    Ok(())
}

fn compile(version: &str, source: &str, sources: &Path) -> Result<(), PackageError> {
    let mut command = Command::new("g++");
    command
        .current_dir(sources)
        .args(FLAGS)
        .arg(format!("-DMESOS_VERSION=\"{version}\""))
        .arg(format!("-DMESOS_MINOR={}", minor(version)))
        .args(["-I.", "-c", source]);
    succeed(&mut command, source)
}

/// The 11 of 1.11.0: what the sources tell releases apart by.
fn minor(version: &str) -> &str {
    version.split('.').nth(1).unwrap_or_default()
}

fn link(program: &str, own: &[&str], sources: &Path, library: &Path, folder: &Path) -> Result<(), PackageError> {
    let object = |source: &str| Path::new(source).with_extension("o");
    let library_folder = library.parent().expect("a file of the cache is in a folder");
    let mut command = Command::new("g++");
    command
        .current_dir(sources)
        .arg("-o")
        .arg(folder.join(program))
        .args(own.iter().map(|source| object(source)))
        .arg(object("flags.cpp"))
        .arg(format!("-L{}", library_folder.display()))
        .arg(format!("-L{}", folder.display()))
        .arg("-Wl,--no-as-needed")
        .arg("-l:libmesos.so")
        .arg(format!("-l:{}", stubs::PYTHON))
        // The stubs are dependencies of a dependency: only DT_RPATH (not DT_RUNPATH) is searched for those. $ORIGIN,
        // because the folder is built under another name than it is used by.
        .arg(format!(
            "-Wl,--disable-new-dtags,-rpath,$ORIGIN:{}",
            library_folder.display()
        ))
        .arg(format!("-Wl,-rpath-link,{}", folder.display()));
    succeed(&mut command, program)
}

fn succeed(command: &mut Command, target: &str) -> Result<(), PackageError> {
    let output = run(command, "g++", "g++")?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let error = text
        .lines()
        .find(|line| line.contains("error") || line.contains("undefined reference"));
    let said = error.map_or_else(|| last_line(&output.stderr), str::to_owned);
    Err(PackageError::Build {
        target: target.to_owned(),
        said,
    })
}

/// Starts each program once, so that a library missing on this machine is named here and not in a cluster's log.
///
/// # Errors
/// A program does not start.
pub(super) fn check(folder: &Path) -> Result<(), PackageError> {
    for (program, argument) in [
        ("mesos-master", "--version"),
        ("mesos-agent", "--version"),
        ("mesos-containerizer", "help"),
        ("mesos-io-switchboard", "--help"),
    ] {
        let path = folder.join(program);
        let output = Command::new(&path)
            .arg(argument)
            .output()
            .map_err(PackageError::io("run", &path))?;
        if !output.status.success() {
            return Err(PackageError::DoesNotStart {
                said: last_line(&output.stderr),
            });
        }
    }
    Ok(())
}
