//! What the operator configures: module parameters, strictly read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesos_durations::DurationError;
use operator_files::{FileError, JsonError};
use serde::Deserialize;
use thiserror::Error;
use volume_driver_client::{Discovery, ExplicitDriver, InvalidProfile, Override, Profiles, WaitsFor};
use volume_labels::{cleaned, nearest};

use crate::request::DefaultOwner;

/// The module's configuration. Each field is the module parameter of the same name; see
/// [`PARAMETERS`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Where records stand.
    pub state_dir: PathBuf,
    /// The driver of a volume whose labels name none.
    pub default_driver: Option<String>,
    /// How long a container may wait for its volumes.
    pub prepare_timeout: Duration,
    /// How long a cleanup waits for the first unmount attempt.
    pub cleanup_wait: Duration,
    /// How often mounted volumes are probed; `None` means never.
    pub health_interval: Option<Duration>,
    /// Where drivers are found.
    pub discovery: Discovery,
    /// How they want to be treated.
    pub profiles: Profiles,
    /// Drivers whose mountpoints are plain directories, in addition to those that are known.
    pub directory_backed_drivers: BTreeSet<String>,
    /// Folders that drivers mount below, to be made shared mounts.
    pub mount_bases: Vec<PathBuf>,
    /// Host folders in which a container without an image may have an absolute path.
    pub allowed_host_paths: Vec<PathBuf>,
    /// The agent's flag of the same name.
    pub sandbox_directory: PathBuf,
    /// The SET resource whose items are the volumes that a member of a pod holds.
    pub claim_resource: String,
    /// The operator's file of which id is which driver's name.
    pub name_map: Option<PathBuf>,
    /// Whether a container must hold the id of each of its volumes in that resource.
    pub require_claim: bool,
    /// Whether a container's `ContainerInfo.volumes` with a Docker volume are a source of volumes.
    pub docker_volume_source: bool,
    /// Whether the variables `DVDI_VOLUME_*` are.
    pub dvdi_source: bool,
    /// Who owns a volume for which nothing names an owner.
    pub default_owner: DefaultOwner,
    /// The operator's file of which container may have which volume.
    pub policy: Option<PathBuf>,
    /// Reads the principal out of an agent's checkpoint of a framework
    /// (`Workload::framework_info`); `None` where there is none. Not a parameter: the crate that
    /// knows Mesos' wire format sets it.
    pub principal_of: fn(&Path) -> Result<Option<String>, PrincipalError>,
    /// The agent's own folders, which no driver may show to containers. Not a parameter: the
    /// isolator finds them when it starts.
    pub agents_folders: Vec<PathBuf>,
    /// Where the Docker daemon listens.
    pub docker_socket: PathBuf,
    /// For how long a Docker container may run after Mesos has given up on it; `None` for ever.
    pub docker_orphan_grace: Option<Duration>,
    /// Where metrics are written for a collector of files.
    pub metrics_file: Option<PathBuf>,
    /// The unix socket where they are served.
    pub metrics_socket: Option<PathBuf>,
    /// Where it is written who had which volume.
    pub audit_log: Option<PathBuf>,
}

