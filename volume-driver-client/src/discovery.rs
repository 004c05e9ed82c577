//! Finding drivers: Docker's folders, and what the operator says.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::driver::{Driver, PathRewrite};
use crate::endpoint::{Endpoint, TlsSettings};
use crate::error::{Error, ErrorKind};
use crate::operation::Operation;
use crate::profile::Profiles;
use crate::words::{NAME_LIMIT, clean};

/// How often the folders are looked at again while waiting for a driver.
const POLL: Duration = Duration::from_millis(50);

/// Where drivers are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// Folders with `NAME.sock` or `NAME/NAME.sock`. Default `/run/docker/plugins`.
    pub socket_dirs: Vec<PathBuf>,
    /// Folders with `NAME.spec`, `NAME.json` or the same in a folder `NAME`. Default `/etc/docker/plugins` and
    /// `/usr/lib/docker/plugins`.
    pub spec_dirs: Vec<PathBuf>,
    /// Drivers at addresses the operator gives; they win over what is found. Managed plugins and names with `/` or `:`
    /// are reached this way only.
    pub explicit: BTreeMap<String, ExplicitDriver>,
    /// How long a driver that is not there or refuses connections is waited for, in each lookup and each call. Default zero.
    pub wait: Duration,
}

impl Default for Discovery {
    fn default() -> Discovery {
        Discovery {
            socket_dirs: vec!["/run/docker/plugins".into()],
            spec_dirs: vec![
                "/etc/docker/plugins".into(),
                "/usr/lib/docker/plugins".into(),
            ],
            explicit: BTreeMap::new(),
            wait: Duration::ZERO,
        }
    }
}

/// A driver whose address the operator gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplicitDriver {
    /// An absolute path of a socket, or an address as [`Endpoint::parse`] reads it.
    pub address: String,
    /// For `https://` addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSettings>,
    /// Where the driver's paths are on this host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewrites: Vec<PathRewrite>,
}

