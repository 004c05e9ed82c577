//! Which volumes `ls` shows: `--driver`, `--state` and `--filter`.

use std::str::FromStr;

use clap::Args;
use clap::builder::PossibleValuesParser;
use isolator::ledger::VolumeState;
use volume_labels::nearest;

use super::picture::Volume;

/// The keys of `--filter`. `user` is another name of `container`.
const KEYS: [&str; 5] = ["state", "driver", "volume", "container", "user"];

/// Which volumes.
#[derive(Args)]
pub(super) struct Selection {
    /// Only volumes of this driver
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// Only volumes in this state
    #[arg(long, value_parser = PossibleValuesParser::new(states()))]
    state: Option<String>,
    /// Only volumes for which this holds: state=STATE, driver=NAME, volume=NAME, or container=ID
    /// (also user=ID; the beginning of the id is enough). May be repeated: values of one key are
    /// alternatives, and different keys must all hold
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    conditions: Vec<Condition>,
}

/// One `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    key: &'static str,
    value: String,
}

/// A value of `--filter` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConditionError {
    #[error("'{0}' has no '='; write KEY=VALUE, with one of these keys: {keys}", keys = KEYS.join(", "))]
    Form(String),
    #[error("unknown key '{key}'{}; the keys are: {}", did_you_mean(key, &KEYS), KEYS.join(", "))]
    Key { key: String },
    #[error("unknown state '{state}'{}; the states are: {}", did_you_mean(state, &states()), states().join(", "))]
    State { state: String },
}

/// `, did you mean '..'?` without the question mark when a word is near, and nothing otherwise.
pub(super) fn did_you_mean(word: &str, candidates: &[&str]) -> String {
    let near = nearest(word, candidates.iter().copied());
    near.map(|near| format!(", did you mean '{near}'?")).unwrap_or_default()
}

/// The states that a volume can have.
fn states() -> Vec<&'static str> {
    VolumeState::ALL.map(VolumeState::word).to_vec()
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| ConditionError::Form(text.to_owned()))?;
        let known = KEYS.into_iter().find(|known| *known == key);
        let key = known.ok_or_else(|| ConditionError::Key { key: key.to_owned() })?;
        if key == "state" && !states().contains(&value) {
            return Err(ConditionError::State {
                state: value.to_owned(),
            });
        }
        Ok(Self {
            key: if key == "user" { "container" } else { key },
            value: value.to_owned(),
        })
    }
}

impl Condition {
    fn holds(&self, volume: &Volume) -> bool {
        match self.key {
            "state" => volume.state == self.value,
            "driver" => volume.key.driver == self.value,
            "volume" => volume.key.name == self.value,
            _ => {
                let mut users = volume.users.iter();
                users.any(|user| user.container.to_string().starts_with(&self.value))
            }
        }
    }
}

impl Selection {
    /// Whether the volume is to be shown.
    pub(super) fn has(&self, volume: &Volume) -> bool {
        let holds = |key: &str| {
            let mut of_key = self
                .conditions
                .iter()
                .filter(|condition| condition.key == key)
                .peekable();
            of_key.peek().is_none() || of_key.any(|condition| condition.holds(volume))
        };
        self.driver.as_ref().is_none_or(|driver| *driver == volume.key.driver)
            && self.state.as_ref().is_none_or(|state| *state == volume.state)
            && KEYS.into_iter().all(holds)
    }

    /// Whether a volume that is mounted and that no record names is to be shown. It has neither a
    /// state nor a container.
    pub(super) fn has_unrecorded(&self, driver: &str, name: &str) -> bool {
        let holds = |key: &str, value: &str| {
            let mut of_key = self
                .conditions
                .iter()
                .filter(|condition| condition.key == key)
                .peekable();
            of_key.peek().is_none() || of_key.any(|condition| condition.value == value)
        };
        let needs_record = |condition: &Condition| matches!(condition.key, "state" | "container");
        self.has_driver(driver) && holds("volume", name) && !self.conditions.iter().any(needs_record)
    }

    /// Whether volumes of the driver can be among those to be shown.
    pub(super) fn has_driver(&self, driver: &str) -> bool {
        let mut of_driver = self
            .conditions
            .iter()
            .filter(|condition| condition.key == "driver")
            .peekable();
        self.driver.as_ref().is_none_or(|wanted| wanted == driver)
            && (of_driver.peek().is_none() || of_driver.any(|condition| condition.value == driver))
    }
}
