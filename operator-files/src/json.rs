//! JSON without keys that are given twice: of two values for one key, a reader sees the one and a parser takes the other.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

/// A text that is not the JSON that was expected. The text is one line with the place of the fault.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Parses a text that is one JSON value, in which no object has a key twice.
///
/// # Errors
/// The text is not JSON, not of the type, or has a key twice; with line and column.
pub fn json<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    let mut parser = serde_json::Deserializer::from_str(text);
    NoRepeatedKeys.deserialize(&mut parser)?;
    parser.end()?;
    Ok(serde_json::from_str(text)?)
}

/// The first key that is given twice in one object, in one line with its place. The text may be several JSON values, one after
/// the other. Of a text that is not JSON nothing is said: its reader has better words for that.
pub fn repeated_key(text: &str) -> Option<String> {
    let mut parser = serde_json::Deserializer::from_str(text);
    loop {
        match NoRepeatedKeys.deserialize(&mut parser) {
            Ok(()) => {}
            Err(error) if error.is_data() => return Some(error.to_string()),
            Err(_) => return None,
        }
    }
}

/// Walks any value and keeps nothing of it.
struct NoRepeatedKeys;

impl<'de> DeserializeSeed<'de> for NoRepeatedKeys {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoRepeatedKeys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        while values.next_element_seed(NoRepeatedKeys)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if keys.contains(&key) {
                let shown: String = key.chars().take(80).flat_map(char::escape_debug).collect();
                return Err(A::Error::custom(format!(
                    "the key '{shown}' is given twice: keep one of the two"
                )));
            }
            keys.insert(key);
            entries.next_value_seed(NoRepeatedKeys)?;
        }
        Ok(())
    }
}
