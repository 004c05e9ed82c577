//! How a host's driver behaves where drivers differ: what REX-Ray with EBS and other drivers were seen to do, each trait
//! selectable by itself.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// One trait of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Manner {
    /// Names are compared without letter case, and the first volume wins; a Create compares the exact name.
    IgnoresCase,
    /// Volumes are found by name only, never by id.
    NamesOnly,
    /// A volume in another zone is "resource not found", like one that does not exist. A Create looks at the own zone only.
    OtherZonesUnknown,
    /// A Mount of a volume that another host has attached is "resource not found", although Get finds the volume.
    ForeignUnknown,
    /// A Mount that is refused after the attach leaves the volume attached.
    RefusedMountStays,
    /// Attaches choose their device name without looking at those under way on the host. Two at once that
    /// choose the same one collide, and the second fails: always, unless `device-names:N` gives a choice.
    DevicesCollide,
    /// A name with a space or a backslash mounts and never unmounts; one with `/`, `%`, `?` or `#` is created and never found.
    BreaksOnNames,
    /// The ids of mounts are ignored and calls are counted: a second Mount under the same id is a second use, and an Unmount
    /// for an id that never mounted the volume ends one.
    IgnoresIds,
    /// A Remove of a volume that is mounted succeeds: the driver forgets the volume, its mount stays, and no call finds
    /// the volume any more. REX-Ray refuses such a Remove; docker-volume-easyfuse 0.2.1 carries it out.
    RemovesMounted,
}

/// REX-Ray's own limit for an attach (`libstorage.server.tasks.exeTimeout`).
const REXRAY_LIMIT: Duration = Duration::from_secs(60);

/// How many device names REX-Ray chooses from at random: `/dev/xvdba` to `/dev/xvdcz`.
const REXRAY_DEVICE_NAMES: u32 = 52;

/// The traits of one host's driver: `rexray`, or traits, `time-limit:MS` and `device-names:N`, separated by
/// `+`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manners {
    traits: BTreeSet<Manner>,
    /// How long a Mount waits for its attach. Then it is refused with an error that names no cause, and the attach goes on.
    time_limit_ms: Option<u64>,
    /// From how many device names an attach chooses at random where devices collide.
    #[serde(default)]
    device_names: Option<u32>,
}

impl Manners {
    /// Everything that REX-Ray 0.11.4 with EBS was seen to do.
    pub fn rexray() -> Manners {
        Manners {
            traits: Manner::value_variants()
                .iter()
                .copied()
                .filter(|manner| *manner != Manner::RemovesMounted)
                .collect(),
            time_limit_ms: None,
            device_names: Some(REXRAY_DEVICE_NAMES),
        }
        .time_limit(REXRAY_LIMIT)
    }

    /// One more trait.
    pub fn with(mut self, manner: Manner) -> Manners {
        self.traits.insert(manner);
        self
    }

    /// The same with another time limit of a Mount.
    pub fn time_limit(mut self, limit: Duration) -> Manners {
        self.time_limit_ms = Some(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        self
    }

    pub(crate) fn has(&self, manner: Manner) -> bool {
        self.traits.contains(&manner)
    }

    pub(crate) fn limit(&self) -> Option<Duration> {
        self.time_limit_ms.map(Duration::from_millis)
    }

    /// The device name that an attach chooses, as a number: at random, and always the same one when there
    /// is no choice.
    pub(crate) fn device(&self) -> u32 {
        fastrand::u32(..self.device_names.unwrap_or(1).max(1))
    }

    /// Whether the driver behaves as the emulator does by itself.
    pub fn is_empty(&self) -> bool {
        *self == Manners::default()
    }
}

impl fmt::Display for Manners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let traits = self.traits.iter().filter_map(|manner| {
            let value = manner.to_possible_value()?;
            Some(value.get_name().to_owned())
        });
        let limit = self.time_limit_ms.map(|ms| format!("time-limit:{ms}"));
        let names = self.device_names.map(|names| format!("device-names:{names}"));
        f.write_str(&traits.chain(limit).chain(names).collect::<Vec<_>>().join("+"))
    }
}

impl FromStr for Manners {
    type Err = String;

    fn from_str(text: &str) -> Result<Manners, String> {
        let mut manners = Manners::default();
        for part in text.split('+') {
            if part == "rexray" {
                let (limit, names) = (manners.time_limit_ms, manners.device_names);
                manners = Manners::rexray();
                manners.time_limit_ms = limit.or(manners.time_limit_ms);
                manners.device_names = names.or(manners.device_names);
            } else if let Some(ms) = part.strip_prefix("time-limit:") {
                let ms = ms.parse();
                manners.time_limit_ms = Some(ms.map_err(|_| format!("manners '{part}': write milliseconds"))?);
            } else if let Some(names) = part.strip_prefix("device-names:") {
                let names = names.parse();
                manners.device_names = Some(names.map_err(|_| format!("manners '{part}': write a number of names"))?);
            } else {
                let manner = Manner::from_str(part, false).map_err(|_| {
                    let known = Manner::value_variants().iter().filter_map(ValueEnum::to_possible_value);
                    let known: Vec<String> = known.map(|value| value.get_name().to_owned()).collect();
                    format!(
                        "manners '{part}' are unknown: write rexray, time-limit:MS, device-names:N, {}, or several separated by '+'",
                        known.join(", ")
                    )
                })?;
                manners.traits.insert(manner);
            }
        }
        Ok(manners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manners_are_read_as_they_are_written() {
        for text in [
            "ignores-case",
            "ignores-case+devices-collide+time-limit:500",
            "devices-collide+device-names:20",
        ] {
            assert_eq!(text.parse::<Manners>().unwrap().to_string(), text);
        }
        let rexray: Manners = "rexray".parse().unwrap();
        assert_eq!(rexray, Manners::rexray());
        assert_eq!(rexray.to_string().parse::<Manners>().unwrap(), rexray);
        let quick: Manners = "rexray+time-limit:50".parse().unwrap();
        assert_eq!(quick, Manners::rexray().time_limit(Duration::from_millis(50)));
    }

    #[test]
    fn unknown_manners_are_refused_with_those_that_there_are() {
        let problem = "polite".parse::<Manners>().unwrap_err();
        assert!(
            problem.contains("'polite'") && problem.contains("ignores-case"),
            "{problem}"
        );
        assert!("time-limit:soon".parse::<Manners>().is_err());
    }
}
