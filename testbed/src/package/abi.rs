//! What a Mesos library is like where the isolator module relies on it, beside what the module expects.
//!
//! The expectations are the module's own headers; `cpp/abi.cpp` is compiled with them, opens the library and looks.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::command::{last_line, run};
use super::{PackageError, stubs};

const SOURCES: &[(&str, &str)] = &[
    ("abi.cpp", include_str!("../../cpp/abi.cpp")),
    ("releases.hpp", include_str!("../../../mesos-module/abi/releases.hpp")),
    ("messages.hpp", include_str!("../../../mesos-module/abi/messages.hpp")),
    ("process.hpp", include_str!("../../../mesos-module/abi/process.hpp")),
    ("protobuf.hpp", include_str!("../../../mesos-module/abi/protobuf.hpp")),
    ("stout.hpp", include_str!("../../../mesos-module/abi/stout.hpp")),
];

/// One thing the module relies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub what: String,
    /// As it is in the library.
    pub found: String,
    /// As the module expects it; `<=N` is a limit.
    pub expected: String,
}

impl Finding {
    /// Whether the module can rely on it.
    pub fn is_as_expected(&self) -> bool {
        match self.expected.strip_prefix("<=") {
            None => self.found == self.expected,
            Some(limit) => match (self.found.parse::<u64>(), limit.parse::<u64>()) {
                (Ok(found), Ok(limit)) => found <= limit,
                _ => false,
            },
        }
    }
}

/// What the module relies on in `library`: its release, the order of the isolator interface, sizes of messages, a future's first
/// bytes; and every symbol that `module` wants and the C and C++ libraries do not have.
///
/// # Errors
/// A compiler or binutils is missing, one of the files is no library, or it cannot be opened on this machine: the message has
/// the loader's words.
pub fn inspect(library: &Path, module: &Path) -> Result<Vec<Finding>, PackageError> {
    let folder = tempfile::tempdir().map_err(PackageError::io("create a folder in", &std::env::temp_dir()))?;
    let mut findings = probe(library, folder.path())?;
    let exported = exported(library)?;
    for symbol in stubs::undefined(module)? {
        // What has a version is of a library of its own; the others are weak ones of the C runtime.
        if symbol.starts_with("_Z") {
            findings.push(Finding {
                found: if exported.contains(&symbol) {
                    "exported"
                } else {
                    "missing"
                }
                .to_owned(),
                what: format!("symbol {symbol}"),
                expected: "exported".to_owned(),
            });
        }
    }
    Ok(findings)
}

fn probe(library: &Path, folder: &Path) -> Result<Vec<Finding>, PackageError> {
    for (name, text) in SOURCES {
        let path = folder.join(name);
        fs::write(&path, text).map_err(PackageError::io("write", &path))?;
    }
    stubs::build(library, folder)?;
    let library = fs::canonicalize(library).map_err(PackageError::io("find", library))?;
    let mut compile = Command::new("g++");
    compile
        .current_dir(folder)
        .args(["-std=c++17", "-O1", "-I.", "-o", "abi", "abi.cpp", "-ldl"])
        .arg("-Wl,--disable-new-dtags,-rpath,$ORIGIN");
    succeed(run(&mut compile, "g++", "g++")?, "the ABI probe")?;
    let mut probe = Command::new(folder.join("abi"));
    probe.arg(folder.join(stubs::PYTHON)).arg(library);
    let said = succeed(run(&mut probe, "abi", "g++")?, "the look at the library")?;
    let findings = said.lines().filter_map(|line| {
        let mut fields = line.split('\t').map(str::to_owned);
        Some(Finding {
            what: fields.next()?,
            found: fields.next()?,
            expected: fields.next()?,
        })
    });
    Ok(findings.collect())
}

fn exported(library: &Path) -> Result<BTreeSet<String>, PackageError> {
    let said = stubs::words_of("nm", &["-D", "--defined-only"], library)?;
    let names = said.lines().filter_map(|line| line.split_whitespace().next_back());
    Ok(names.map(str::to_owned).collect())
}

fn succeed(output: std::process::Output, target: &str) -> Result<String, PackageError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(PackageError::Build {
        target: target.to_owned(),
        said: last_line(&output.stderr),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(found: &str, expected: &str) -> Finding {
        Finding {
            what: "size".into(),
            found: found.into(),
            expected: expected.into(),
        }
    }

    #[test]
    fn a_limit_is_kept_or_not_and_anything_else_is_equal_or_not() {
        assert!(finding("88", "88").is_as_expected());
        assert!(!finding("96", "88").is_as_expected());
        assert!(finding("1024", "<=1024").is_as_expected());
        assert!(!finding("1032", "<=1024").is_as_expected());
        assert!(!finding("not exported", "<=1024").is_as_expected());
    }
}
