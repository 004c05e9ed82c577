//! What is known of each driver: data, not code, and the operator's word wins.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::operation::Operation;
use crate::phrases::Phrases;

/// The built-in table, the one place where knowledge about drivers is kept.
const KNOWN_DRIVERS: &str = include_str!("known_drivers.json");

/// Whose phrases are asked first: an operator's before those of the driver's built-in profile, those before the default's.
const KNOWN: u8 = 1;
const OPERATOR: u8 = 2;

/// How one driver wants to be treated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// How many calls at once the driver bears. At least 1. Kept by all [`crate::Driver`]s of one
    /// address, whatever their names, that come from the same [`crate::Drivers`], and by several
    /// processes that share a [`crate::Discovery::lock_dir`].
    pub max_in_flight: usize,
    /// How long after the end of a changing call the next one is held back. Kept like `max_in_flight`.
    #[serde(with = "seconds::or_none")]
    pub pause_after_change: Duration,
    /// Deadlines, one per operation.
    pub timeouts: Timeouts,
    /// Longest answer that is read, in bytes. Default 16 MiB: a List of 6,000 volumes takes about 1.5 MB.
    pub max_answer: usize,
    /// The mountpoint is a plain directory, not (below) a mount of its own: it cannot be found in the mount table.
    pub directory_backed: bool,
    /// What an Unmount does when the volume is not mounted.
    pub unmount_when_not_mounted: UnmountWhenNotMounted,
    /// Whether an Unmount may follow a Mount that the driver answered with an error.
    pub unmount_after_failed_mount_is_safe: bool,
    /// The driver takes names that differ in case for the same volume.
    pub names_ignore_case: bool,
    /// Characters of a volume's name that the driver cannot handle: [`Profile::check_name`] refuses them.
    pub unsupported_in_names: String,
    /// Options for Create that the operator sets. What a request says of the same key wins.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// What the driver's words mean.
    pub phrases: Phrases,
    /// The driver answers to Mount a folder of this name inside its mount, as REX-Ray does with `data`; absent when it answers
    /// the mountpoint itself. A volume that is mounted already is recognised by it.
    #[serde(default)]
    pub folder_in_mount: Option<String>,
    /// After how many seconds the driver itself gives up a call that it works on, whatever [`Profile::timeouts`] say; absent when
    /// it has no such limit, or none that is known.
    #[serde(default, with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub own_limit: Option<Duration>,
    /// The driver's setting of that limit, in words for its operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_limit_setting: Option<String>,
    /// What an operator should know, one sentence each.
    pub notes: Vec<String>,
}

/// What an Unmount does to a driver when the volume is not mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnmountWhenNotMounted {
    /// Nothing, with or without an error.
    Harmless,
    /// It breaks the driver's count: never send one that is not known to be needed.
    Poisons,
}

/// Deadlines of one driver, in JSON as seconds. A deadline covers the whole call, from connect to the last byte.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "one field per operation, named like it")]
pub struct Timeouts {
    /// Longest wait for a connection, TLS included, within the operation's own deadline.
    #[serde(with = "seconds")]
    pub connect: Duration,
    #[serde(with = "seconds")]
    pub activate: Duration,
    #[serde(with = "seconds")]
    pub capabilities: Duration,
    #[serde(with = "seconds")]
    pub get: Duration,
    #[serde(with = "seconds")]
    pub list: Duration,
    #[serde(with = "seconds")]
    pub path: Duration,
    #[serde(with = "seconds")]
    pub create: Duration,
    #[serde(with = "seconds")]
    pub remove: Duration,
    #[serde(with = "seconds")]
    pub mount: Duration,
    #[serde(with = "seconds")]
    pub unmount: Duration,
}

impl Timeouts {
    /// The deadline of one operation.
    pub fn of(&self, operation: Operation) -> Duration {
        match operation {
            Operation::Lookup => self.connect,
            Operation::Activate => self.activate,
            Operation::Capabilities => self.capabilities,
            Operation::Get => self.get,
            Operation::List => self.list,
            Operation::Path => self.path,
            Operation::Create => self.create,
            Operation::Remove => self.remove,
            Operation::Mount => self.mount,
            Operation::Unmount => self.unmount,
        }
    }

