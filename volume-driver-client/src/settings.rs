//! The operator's word on drivers, in one file.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::discovery::{Discovery, ExplicitDriver};
use crate::profile::{Override, Profiles};

/// What an operator says about drivers, as JSON:
///
/// ```json
/// {
///   "addresses": {
///     "rexray/ebs:latest": {
///       "address": "/run/docker/plugins/0123abcd/rexray.sock",
///       "rewrites": [{ "from": "/mnt", "to": "/var/lib/docker/plugins/0123abcd/propagated-mount" }]
///     }
///   },
///   "profiles": {
///     "ebs": { "max_in_flight": 8, "timeouts": { "mount": 600 } }
///   }
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriverSettings {
    /// Drivers at given addresses: [`Discovery::explicit`].
    pub addresses: BTreeMap<String, ExplicitDriver>,
    /// What differs from the built-in profiles: [`Profiles::with_overrides`].
    pub profiles: BTreeMap<String, Override>,
}

impl DriverSettings {
    /// Reads the JSON.
    ///
    /// # Errors
    /// What is wrong with it and where.
    pub fn from_json(text: &str) -> Result<DriverSettings, InvalidSettings> {
        let settings: DriverSettings =
            operator_files::json(text).map_err(|error| InvalidSettings(error.to_string()))?;
        Profiles::with_overrides(settings.profiles.clone()).map_err(|error| InvalidSettings(error.to_string()))?;
        Ok(settings)
    }

    /// Adds the addresses to a discovery, and makes the profiles.
    ///
    /// # Errors
    /// A profile that is not valid, which settings from [`DriverSettings::from_json`] have not.
    pub fn apply(self, discovery: &mut Discovery) -> Result<Profiles, InvalidSettings> {
        discovery.explicit.extend(self.addresses);
        Profiles::with_overrides(self.profiles).map_err(|error| InvalidSettings(error.to_string()))
    }
}

/// Settings that cannot be used; says where and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSettings(String);

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidSettings {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_profiles_are_read_from_one_file() {
        let text =
            r#"{"addresses": {"a/b:c": {"address": "/run/x.sock"}}, "profiles": {"a/b:c": {"max_in_flight": 7}}}"#;
        let mut discovery = Discovery::default();
        let profiles = DriverSettings::from_json(text).unwrap().apply(&mut discovery).unwrap();
        assert_eq!(discovery.explicit["a/b:c"].address, "/run/x.sock");
        assert_eq!(profiles.for_driver("a/b:c").max_in_flight, 7);
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, said) in [
            ("7", "invalid type"),
            (r#"{"adresses": {}}"#, "unknown field `adresses`"),
            (r#"{"addresses": {"a": {}}}"#, "missing field `address`"),
            (r#"{"profiles": {"a": {"max_in_flight": 0}}}"#, "'a': max_in_flight"),
        ] {
            let message = DriverSettings::from_json(text).unwrap_err().to_string();
            assert!(message.contains(said), "{text}: {message}");
        }
    }
}