/// Every module parameter with its meaning, for messages and for people.
pub const PARAMETERS: &[(&str, &str)] = &[
    (
        "state_dir",
        "an absolute folder of this agent's own that survives reboots (default /var/lib/mesos-external-volumes)",
    ),
    (
        "default_driver",
        "the name of a volume driver (default: none, each volume must name its own)",
    ),
    (
        "prepare_timeout",
        "a duration shorter than the agent's --executor_registration_timeout, as in '45secs' (the default)",
    ),
    ("cleanup_wait", "a duration, as in '5secs' (the default)"),
    (
        "health_interval",
        "a duration between two looks at mounted volumes, as in '10secs' (the default); '0secs' turns them off",
    ),
    (
        "driver_sockets",
        "absolute folders of driver sockets, separated by ':' (default /run/docker/plugins)",
    ),
    (
        "driver_specs",
        "absolute folders of .spec and .json files, separated by ':' (default /etc/docker/plugins:/usr/lib/docker/plugins)",
    ),
    (
        "driver_locks",
        "an absolute folder of lock files, by which this agent and mesos-volumes together keep to what a driver bears (default /run/mesos-volumes/calls)",
    ),
    (
        "driver_wait",
        "a duration to wait for a driver of any name that is not up; '0secs' fails tasks at once (default: '10secs', at most a quarter of prepare_timeout, for drivers that are known: default_driver, those in drivers, those with a socket or spec, those met since the agent's start)",
    ),
    (
        "drivers",
        "JSON, or file:// and an absolute path to JSON: {\"addresses\": {NAME: {..}}, \"profiles\": {NAME: {..}}}",
    ),
    (
        "directory_backed_drivers",
        "driver names, separated by ',', whose volumes are plain directories",
    ),
    (
        "mount_bases",
        "absolute folders, separated by ':', that drivers mount below; made shared mounts so that unmounting frees the device (default: none)",
    ),
    (
        "allowed_host_paths",
        "absolute folders, separated by ':', that containers without an image may mount at (default: none)",
    ),
    (
        "sandbox_directory",
        "the agent's --sandbox_directory (default /mnt/mesos/sandbox)",
    ),
    (
        "claim_resource",
        "the name of the agent's SET resource of volumes (default ebsvolumes)",
    ),
    (
        "name_map",
        "an absolute file of JSON, {\"ID\": \"driver's name\", ..}, as label-mapper writes it (default: every name is its own id)",
    ),
    (
        "require_claim",
        "the name of a SET resource in which a container must hold its volumes' ids; 'true' for the one of claim_resource, 'false' (the default) for no such demand",
    ),
    (
        "docker_volume_source",
        "'true' to mount ContainerInfo.volumes with a DOCKER_VOLUME, as docs/migrating-from-docker-volume.md describes; only where docker/volume is not in --isolation (default 'false')",
    ),
    (
        "dvdi_source",
        "'true' to mount what DVDI_VOLUME_* environment variables name, as docs/migrating-from-dvdi.md describes; only where mesos-module-dvdi is not loaded (default 'false')",
    ),
    ("default_owner", DefaultOwner::ACCEPTED),
    (
        "policy",
        "an absolute file of JSON, as docs/policy.md describes it: which containers may have which volumes (default: the built-in policy, which lets nothing be created)",
    ),
    (
        "docker_socket",
        "the absolute path of the Docker daemon's unix socket, as the agent's --docker_socket has it (default /var/run/docker.sock)",
    ),
    (
        "docker_orphan_grace",
        "a duration for which a Docker container with volumes may run without its executor before it is stopped, as in '30secs' (the default); 'keep' lets it run",
    ),
    (
        "metrics_file",
        "an absolute file for metrics, as node_exporter's textfile collector reads it: its name ends in .prom (default: none)",
    ),
    (
        "metrics_socket",
        "an absolute path for a unix socket that answers GET /metrics (default: none)",
    ),
    (
        "audit_log",
        "an absolute file that mounts and unmounts are appended to as lines of JSON (default: none)",
    ),
];

/// The one parameter that is not in [`PARAMETERS`]: `cxx-bridge` reads it before it calls this
/// crate.
const LOG_LEVEL: &str = "log_level";

/// A module parameter that cannot be used. The agent must not start with it.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// No parameter has this name.
    #[error("unknown module parameter '{key}'; {}", did_you_mean(key))]
    Unknown {
        /// The name as the operator wrote it.
        key: String,
    },
    /// The parameter is given twice, or its value has not the right form.
    #[error("module parameter '{key}' = '{value}': {problem}; accepted: {accepted}")]
    Value {
        /// The parameter.
        key: String,
        /// The value, cut after 200 characters.
        value: String,
        /// What is wrong with it.
        problem: Box<ParameterProblem>,
        /// The values that the parameter accepts.
        accepted: &'static str,
    },
}

/// Why the principal cannot be read out of a checkpoint. The message names the file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {cause}", .file.display())]
pub struct PrincipalError {
    /// The checkpoint.
    pub file: PathBuf,
    /// What is wrong with it.
    pub cause: String,
}