    /// The same deadline for every operation, connecting included.
    pub fn all(limit: Duration) -> Timeouts {
        Timeouts {
            connect: limit,
            activate: limit,
            capabilities: limit,
            get: limit,
            list: limit,
            path: limit,
            create: limit,
            remove: limit,
            mount: limit,
            unmount: limit,
        }
    }
}

/// The profiles of all drivers: the built-in table, and what the operator says instead.
///
/// Reads from JSON such as `{"ebs": {"max_in_flight": 8, "timeouts": {"mount": 600}}}`: per driver name, the fields that differ
/// from the built-in profile of that name.
#[derive(Debug, Clone)]
pub struct Profiles {
    table: Table,
    overrides: BTreeMap<String, Override>,
}

/// The fields of a profile that an operator sets; the others keep their built-in value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the fields of `Profile`, each optional")]
pub struct Override {
    pub max_in_flight: Option<usize>,
    pub pause_after_change: Option<f64>,
    pub timeouts: BTreeMap<String, f64>,
    pub max_answer: Option<usize>,
    pub directory_backed: Option<bool>,
    pub unmount_when_not_mounted: Option<UnmountWhenNotMounted>,
    pub unmount_after_failed_mount_is_safe: Option<bool>,
    /// Accepted from settings of earlier builds; no code ever read it.
    #[serde(skip_serializing)]
    pub addresses_by: Ignored,
    /// As `addresses_by`.
    #[serde(skip_serializing)]
    pub same_id_again: Ignored,
    /// As `addresses_by`.
    #[serde(skip_serializing)]
    pub create_again: Ignored,
    pub names_ignore_case: Option<bool>,
    pub unsupported_in_names: Option<String>,
    pub options: BTreeMap<String, String>,
    pub phrases: Phrases,
    pub folder_in_mount: Option<String>,
    pub own_limit: Option<f64>,
    pub own_limit_setting: Option<String>,
    pub notes: Option<Vec<String>>,
}

/// A field that is accepted and has no meaning any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Ignored, D::Error> {
        serde::de::IgnoredAny::deserialize(from).map(|_| Ignored)
    }
}

/// A volume's name that its driver cannot handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsupportedName {
    /// The first character of the name that the driver cannot handle.
    pub character: char,
}

impl std::fmt::Display for UnsupportedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = match self.character {
            ' ' => "a space".to_owned(),
            '\\' => "a backslash ('\\')".to_owned(),
            other => format!("'{}'", other.escape_debug()),
        };
        write!(
            f,
            "the name has {shown}, which this driver cannot handle: rename the volume (with EBS, change its Name tag), or \
             have the operator tie its id to a name without that character"
        )
    }
}

impl std::error::Error for UnsupportedName {}

impl Profile {
    /// Whether the driver can handle a volume of this name. Ask before anything is sent: such a name may be created and
    /// never found, or mounted and never unmounted.
    ///
    /// # Errors
    /// The first character that the driver cannot handle ([`Profile::unsupported_in_names`]).
    pub fn check_name(&self, name: &str) -> Result<(), UnsupportedName> {
        match name.chars().find(|c| self.unsupported_in_names.contains(*c)) {
            Some(character) => Err(UnsupportedName { character }),
            None => Ok(()),
        }
    }

    /// The calls for which the module would wait longer than the driver itself works on them, with how long it would.
    pub fn beyond_own_limit(&self) -> Vec<(&'static str, Duration)> {
        let timeouts = &self.timeouts;
        let waited = [
            ("create", timeouts.create),
            ("remove", timeouts.remove),
            ("mount", timeouts.mount),
            ("unmount", timeouts.unmount),
        ];
        let limit = self.own_limit.unwrap_or(Duration::MAX);
        waited.into_iter().filter(|(_, timeout)| *timeout > limit).collect()
    }

    /// Whether the driver takes two names for the same volume.
    pub fn is_same_name(&self, one: &str, other: &str) -> bool {
        one == other || self.names_ignore_case && one.to_lowercase() == other.to_lowercase()
    }
}

/// How many calls a driver bears at once, and how soon after one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Borne {
    pub(crate) max_in_flight: usize,
    pub(crate) pause_after_change: Duration,
}

