//! The files that make a driver known: which there may be, and what is in the folders.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::endpoint::Endpoint;
use crate::spec;
use crate::trust;
use crate::words::{NAME_LIMIT, clean};

/// Longest driver name that is looked up: with its ending it still is a file name.
const LONGEST_NAME: usize = 200;
/// Longest spec file that is read.
const LONGEST_SPEC: u64 = 64 * 1024;

/// A file that may make a driver known.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Socket,
    Spec,
    Json,
}

/// Something that is, or was meant to be, a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The driver's name.
    pub name: String,
    /// The socket or spec file; none for a driver the operator gave.
    pub source: Option<PathBuf>,
    /// The address, or why this candidate is skipped.
    pub outcome: Result<Endpoint, String>,
}

/// What is at a place.
pub(crate) enum Discovered {
    /// No file, or one that is not looked at, as in Docker.
    Nothing,
    Driver(Endpoint),
    /// A file that must not or cannot be used, with the reason.
    Unusable(String),
}

/// A name is looked up as a file name, so it must be one.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if name.contains(['/', '\0']) || name == "." || name == ".." || name.len() > LONGEST_NAME {
        return Err(format!(
            "'{}' cannot be the name of a socket or spec file; such a driver needs an explicit address",
            clean(name, NAME_LIMIT)
        ));
    }
    Ok(())
}

impl Place {
    /// Every place where a driver of that name may be, in Docker's order: the sockets of all folders first, then folder by folder
    /// `.spec` before `.json`.
    pub(crate) fn all(socket_dirs: &[PathBuf], spec_dirs: &[PathBuf], name: &str) -> Vec<Place> {
        let both = |dir: &Path, form: Form| {
            let file = format!("{name}.{}", form.ending());
            [dir.join(&file), dir.join(name).join(&file)].map(|path| Place { path, form })
        };
        let sockets = socket_dirs.iter().flat_map(|dir| both(dir, Form::Socket));
        let specs = spec_dirs
            .iter()
            .flat_map(|dir| [both(dir, Form::Spec), both(dir, Form::Json)])
            .flatten();
        sockets.chain(specs).collect()
    }

    /// What is here. A file that must not be used ends the search: a driver further on would be another one.
    pub(crate) fn look(&self) -> Discovered {
        let meta = match fs::metadata(&self.path) {
            Ok(meta) => meta,
            Err(error) if is_absent(&error) => return Discovered::Nothing,
            Err(error) => return Discovered::Unusable(format!("{}: {error}", self.path.display())),
        };
        let result = match self.form {
            Form::Socket if meta.file_type().is_socket() => {
                trust::check(&self.path).map(|()| Endpoint::Unix(self.path.clone()))
            }
            // What is not a socket is passed over, as in Docker.
            Form::Socket => return Discovered::Nothing,
            Form::Spec | Form::Json => trust::check(&self.path).and_then(|()| self.read()),
        };
        match result {
            Ok(endpoint) => Discovered::Driver(endpoint),
            Err(why) => Discovered::Unusable(why),
        }
    }

    /// The owners and modes have been checked by the rules of drivers, which let a group of the administrator's choice write.
    fn read(&self) -> Result<Endpoint, String> {
        let text = operator_files::read_given(&self.path, LONGEST_SPEC).map_err(|error| error.to_string())?;
        let endpoint = match self.form {
            Form::Json => spec::read_json(&text),
            Form::Spec | Form::Socket => spec::read_spec(&text),
        };
        endpoint.map_err(|why| format!("{}: {why}", self.path.display()))
    }
}

/// Every candidate in the folders, in the order of a lookup: `socket_dirs` first.
pub(crate) fn scan(socket_dirs: &[PathBuf], spec_dirs: &[PathBuf]) -> Vec<Candidate> {
    let mut found = Vec::new();
    for dir in socket_dirs {
        scan_folder(dir, &[Form::Socket], &mut found);
    }
    for dir in spec_dirs {
        scan_folder(dir, &[Form::Spec, Form::Json], &mut found);
    }
    found
}

fn scan_folder(dir: &Path, forms: &[Form], found: &mut Vec<Candidate>) {
    let names = match file_names(dir) {
        Ok(names) => names,
        Err(error) if is_absent(&error) => return,
        Err(error) => {
            let name = dir.display().to_string();
            found.push(Candidate {
                name,
                source: Some(dir.to_owned()),
                outcome: Err(error.to_string()),
            });
            return;
        }
    };
    for &form in forms {
        for name in &names {
            let path = dir.join(name);
            if let Some(driver) = name.strip_suffix(form.ending()).and_then(|it| it.strip_suffix('.')) {
                push(
                    driver,
                    Place {
                        path: path.clone(),
                        form,
                    },
                    found,
                );
            }
            if path.is_dir() {
                let inner = path.join(format!("{name}.{}", form.ending()));
                if inner.exists() {
                    push(name, Place { path: inner, form }, found);
                } else if form == Form::Socket {
                    push_managed(&path, found);
                }
            }
        }
    }
}

fn push(name: &str, place: Place, found: &mut Vec<Candidate>) {
    let outcome = match place.look() {
        Discovered::Driver(endpoint) => check_name(name).map(|()| endpoint),
        Discovered::Unusable(why) => Err(why),
        Discovered::Nothing => Err("not a socket".to_owned()),
    };
    found.push(Candidate {
        name: name.to_owned(),
        source: Some(place.path),
        outcome,
    });
}

/// A folder without a socket of its own name: managed plugins have `ID/NAME.sock`.
fn push_managed(folder: &Path, found: &mut Vec<Candidate>) {
    for name in file_names(folder).unwrap_or_default() {
        if let Some(driver) = name.strip_suffix(".sock") {
            found.push(Candidate {
                name: driver.to_owned(),
                source: Some(folder.join(&name)),
                outcome: Err(
                    "in a folder of another name, as managed plugins are: it needs an explicit address \
                              and a rewrite of its paths"
                        .to_owned(),
                ),
            });
        }
    }
}

/// The names in a folder, sorted. Names that are not UTF-8 are left out, since no driver is looked
/// up by them.
fn file_names(dir: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        if let Ok(name) = entry?.file_name().into_string() {
            names.insert(name);
        }
    }
    Ok(names)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl Form {
    fn ending(self) -> &'static str {
        match self {
            Form::Socket => "sock",
            Form::Spec => "spec",
            Form::Json => "json",
        }
    }
}
