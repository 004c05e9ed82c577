//! The emulated hosts: EC2 instances as far as EBS knows them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::manners::Manners;

/// How many volumes a Nitro instance bears.
const DEFAULT_ATTACH_LIMIT: usize = 28;

/// Device names an instance gives to its volumes: `/dev/xvdba` to `/dev/xvdcz`.
const DEVICE_LETTERS: [char; 2] = ['b', 'c'];

/// What the command line says about one host: `NAME=ZONE[,socket=PATH][,base=DIR][,limit=N][,shared][,manners=NAME+..]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSpec {
    /// The host's name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Its availability zone.
    pub zone: String,
    /// The driver's socket; `hosts/NAME/ebs.sock` in the state folder unless given.
    pub socket: Option<PathBuf>,
    /// The folder below which volumes are mounted (`BASE/volumes/VOLUME`); `hosts/NAME` unless given.
    pub base: Option<PathBuf>,
    /// How many volumes can be attached at once; 28, as on a Nitro instance, unless given.
    pub limit: Option<usize>,
    /// Whether the folder of the mounts becomes a shared mount of its own, so that an unmount reaches the copies that
    /// mount namespaces (containers) made meanwhile have of it. Drivers do not do that by themselves.
    pub shared: bool,
    /// How its driver behaves where drivers differ.
    pub manners: Manners,
}

impl HostSpec {
    /// A host with the default places and limit.
    pub fn new(name: impl Into<String>, zone: impl Into<String>) -> HostSpec {
        HostSpec {
            name: name.into(),
            zone: zone.into(),
            socket: None,
            base: None,
            limit: None,
            shared: false,
            manners: Manners::default(),
        }
    }

    /// The same with a driver that has these manners.
    pub fn manners(mut self, manners: Manners) -> HostSpec {
        self.manners = manners;
        self
    }

    /// The same with the driver's socket at `path`.
    pub fn socket(mut self, path: impl Into<PathBuf>) -> HostSpec {
        self.socket = Some(path.into());
        self
    }

    /// The same with the folder of its mounts shared.
    pub fn shared(mut self) -> HostSpec {
        self.shared = true;
        self
    }

    /// The same with its mounts below `folder`.
    pub fn base(mut self, folder: impl Into<PathBuf>) -> HostSpec {
        self.base = Some(folder.into());
        self
    }
}

impl fmt::Display for HostSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.zone)?;
        if let Some(socket) = &self.socket {
            write!(f, ",socket={}", socket.display())?;
        }
        if let Some(base) = &self.base {
            write!(f, ",base={}", base.display())?;
        }
        if let Some(limit) = self.limit {
            write!(f, ",limit={limit}")?;
        }
        if self.shared {
            f.write_str(",shared")?;
        }
        if !self.manners.is_empty() {
            write!(f, ",manners={}", self.manners)?;
        }
        Ok(())
    }
}

impl FromStr for HostSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<HostSpec, String> {
        let expected = "expected NAME=ZONE[,socket=PATH][,base=DIR][,limit=N][,shared][,manners=NAME+..]";
        let mut parts = text.split(',');
        let head = parts.next().unwrap_or_default();
        let (name, zone) = head
            .split_once('=')
            .ok_or_else(|| format!("host '{text}': {expected}"))?;
        let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(word) {
            return Err(format!(
                "host '{text}': a name is made of letters, digits, '-', '_' and '.'"
            ));
        }
        if zone.is_empty() || !zone.chars().all(word) {
            return Err(format!(
                "host '{text}': a zone is made of letters, digits, '-', '_' and '.'"
            ));
        }
        let mut host = HostSpec::new(name, zone);
        for part in parts {
            match part.split_once('=') {
                Some(("socket", path)) if path.starts_with('/') => host.socket = Some(path.into()),
                Some(("base", path)) if path.starts_with('/') => host.base = Some(path.into()),
                Some(("socket" | "base", path)) => {
                    return Err(format!("host '{text}': '{path}' is not an absolute path"));
                }
                Some(("limit", n)) => {
                    let limit = n
                        .parse()
                        .map_err(|_| format!("host '{text}': limit '{n}' is not a number"))?;
                    host.limit = Some(limit);
                }
                Some(("manners", manners)) => {
                    host.manners = manners.parse().map_err(|problem| format!("host '{text}': {problem}"))?;
                }
                None if part == "shared" => host.shared = true,
                _ => return Err(format!("host '{text}': '{part}' is unknown; {expected}")),
            }
        }
        Ok(host)
    }
}

/// A host with every default filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its EC2 instance id, made of its name: the same in every run.
    pub instance: String,
    /// Its availability zone.
    pub zone: String,
    /// The driver's socket.
    pub socket: PathBuf,
    /// The folder whose `volumes/` holds the mounts.
    pub base: PathBuf,
    /// How many volumes can be attached at once.
    pub limit: usize,
    /// Whether the folder of the mounts is a shared mount.
    pub shared: bool,
    /// How its driver behaves where drivers differ.
    #[serde(default)]
    pub manners: Manners,
}

impl Host {
    /// Fills in the defaults; `state` is the emulator's state folder.
    pub fn new(spec: &HostSpec, state: &Path) -> Host {
        let own = state.join("hosts").join(&spec.name);
        let digest = Sha256::digest(spec.name.as_bytes());
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Host {
            name: spec.name.clone(),
            instance: format!("i-{}", &digits[..17]),
            zone: spec.zone.clone(),
            socket: spec.socket.clone().unwrap_or_else(|| own.join("ebs.sock")),
            base: spec.base.clone().unwrap_or(own),
            limit: spec.limit.unwrap_or(DEFAULT_ATTACH_LIMIT).min(device_names().count()),
            shared: spec.shared,
            manners: spec.manners.clone(),
        }
    }

    /// The folder that holds the mounts of this host.
    pub fn volumes_dir(&self) -> PathBuf {
        self.base.join("volumes")
    }
}

/// All device names, in the order they are given out.
pub(crate) fn device_names() -> impl Iterator<Item = String> {
    DEVICE_LETTERS
        .into_iter()
        .flat_map(|first| ('a'..='z').map(move |second| format!("/dev/xvd{first}{second}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_as_it_is_written() {
        for text in [
            "a=us-east-1a",
            "node-1=z,socket=/run/x.sock,base=/srv/m,limit=3,shared",
            "b=z,manners=ignores-case+time-limit:5",
        ] {
            assert_eq!(text.parse::<HostSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_bad_host_is_refused_with_the_form() {
        for text in [
            "a",
            "=z",
            "a=",
            "../a=z",
            "a=z,socket=x.sock",
            "a=z,limit=many",
            "a=z,colour=red",
        ] {
            assert!(text.parse::<HostSpec>().unwrap_err().contains(text), "{text}");
        }
    }

    #[test]
    fn the_instance_id_depends_on_the_name_alone() {
        let one = Host::new(&HostSpec::new("a", "z1"), Path::new("/s"));
        let two = Host::new(&HostSpec::new("a", "z2"), Path::new("/t"));
        assert_eq!(one.instance, two.instance);
        assert_eq!(one.instance.len(), "i-".len() + 17);
    }
}
