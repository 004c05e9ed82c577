//! Forms that many messages share: open enumerations, bytes, times.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares an enumeration whose values are names on the wire. A name it does not know is kept
/// in `Other`, and written back unchanged.
macro_rules! open_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $wire:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A value this crate does not know, as it was spelled.
            Other(String),
        }

        impl $name {
            /// The name on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $wire,)+
                    $name::Other(name) => name,
                }
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                match name {
                    $($wire => $name::$variant,)+
                    other => $name::Other(other.to_string()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Ok($name::from(name.as_ref()))
            }
        }
    };
}
pub(crate) use open_enum;

/// Bytes; base64 in JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(&text).map(Bytes).map_err(serde::de::Error::custom)
    }
}

/// A length of time; whole nanoseconds on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DurationInfo {
    /// Nanoseconds; Mesos allows negative values.
    pub nanoseconds: i64,
}

impl DurationInfo {
    /// As a [`Duration`]; a negative length counts as none.
    pub fn to_duration(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanoseconds).unwrap_or(0))
    }
}

impl From<Duration> for DurationInfo {
    /// Lengths beyond 292 years become 292 years.
    fn from(duration: Duration) -> Self {
        DurationInfo {
            nanoseconds: i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX),
        }
    }
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeInfo {
    /// Nanoseconds since the Unix epoch.
    pub nanoseconds: i64,
}

/// `skip_serializing_if` for flags whose absence means false.
pub(crate) fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TaskState;

    #[test]
    fn an_unknown_name_survives_the_round_trip() {
        let states: Vec<TaskState> = serde_json::from_str(r#"["TASK_LOST","TASK_NEW"]"#).unwrap();
        assert_eq!(states, [TaskState::Lost, TaskState::Other("TASK_NEW".into())]);
        assert_eq!(serde_json::to_string(&states).unwrap(), r#"["TASK_LOST","TASK_NEW"]"#);
    }

    #[test]
    fn bytes_are_padded_base64() {
        let bytes: Bytes = serde_json::from_str("\"/w==\"").unwrap();
        assert_eq!(bytes, Bytes(vec![255]));
        assert_eq!(serde_json::to_string(&bytes).unwrap(), "\"/w==\"");
    }
}
