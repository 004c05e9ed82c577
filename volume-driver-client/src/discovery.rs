//! Finding drivers: Docker's folders, and what the operator says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::driver::{Driver, PathRewrite};
use crate::endpoint::{Endpoint, TlsSettings};
use crate::error::{Error, ErrorKind};
use crate::gate::Gate;
use crate::locks::LockFiles;
use crate::operation::Operation;
use crate::places::{self, Candidate, Discovered, Place};
use crate::profile::{Borne, Profiles};
use crate::trust;

/// The driver inside dockerd, which frameworks written for Docker name by default.
const DOCKERS_OWN: &str = "local";
/// How many drivers a message names at most.
const MOST_NAMED: usize = 10;
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
    /// Which drivers that are not there are worth that wait. One with a socket, a spec or an explicit address always is.
    pub waits_for: WaitsFor,
    /// A folder of lock files by which several processes together keep to [`crate::Profile::max_in_flight`]. It is made
    /// when it is missing and belongs in `/run`. Default none: this process counts its own calls only.
    pub lock_dir: Option<PathBuf>,
}

impl Default for Discovery {
    fn default() -> Discovery {
        Discovery {
            socket_dirs: vec!["/run/docker/plugins".into()],
            spec_dirs: vec!["/etc/docker/plugins".into(), "/usr/lib/docker/plugins".into()],
            explicit: BTreeMap::new(),
            wait: Duration::ZERO,
            waits_for: WaitsFor::Every,
            lock_dir: None,
        }
    }
}

/// Which drivers may be restarting when they are not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    /// A driver of any name.
    Every,
    /// Those with these names and those that have been found before. A lookup of another name fails at once, so that a misspelt
    /// name does not hold its caller up.
    Known(BTreeSet<String>),
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

/// Looks drivers up by name. Cheap to clone. Every lookup looks at the folders as they are now; what is kept between lookups
/// is how many calls each driver has in flight, and idle connections while it stays where it is.
#[derive(Debug, Clone)]
pub struct Drivers(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    discovery: Discovery,
    profiles: Profiles,
    /// One per driver that was found.
    known: Mutex<BTreeMap<String, Known>>,
    /// One per listener: several names can lead to one driver.
    gates: Mutex<BTreeMap<String, Arc<Gate>>>,
}

/// The driver of the last lookup, with the identity of its socket. A socket with another identity
/// belongs to another process.
type Known = Option<(Driver, Option<(u64, u64)>)>;