impl Borne {
    fn and(self, other: Borne) -> Borne {
        Borne {
            max_in_flight: self.max_in_flight.min(other.max_in_flight),
            pause_after_change: self.pause_after_change.max(other.pause_after_change),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    default: Profile,
    drivers: Vec<Known>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    names: Vec<String>,
    profile: Override,
}

impl Default for Profiles {
    fn default() -> Profiles {
        Profiles {
            table: serde_json::from_str(KNOWN_DRIVERS).expect("the built-in table is valid: a unit test reads it"),
            overrides: BTreeMap::new(),
        }
    }
}

impl Profiles {
    /// The built-in table alone.
    pub fn builtin() -> Profiles {
        Profiles::default()
    }

    /// The built-in table with the operator's word on top, keyed by driver name.
    ///
    /// # Errors
    /// A driver's override that names an unknown timeout, or a number out of range; the message says which.
    pub fn with_overrides(overrides: BTreeMap<String, Override>) -> Result<Profiles, InvalidProfile> {
        let profiles = Profiles {
            overrides,
            ..Profiles::default()
        };
        for (driver, set) in &profiles.overrides {
            let mut probe = profiles.table.default.clone();
            set.apply(&mut probe, OPERATOR)
                .map_err(|what| InvalidProfile(format!("profile of driver '{driver}': {what}")))?;
        }
        Ok(profiles)
    }

    /// Reads overrides from JSON, as [`Profiles`] describes.
    ///
    /// # Errors
    /// Text that is not such JSON, with what is wrong and where.
    pub fn from_json(text: &str) -> Result<Profiles, InvalidProfile> {
        let overrides = serde_json::from_str(text).map_err(|e| InvalidProfile(format!("driver profiles: {e}")))?;
        Profiles::with_overrides(overrides)
    }

    /// The profile for a driver of that name. An unknown driver gets the cautious default.
    pub fn for_driver(&self, name: &str) -> Profile {
        let mut profile = self.table.default.clone();
        let known = self.table.drivers.iter().find(|known| known.is(name));
        let known = known.map(|known| (&known.profile, KNOWN));
        let overridden = self.overrides.get(name).map(|set| (set, OPERATOR));
        for (set, rank) in known.into_iter().chain(overridden) {
            set.apply(&mut profile, rank)
                .expect("overrides were checked when they were read");
        }
        profile
    }

    /// What a driver bears that is reached by all of these names: what the operator has set for one of them, and otherwise
    /// the most careful of their built-in profiles.
    pub(crate) fn borne_by<'a>(&self, names: impl Iterator<Item = &'a str>) -> Borne {
        let mut set = None;
        let mut built_in = None;
        for name in names {
            let profile = self.for_driver(name);
            let own = Borne {
                max_in_flight: profile.max_in_flight,
                pause_after_change: profile.pause_after_change,
            };
            let is_set = self
                .overrides
                .get(name)
                .is_some_and(|set| set.max_in_flight.is_some() || set.pause_after_change.is_some());
            let most_careful = if is_set { &mut set } else { &mut built_in };
            *most_careful = Some(most_careful.map_or(own, |known: Borne| known.and(own)));
        }
        set.or(built_in).unwrap_or(Borne {
            max_in_flight: self.table.default.max_in_flight,
            pause_after_change: self.table.default.pause_after_change,
        })
    }

    /// The built-in table: the names each entry goes for and the profile that results.
    pub fn known(&self) -> impl Iterator<Item = (&[String], Profile)> {
        self.table.drivers.iter().map(|known| {
            let mut profile = self.table.default.clone();
            known
                .profile
                .apply(&mut profile, KNOWN)
                .expect("the built-in table is valid: a unit test reads it");
            (known.names.as_slice(), profile)
        })
    }
}

impl Known {
    /// Compares without the tag: `rexray/ebs:latest` is `rexray/ebs`. A pattern may end in `*`.
    fn is(&self, name: &str) -> bool {
        let untagged = name.split(':').next().unwrap_or(name);
        self.names.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => untagged.starts_with(prefix),
            None => pattern == untagged,
        })
    }
}