/// What is wrong with the value of a module parameter.
#[derive(Debug, Error)]
pub enum ParameterProblem {
    /// The parameter is there a second time.
    #[error("it is given twice")]
    GivenTwice,
    /// A name is empty or has control characters.
    #[error("it is empty or has control characters")]
    NoName,
    /// A switch has another value.
    #[error("it is neither 'true' nor 'false'")]
    NotTrueOrFalse,
    /// A path is relative or climbs.
    #[error("'{0}' is not an absolute path without '..'")]
    NotAbsolute(String),
    /// A time limit that must not be zero is zero.
    #[error("it must be longer than 0secs")]
    Zero,
    /// A time limit is no duration of Mesos.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// The textfile collector reads names that end in `.prom`.
    #[error("its name does not end in .prom, so that no collector would read it")]
    NotProm,
    /// The value is neither a word of the parameter nor an owner.
    #[error("it is no owner")]
    NoOwner,
    /// The file that the value names cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The text is not JSON, or has other fields.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A driver's profile is wrong.
    #[error(transparent)]
    Profile(#[from] InvalidProfile),
    /// The log has no level of this name.
    #[error("there is no such level")]
    NoLevel,
}

/// The parameter that was probably meant; when none is similar, the names of all.
fn did_you_mean(key: &str) -> String {
    let names = || PARAMETERS.iter().map(|(name, _)| *name).chain([LOG_LEVEL]);
    match nearest(key, names()) {
        Some(name) => format!("did you mean '{name}'?"),
        None => format!("accepted: {}", names().collect::<Vec<_>>().join(", ")),
    }
}

/// How long a driver that is known is waited for when the operator sets no `driver_wait`: long
/// enough for systemd to start one again.
const DRIVER_WAIT: Duration = Duration::from_secs(10);

/// A file of drivers that a person writes is smaller.
const MAX_DRIVERS_BYTES: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DriversFile {
    #[serde(default)]
    addresses: BTreeMap<String, ExplicitDriver>,
    #[serde(default)]
    profiles: BTreeMap<String, Override>,
}

impl Config {
    /// Whether volumes of this driver are plain folders, which no mount table shows.
    pub fn is_directory_backed(&self, driver: &str) -> bool {
        self.directory_backed_drivers.contains(driver) || self.profiles.for_driver(driver).directory_backed
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/mesos-external-volumes".into(),
            default_driver: None,
            prepare_timeout: Duration::from_secs(45),
            cleanup_wait: Duration::from_secs(5),
            health_interval: Some(Duration::from_secs(10)),
            discovery: Discovery {
                lock_dir: Some("/run/mesos-volumes/calls".into()),
                ..Discovery::default()
            },
            profiles: Profiles::builtin(),
            directory_backed_drivers: BTreeSet::new(),
            mount_bases: Vec::new(),
            allowed_host_paths: Vec::new(),
            sandbox_directory: "/mnt/mesos/sandbox".into(),
            claim_resource: "ebsvolumes".into(),
            name_map: None,
            require_claim: false,
            docker_volume_source: false,
            dvdi_source: false,
            default_owner: DefaultOwner::Unchanged,
            policy: None,
            principal_of: |_| Ok(None),
            agents_folders: Vec::new(),
            docker_socket: "/var/run/docker.sock".into(),
            docker_orphan_grace: Some(Duration::from_secs(30)),
            metrics_file: None,
            metrics_socket: None,
            audit_log: None,
        }
    }
}