/// Looks drivers up by name. Cheap to clone. Holds no state: every lookup looks at the folders as they are now.
#[derive(Debug, Clone)]
pub struct Drivers(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    discovery: Discovery,
    profiles: Profiles,
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

impl Drivers {
    /// Looks where `discovery` says and treats drivers as `profiles` says.
    pub fn new(discovery: Discovery, profiles: Profiles) -> Drivers {
        Drivers(Arc::new(Settings {
            discovery,
            profiles,
        }))
    }

    /// The settings of the lookup.
    pub fn discovery(&self) -> &Discovery {
        &self.0.discovery
    }

    /// The profiles of the drivers.
    pub fn profiles(&self) -> &Profiles {
        &self.0.profiles
    }

    /// Looks the driver up now: what the operator gave, then sockets, then specs, each folder in order; first hit wins. Nothing is
    /// sent. Waits up to [`Discovery::wait`] for a driver that is not there.
    ///
    /// # Errors
    /// `NotInstalled` with what was searched; `Misconfigured` when the first hit must not or cannot be used.
    pub fn driver(&self, name: &str) -> Result<Driver, Error> {
        let end = Instant::now() + self.0.discovery.wait;
        loop {
            match self.look_up(name) {
                Err(error)
                    if error.kind() == ErrorKind::NotInstalled && Instant::now() + POLL < end =>
                {
                    std::thread::sleep(POLL);
                }
                result => return result,
            }
        }
    }

    fn look_up(&self, name: &str) -> Result<Driver, Error> {
        let Discovery { explicit, wait, .. } = &self.0.discovery;
        let failed = |kind, words: String| Err(Error::new(kind, Operation::Lookup, name, words));
        if let Some(given) = explicit.get(name) {
            return match given.endpoint() {
                Ok(endpoint) => Ok(self.make(name, endpoint, given.rewrites.clone(), *wait)),
                Err(why) => failed(ErrorKind::Misconfigured, why),
            };
        }
        if let Err(why) = check_name(name) {
            return failed(ErrorKind::NotInstalled, why);
        }
        for place in self.places(name) {
            match place.look() {
                Ok(None) => {}
                Ok(Some(endpoint)) => return Ok(self.make(name, endpoint, Vec::new(), *wait)),
                Err(why) => return failed(ErrorKind::Misconfigured, why),
            }
        }
        let searched: Vec<String> = self
            .places(name)
            .map(|it| it.path.display().to_string())
            .collect();
        failed(
            ErrorKind::NotInstalled,
            format!("looked for {}", searched.join(", ")),
        )
    }

    fn make(
        &self,
        name: &str,
        endpoint: Endpoint,
        rewrites: Vec<PathRewrite>,
        wait: Duration,
    ) -> Driver {
        Driver::new(
            name.to_owned(),
            endpoint,
            self.0.profiles.for_driver(name),
            rewrites,
            wait,
        )
    }

    /// Every place where a driver of that name may be, in Docker's order.
    fn places(&self, name: &str) -> impl Iterator<Item = Place> {
        let Discovery {
            socket_dirs,
            spec_dirs,
            ..
        } = &self.0.discovery;
        let both = |dir: &Path, ending: &str, form: Form| {
            let file = format!("{name}.{ending}");
            [dir.join(&file), dir.join(name).join(&file)].map(|path| Place { path, form })
        };
        let sockets = socket_dirs
            .iter()
            .flat_map(|dir| both(dir, "sock", Form::Socket))
            .collect::<Vec<_>>();
        let specs = spec_dirs
            .iter()
            .flat_map(|dir| [both(dir, "spec", Form::Spec), both(dir, "json", Form::Json)])
            .flatten()
            .collect::<Vec<_>>();
        sockets.into_iter().chain(specs)
    }

    /// What is there: the operator's drivers, then every socket and spec in the folders, with the reason why one is skipped.
    pub fn list(&self) -> Vec<Candidate> {
        let Discovery {
            explicit,
            socket_dirs,
            spec_dirs,
            ..
        } = &self.0.discovery;
        let mut found: Vec<Candidate> = explicit
            .iter()
            .map(|(name, given)| Candidate {
                name: name.clone(),
                source: None,
                outcome: given.endpoint(),
            })
            .collect();
        for (dirs, forms) in [
            (socket_dirs, &[Form::Socket][..]),
            (spec_dirs, &[Form::Spec, Form::Json][..]),
        ] {
            for dir in dirs {
                list_dir(dir, forms, &mut found);
            }
        }
        found
    }
}

impl ExplicitDriver {
    fn endpoint(&self) -> Result<Endpoint, String> {
        for rewrite in &self.rewrites {
            if !rewrite.from.is_absolute() || !rewrite.to.is_absolute() {
                return Err(format!(
                    "the rewrite from '{}' to '{}' needs absolute paths",
                    rewrite.from.display(),
                    rewrite.to.display()
                ));
            }
        }
        Endpoint::parse(&self.address, self.tls.clone())
    }
}

/// A name is looked up as a file name, so it must be one.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if name.contains(['/', '\0']) || name == "." || name == ".." || name.len() > 200 {
        return Err(format!(
            "'{}' cannot be the name of a socket or spec file; such a driver needs an explicit address",
            clean(name, NAME_LIMIT)
        ));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Socket,
    Spec,
    Json,
}

struct Place {
    path: PathBuf,
    form: Form,
}

impl Place {
    /// The address found here, none when there is nothing, or why it must not be used.
    fn look(&self) -> Result<Option<Endpoint>, String> {
        let meta = match fs::metadata(&self.path) {
            Ok(meta) => meta,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", self.path.display())),
        };
        match self.form {
            Form::Socket if meta.file_type().is_socket() => {
                Ok(Some(Endpoint::Unix(self.path.clone())))
            }
            // Docker skips what is not a socket, too.
            Form::Socket => Ok(None),
            Form::Spec | Form::Json => self.read_spec().map(Some),
        }
    }

    fn read_spec(&self) -> Result<Endpoint, String> {
        let text =
            fs::read_to_string(&self.path).map_err(|e| format!("{}: {e}", self.path.display()))?;
        let endpoint = match self.form {
            Form::Json => Err("JSON specs are not read yet".to_owned()),
            _ => Endpoint::parse(&text, None),
        };
        endpoint.map_err(|why| format!("{}: {why}", self.path.display()))
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn list_dir(dir: &Path, forms: &[Form], found: &mut Vec<Candidate>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        let ending = path.extension().and_then(|ending| ending.to_str());
        for &form in forms {
            let (name, path) = if ending == Some(form.ending()) {
                (stem.to_owned(), path.clone())
            } else if path.is_dir() {
                (
                    stem.to_owned(),
                    path.join(stem).with_extension(form.ending()),
                )
            } else {
                continue;
            };
            let outcome = match (Place {
                path: path.clone(),
                form,
            })
            .look()
            {
                Ok(Some(endpoint)) => Ok(endpoint),
                Ok(None) => continue,
                Err(why) => Err(why),
            };
            found.push(Candidate {
                name,
                source: Some(path),
                outcome,
            });
        }
    }
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