impl Override {
    fn apply(&self, profile: &mut Profile, rank: u8) -> Result<(), String> {
        profile.phrases.add(&self.phrases, rank)?;
        profile.options.extend(self.options.clone());
        if let Some(max) = self.max_in_flight {
            if max == 0 {
                return Err("max_in_flight is 0: no call could ever be made; at least 1".to_owned());
            }
            profile.max_in_flight = max;
        }
        if let Some(pause) = self.pause_after_change {
            profile.pause_after_change =
                seconds::or_none::parse(pause).map_err(|e| format!("pause_after_change: {e}"))?;
        }
        for (operation, seconds) in &self.timeouts {
            let limit = seconds::parse(*seconds).map_err(|e| format!("timeouts.{operation}: {e}"))?;
            let timeouts = &mut profile.timeouts;
            *match operation.as_str() {
                "connect" => &mut timeouts.connect,
                "activate" => &mut timeouts.activate,
                "capabilities" => &mut timeouts.capabilities,
                "get" => &mut timeouts.get,
                "list" => &mut timeouts.list,
                "path" => &mut timeouts.path,
                "create" => &mut timeouts.create,
                "remove" => &mut timeouts.remove,
                "mount" => &mut timeouts.mount,
                "unmount" => &mut timeouts.unmount,
                _ => {
                    return Err(format!(
                        "unknown timeout '{operation}': it is connect, activate, capabilities, get, list, path, create, \
                         remove, mount or unmount"
                    ));
                }
            } = limit;
        }
        set(&mut profile.max_answer, &self.max_answer);
        set(&mut profile.directory_backed, &self.directory_backed);
        set(&mut profile.unmount_when_not_mounted, &self.unmount_when_not_mounted);
        set(
            &mut profile.unmount_after_failed_mount_is_safe,
            &self.unmount_after_failed_mount_is_safe,
        );
        set(&mut profile.names_ignore_case, &self.names_ignore_case);
        set(&mut profile.unsupported_in_names, &self.unsupported_in_names);
        if self.folder_in_mount.is_some() {
            profile.folder_in_mount.clone_from(&self.folder_in_mount);
        }
        if let Some(limit) = self.own_limit {
            profile.own_limit = Some(seconds::parse(limit).map_err(|e| format!("own_limit: {e}"))?);
        }
        if self.own_limit_setting.is_some() {
            profile.own_limit_setting.clone_from(&self.own_limit_setting);
        }
        set(&mut profile.notes, &self.notes);
        Ok(())
    }
}

fn set<T: Clone>(field: &mut T, value: &Option<T>) {
    if let Some(value) = value {
        *field = value.clone();
    }
}

/// A profile that cannot be used; says which driver and field, and what is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidProfile(String);

impl std::fmt::Display for InvalidProfile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidProfile {}