impl Drivers {
    /// Looks where `discovery` says and treats drivers as `profiles` says.
    pub fn new(discovery: Discovery, profiles: Profiles) -> Drivers {
        Drivers(Arc::new(Settings {
            discovery,
            profiles,
            known: Mutex::default(),
            gates: Mutex::default(),
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
    /// sent. Waits up to [`Discovery::wait`] for a driver that is not there and that [`Discovery::waits_for`] names.
    ///
    /// # Errors
    /// `NotInstalled` with the drivers that are installed; `Misconfigured` when the first hit must not or cannot be used.
    pub fn driver(&self, name: &str) -> Result<Driver, Error> {
        let end = Instant::now() + self.0.discovery.wait;
        loop {
            match self.look_up(name) {
                Err(error)
                    if error.kind() == ErrorKind::NotInstalled
                        && self.may_return(name)
                        && Instant::now() + POLL < end =>
                {
                    std::thread::sleep(POLL);
                }
                result => return result,
            }
        }
    }

    /// Whether a driver that is not there may be one that is being restarted.
    fn may_return(&self, name: &str) -> bool {
        let is_remembered = || {
            let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.contains_key(name)
        };
        match &self.0.discovery.waits_for {
            WaitsFor::Every => true,
            WaitsFor::Known(names) => names.contains(name) || is_remembered(),
        }
    }

    fn look_up(&self, name: &str) -> Result<Driver, Error> {
        let explicit = &self.0.discovery.explicit;
        let failed = |kind, words: String| Err(Error::new(kind, Operation::Lookup, name, words));
        if let Some(given) = explicit.get(name) {
            return match given.endpoint() {
                Ok(endpoint) => Ok(self.make(name, endpoint, given.rewrites.clone())),
                Err(why) => failed(ErrorKind::Misconfigured, why),
            };
        }
        if let Err(why) = places::check_name(name) {
            return failed(ErrorKind::NotInstalled, why);
        }
        let Discovery {
            socket_dirs, spec_dirs, ..
        } = &self.0.discovery;
        let places = Place::all(socket_dirs, spec_dirs, name);
        for place in &places {
            match place.look() {
                Discovered::Nothing => {}
                Discovered::Driver(endpoint) => return Ok(self.make(name, endpoint, Vec::new())),
                Discovered::Unusable(why) => return failed(ErrorKind::Misconfigured, why),
            }
        }
        let words = if name == DOCKERS_OWN {
            "'local' is Docker's own driver, a part of dockerd that no other program can call: name a driver that is installed \
             on this host, or have the operator map 'local' to one (an entry 'local' with that driver's socket below 'addresses' \
             in the module parameter drivers)"
                .to_owned()
        } else {
            self.found_here()
        };
        failed(ErrorKind::NotInstalled, words)
    }

    /// The drivers that a lookup finds; when it finds none, the folders that it looks into.
    fn found_here(&self) -> String {
        let names: BTreeSet<String> = self
            .list()
            .into_iter()
            .filter(|candidate| candidate.outcome.is_ok())
            .map(|candidate| candidate.name)
            .collect();
        let (before, named) = if names.is_empty() {
            let Discovery {
                socket_dirs, spec_dirs, ..
            } = &self.0.discovery;
            let folders = socket_dirs.iter().chain(spec_dirs);
            (
                "no driver is found in",
                folders.map(|folder| folder.display().to_string()).collect(),
            )
        } else {
            ("found here:", names.into_iter().take(MOST_NAMED).collect::<Vec<_>>())
        };
        format!("{before} {}", foreign_text::escaped(&named.join(", ")))
    }

    fn make(&self, name: &str, endpoint: Endpoint, rewrites: Vec<PathRewrite>) -> Driver {
        let socket = endpoint.socket().and_then(identity);
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known: &mut Known = known.entry(name.to_owned()).or_default();
        if let Some((driver, found)) = known
            && *found == socket
            && *driver.endpoint() == endpoint
        {
            return driver.clone();
        }
        let mut profile = self.0.profiles.for_driver(name);
        let listener = endpoint.listener();
        let borne = self.borne_by(name, &endpoint, &listener);
        profile.max_in_flight = borne.max_in_flight;
        profile.pause_after_change = borne.pause_after_change;
        let mut gates = self.0.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let lock_dir = self.0.discovery.lock_dir.as_ref();
        let gate = gates.entry(listener).or_insert_with_key(|listener| match lock_dir {
            Some(folder) => Arc::new(Gate::shared(LockFiles::new(folder, listener))),
            None => Arc::default(),
        });
        let wait = self.0.discovery.wait;
        // Certificates are read when a driver is made, and may be renewed under the same names.
        let stays = !matches!(endpoint, Endpoint::Tls { .. });
        let driver = Driver::new(name.to_owned(), endpoint, profile, rewrites, wait, gate.clone());
        *known = stays.then(|| (driver.clone(), socket));
        driver
    }

    /// What the driver at `endpoint` bears, by whichever of its names it is called.
    fn borne_by(&self, name: &str, endpoint: &Endpoint, listener: &str) -> Borne {
        let socket = endpoint.socket().and_then(Path::file_stem);
        let of_socket = socket.and_then(|stem| stem.to_str());
        let given = self.0.discovery.explicit.iter();
        let aliases = given.filter_map(|(alias, given)| {
            let endpoint = Endpoint::parse(&given.address, given.tls.clone()).ok()?;
            (endpoint.listener() == listener).then_some(alias.as_str())
        });
        let names = [name].into_iter().chain(of_socket).chain(aliases);
        self.0.profiles.borne_by(names)
    }

    /// What the calls of a driver share a limit by, and how many of them may be made at once. Names
    /// that lead to one listener have the same. Nothing is sent, and a driver that is not there is
    /// not waited for.
    pub fn turns(&self, name: &str) -> (String, usize) {
        match self.look_up(name) {
            Ok(driver) => (driver.endpoint().listener(), driver.profile().max_in_flight),
            Err(_) => (name.to_owned(), self.0.profiles.for_driver(name).max_in_flight),
        }
    }

    /// What is there: the operator's drivers, then every socket and spec in the folders, in the order of the lookup, with the
    /// reason why one is skipped. Nothing is sent.
    pub fn list(&self) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        for (name, given) in &self.0.discovery.explicit {
            found.push(Candidate {
                name: name.clone(),
                source: None,
                outcome: given.endpoint(),
            });
        }
        for mut candidate in places::scan(&self.0.discovery.socket_dirs, &self.0.discovery.spec_dirs) {
            if let Some(first) = found.iter().find(|first| first.name == candidate.name) {
                let winner = first
                    .source
                    .as_ref()
                    .map_or("an explicit address".to_owned(), |it| it.display().to_string());
                candidate.outcome = Err(format!("{winner} is found first"));
            }
            found.push(candidate);
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
        let endpoint = Endpoint::parse(&self.address, self.tls.clone())?;
        // A socket that is not there yet is no mistake: connecting says so, and may wait.
        match endpoint.socket() {
            Some(socket) if socket.exists() => trust::check(socket).map(|()| endpoint),
            _ => Ok(endpoint),
        }
    }
}

/// Device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}