impl Config {
    /// From module parameters.
    ///
    /// # Errors
    /// On the first parameter that is unknown, given twice, or not of its form.
    pub fn from_parameters(parameters: &[(String, String)]) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut seen = BTreeSet::new();
        for (key, value) in parameters {
            let Some((_, accepted)) = PARAMETERS.iter().find(|(name, _)| name == key) else {
                return Err(ConfigError::Unknown { key: cleaned(key) });
            };
            let result = if seen.insert(key) {
                config.set(key, value)
            } else {
                Err(ParameterProblem::GivenTwice)
            };
            result.map_err(|problem| ConfigError::Value {
                key: key.clone(),
                value: value.chars().take(200).collect(),
                problem: Box::new(problem),
                accepted,
            })?;
        }
        if !seen.iter().any(|key| *key == "driver_wait") {
            config.wait_for_known_drivers();
        }
        Ok(config)
    }

    /// A driver that is being restarted fails no task: a call waits for it, and leaves time for the
    /// calls that follow.
    fn wait_for_known_drivers(&mut self) {
        self.discovery.wait = DRIVER_WAIT.min(self.prepare_timeout / 4);
        self.discovery.waits_for = WaitsFor::Known(self.default_driver.iter().cloned().collect());
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ParameterProblem> {
        match key {
            "state_dir" => self.state_dir = absolute(value)?,
            "default_driver" => self.default_driver = Some(word(value)?),
            "prepare_timeout" => self.prepare_timeout = positive(value)?,
            "cleanup_wait" => self.cleanup_wait = duration(value)?,
            "health_interval" => {
                let interval = duration(value)?;
                self.health_interval = (!interval.is_zero()).then_some(interval);
            }
            "driver_sockets" => self.discovery.socket_dirs = folders(value)?,
            "driver_specs" => self.discovery.spec_dirs = folders(value)?,
            "driver_locks" => self.discovery.lock_dir = Some(absolute(value)?),
            "driver_wait" => {
                self.discovery.wait = duration(value)?;
                self.discovery.waits_for = WaitsFor::Every;
            }
            "drivers" => self.set_drivers(value)?,
            "directory_backed_drivers" => {
                self.directory_backed_drivers = value.split(',').map(word).collect::<Result<_, _>>()?;
            }
            "mount_bases" => self.mount_bases = folders(value)?,
            "allowed_host_paths" => self.allowed_host_paths = folders(value)?,
            "sandbox_directory" => self.sandbox_directory = absolute(value)?,
            "claim_resource" => self.claim_resource = word(value)?,
            "name_map" => self.name_map = Some(absolute(value)?),
            "require_claim" => match value {
                "true" | "false" => self.require_claim = value == "true",
                resource => {
                    self.claim_resource = word(resource)?;
                    self.require_claim = true;
                }
            },
            "metrics_file" => {
                let path = absolute(value)?;
                if path.extension().is_none_or(|extension| extension != "prom") {
                    return Err(ParameterProblem::NotProm);
                }
                self.metrics_file = Some(path);
            }
            "docker_socket" => self.docker_socket = absolute(value)?,
            "docker_orphan_grace" => {
                self.docker_orphan_grace = if value == "keep" { None } else { Some(duration(value)?) };
            }
            "metrics_socket" => self.metrics_socket = Some(absolute(value)?),
            "audit_log" => self.audit_log = Some(absolute(value)?),
            "docker_volume_source" => self.docker_volume_source = switch(value)?,
            "dvdi_source" => self.dvdi_source = switch(value)?,
            "default_owner" => self.default_owner = DefaultOwner::parse(value).ok_or(ParameterProblem::NoOwner)?,
            "policy" => self.policy = Some(absolute(value)?),
            _ => unreachable!("PARAMETERS has no parameter '{key}'"),
        }
        Ok(())
    }

    fn set_drivers(&mut self, value: &str) -> Result<(), ParameterProblem> {
        let text = match value.strip_prefix("file://") {
            Some(path) => operator_files::read(&absolute(path)?, MAX_DRIVERS_BYTES)?,
            None => value.to_owned(),
        };
        let file: DriversFile = operator_files::json(&text)?;
        self.discovery.explicit = file.addresses;
        self.profiles = Profiles::with_overrides(file.profiles)?;
        Ok(())
    }
}

fn word(value: &str) -> Result<String, ParameterProblem> {
    let value = value.trim();
    if value.is_empty() || value.chars().any(char::is_control) {
        return Err(ParameterProblem::NoName);
    }
    Ok(value.to_owned())
}

fn switch(value: &str) -> Result<bool, ParameterProblem> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ParameterProblem::NotTrueOrFalse),
    }
}

fn absolute(value: &str) -> Result<PathBuf, ParameterProblem> {
    let path = Path::new(value);
    let climbs = path.components().any(|part| part == std::path::Component::ParentDir);
    if !path.is_absolute() || climbs {
        return Err(ParameterProblem::NotAbsolute(value.to_owned()));
    }
    Ok(path.components().collect())
}

fn folders(value: &str) -> Result<Vec<PathBuf>, ParameterProblem> {
    value.split(':').map(absolute).collect()
}

fn positive(value: &str) -> Result<Duration, ParameterProblem> {
    let duration = duration(value)?;
    if duration.is_zero() {
        Err(ParameterProblem::Zero)
    } else {
        Ok(duration)
    }
}