/// Durations as JSON numbers of seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// A day: longer is a mistake of units, and far from any overflow of a clock.
    const LONGEST: f64 = 86_400.0;

    pub(super) fn parse(seconds: f64) -> Result<Duration, String> {
        if seconds > 0.0 && seconds <= LONGEST {
            Ok(Duration::from_secs_f64(seconds))
        } else {
            Err(format!(
                "{seconds} is no deadline: seconds, more than 0 and at most {LONGEST}"
            ))
        }
    }

    /// The same, zero allowed.
    pub(super) mod or_none {
        use super::*;

        pub(in super::super) fn parse(seconds: f64) -> Result<Duration, String> {
            if seconds == 0.0 {
                Ok(Duration::ZERO)
            } else {
                super::parse(seconds)
            }
        }

        pub(in super::super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
            super::serialize(value, to)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
            parse(f64::deserialize(from)?).map_err(serde::de::Error::custom)
        }
    }

    /// The same, or absent.
    pub(super) mod optional {
        use super::*;

        pub(in super::super) fn serialize<S: Serializer>(value: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => super::serialize(value, to),
                None => to.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
            let seconds = Option::<f64>::deserialize(from)?;
            let parsed = seconds.map(|seconds| parse(seconds).map_err(serde::de::Error::custom));
            parsed.transpose()
        }
    }

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(value.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        parse(f64::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_is_valid_and_no_name_stands_twice() {
        let profiles = Profiles::builtin();
        let mut names = std::collections::BTreeSet::new();
        for (aliases, profile) in profiles.known() {
            assert!(profile.max_in_flight >= 1, "{aliases:?}");
            for name in aliases {
                assert!(names.insert(name.clone()), "{name} stands twice");
            }
        }
    }

    #[test]
    fn the_page_on_drivers_names_every_driver_of_the_table() {
        let page = include_str!("../docs/drivers.md").to_lowercase();
        let said = |name: &String| page.contains(&name.to_lowercase());
        for (aliases, _) in Profiles::builtin().known() {
            assert!(
                aliases.iter().any(said) || aliases == ["local"],
                "docs/drivers.md has none of {aliases:?}"
            );
        }
    }

    #[test]
    fn rclone_gets_one_call_at_a_time_and_an_unknown_driver_more() {
        let profiles = Profiles::builtin();
        assert_eq!(profiles.for_driver("rclone").max_in_flight, 1);
        assert!(profiles.for_driver("an-unknown-driver").max_in_flight > 1);
    }

    #[test]
    fn what_the_driver_gives_up_earlier_than_the_module_is_told_until_the_operator_says_otherwise() {
        let beyond = |settings: &str| {
            let profile = Profiles::from_json(settings).unwrap().for_driver("rexray");
            profile
                .beyond_own_limit()
                .into_iter()
                .map(|(call, _)| call)
                .collect::<Vec<_>>()
        };
        assert_eq!(beyond("{}"), ["create", "remove", "mount", "unmount"]);
        assert_eq!(beyond(r#"{"rexray": {"own_limit": 300}}"#), [""; 0]);
        assert_eq!(
            beyond(r#"{"rexray": {"timeouts": {"create": 60, "remove": 60, "mount": 61, "unmount": 60}}}"#),
            ["mount"]
        );
        assert!(Profiles::from_json(r#"{"rexray": {"own_limit": 0}}"#).is_err());
        assert_eq!(Profiles::builtin().for_driver("rclone").beyond_own_limit(), []);
    }

    #[test]
    fn several_names_of_one_driver_bear_what_the_most_careful_of_them_does_or_what_the_operator_says() {
        let profiles = Profiles::builtin();
        let borne = |profiles: &Profiles, names: &[&str]| profiles.borne_by(names.iter().copied()).max_in_flight;
        assert_eq!(borne(&profiles, &["fast", "rexray"]), 1);
        assert_eq!(borne(&profiles, &["fast"]), 4);
        let told = Profiles::from_json(r#"{"fast": {"max_in_flight": 8}}"#).unwrap();
        assert_eq!(borne(&told, &["fast", "rexray"]), 8);
    }

    #[test]
    fn a_managed_plugin_is_known_by_its_name_without_the_tag() {
        let profile = Profiles::builtin().for_driver("rexray/ebs:latest");
        assert_eq!(profile.timeouts.mount, Duration::from_secs(300));
    }

    #[test]
    fn the_operator_changes_single_fields_and_keeps_the_rest() {
        let profiles = Profiles::from_json(r#"{"rclone": {"timeouts": {"mount": 2.5}}}"#).unwrap();
        let profile = profiles.for_driver("rclone");
        assert_eq!(profile.timeouts.mount, Duration::from_millis(2500));
        assert_eq!(profile.max_in_flight, 1);
    }

    #[test]
    fn a_mistaken_override_is_refused_with_its_driver_and_field() {
        for (text, said) in [
            (r#"{"ebs": {"max_in_flight": 0}}"#, "'ebs': max_in_flight is 0"),
            (r#"{"ebs": {"timeouts": {"mont": 3}}}"#, "unknown timeout 'mont'"),
            (
                r#"{"ebs": {"timeouts": {"mount": 0}}}"#,
                "timeouts.mount: 0 is no deadline",
            ),
            (r#"{"ebs": {"timeouts": {"mount": 1e300}}}"#, "is no deadline"),
            (r#"{"ebs": {"max_inflight": 3}}"#, "unknown field `max_inflight`"),
        ] {
            let message = Profiles::from_json(text).unwrap_err().to_string();
            assert!(message.contains(said), "{text}: {message}");
        }
    }
}