fn duration(value: &str) -> Result<Duration, ParameterProblem> {
    Ok(mesos_durations::parse(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<Config, ConfigError> {
        Config::from_parameters(&[(key.into(), value.into())])
    }

    #[test]
    fn durations_are_written_as_the_agents_own_flags() {
        for (text, milliseconds) in [
            ("50secs", 50_000),
            ("2mins", 120_000),
            ("1.5secs", 1_500),
            ("250ms", 250),
            ("1hrs", 3_600_000),
        ] {
            assert_eq!(
                parse("prepare_timeout", text).unwrap().prepare_timeout,
                Duration::from_millis(milliseconds)
            );
        }
        for text in ["", "50", "secs", "-1secs", "1.2.3secs", "0secs", "9e99hrs"] {
            assert!(parse("prepare_timeout", text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_error_names_the_key_the_value_and_the_accepted_form() {
        let message = parse("prepare_timeout", "soon").unwrap_err().to_string();
        assert!(
            message.contains("'prepare_timeout' = 'soon'") && message.contains("'45secs'"),
            "{message}"
        );
    }

    #[test]
    fn an_unknown_parameter_is_answered_with_the_one_that_was_meant() {
        let message = |key: &str| parse(key, "x").unwrap_err().to_string();
        for (written, meant) in [
            ("default_drver", "default_driver"),
            ("State_dir", "state_dir"),
            ("log_levle", "log_level"),
        ] {
            let expected = format!("unknown module parameter '{written}'; did you mean '{meant}'?");
            assert_eq!(message(written), expected);
        }
        let nothing_near = message("colour");
        assert!(
            nothing_near.starts_with("unknown module parameter 'colour'; accepted: state_dir, ")
                && nothing_near.ends_with(", log_level"),
            "{nothing_near}"
        );
    }

    #[test]
    fn known_drivers_are_waited_for_unless_the_operator_says_how_long() {
        let wait = |parameters: &[(&str, &str)]| {
            let parameters: Vec<_> = parameters
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            let discovery = Config::from_parameters(&parameters).unwrap().discovery;
            (discovery.wait, discovery.waits_for)
        };
        let known = |names: &[&str]| WaitsFor::Known(names.iter().map(|name| (*name).to_owned()).collect());
        let seconds = Duration::from_secs;
        assert_eq!(wait(&[]), (seconds(10), known(&[])));
        assert_eq!(wait(&[("default_driver", "ebs")]), (seconds(10), known(&["ebs"])));
        assert_eq!(wait(&[("prepare_timeout", "20secs")]), (seconds(5), known(&[])));
        assert_eq!(wait(&[("driver_wait", "0secs")]), (seconds(0), WaitsFor::Every));
        assert_eq!(wait(&[("driver_wait", "3secs")]), (seconds(3), WaitsFor::Every));
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        let twice = [
            ("default_driver".into(), "a".into()),
            ("default_driver".into(), "b".into()),
        ];
        assert!(
            Config::from_parameters(&twice)
                .unwrap_err()
                .to_string()
                .contains("given twice")
        );
    }

    #[test]
    fn a_required_claim_names_its_resource_or_takes_the_usual_one() {
        let strict = parse("require_claim", "volumes").unwrap();
        assert!(strict.require_claim && strict.claim_resource == "volumes");
        let strict = parse("require_claim", "true").unwrap();
        assert!(strict.require_claim && strict.claim_resource == "ebsvolumes");
        assert!(!parse("require_claim", "false").unwrap().require_claim);
        assert!(parse("require_claim", " ").is_err());
    }

    #[test]
    fn other_sources_than_labels_are_off_unless_turned_on() {
        let usual = Config::default();
        assert!(!usual.docker_volume_source && !usual.dvdi_source);
        assert!(parse("docker_volume_source", "true").unwrap().docker_volume_source);
        assert!(parse("dvdi_source", "true").unwrap().dvdi_source);
        for value in ["false", "yes", "", "TRUE"] {
            let off = parse("dvdi_source", value).map(|config| config.dvdi_source);
            assert_eq!(off.ok(), (value == "false").then_some(false), "{value}");
        }
    }

    #[test]
    fn every_parameter_has_its_row_for_operators() {
        let page = include_str!("../../docs/parameters.md");
        for (parameter, _) in PARAMETERS {
            assert!(page.contains(&format!("\n| `{parameter}` | ")), "{parameter}");
        }
    }

    #[test]
    fn relative_and_climbing_folders_are_refused() {
        for value in ["var", "/var/../etc", "/a:b"] {
            assert!(parse("allowed_host_paths", value).is_err(), "{value}");
        }
        assert_eq!(parse("driver_sockets", "/a:/b").unwrap().discovery.socket_dirs.len(), 2);
    }
}
