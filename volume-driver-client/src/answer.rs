//! Reading answers: strict about what decides, loose about everything else.

use std::path::PathBuf;

use serde_json::{Map, Value};

/// A volume as its driver describes it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Volume {
    /// The name, in the driver's spelling; the asked one where the driver names none.
    pub name: String,
    /// Where it is mounted, or would be: many drivers give a path for volumes that are not mounted, and some give none for
    /// mounted ones. Only the mount table tells.
    pub mountpoint: Option<PathBuf>,
    /// Free text: drivers send every form of date, and none.
    pub created_at: Option<String>,
    /// Whatever the driver adds. `Null` when it adds nothing.
    pub status: Value,
}

/// Where a driver's volumes can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// On this host only. Also what a driver that does not say is taken for, as Docker does.
    Local,
    /// On every host that runs the driver.
    Global,
}

/// The object of an answer with status 200. An empty body is an empty object: servers that answer "nothing" do so.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(other) => Err(format!("a JSON object was expected, not {}", type_of(&other))),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

/// The driver's `Err`, when it says anything. `null`, `""` and `false` say nothing.
pub(crate) fn err_of(map: &Map<String, Value>) -> Option<String> {
    match field(map, "Err")? {
        Value::Null | Value::Bool(false) => None,
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A field by name; as Go's decoder does, another case will do when the exact one is missing.
pub(crate) fn field<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| {
        map.iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

/// A text field; missing, null and other types are no text.
pub(crate) fn text<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    field(map, name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// One volume. `asked` names it where the driver does not.
pub(crate) fn volume(value: &Value, asked: &str) -> Result<Volume, String> {
    let Value::Object(map) = value else {
        return Err(format!("a volume should be a JSON object, not {}", type_of(value)));
    };
    Ok(Volume {
        name: text(map, "Name").unwrap_or(asked).to_owned(),
        mountpoint: text(map, "Mountpoint").map(PathBuf::from),
        created_at: text(map, "CreatedAt").map(str::to_owned),
        status: field(map, "Status").cloned().unwrap_or(Value::Null),
    })
}

/// The volumes of a List; a missing or null list is an empty one.
pub(crate) fn volumes(map: &Map<String, Value>) -> Result<Vec<Volume>, String> {
    match field(map, "Volumes") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| volume(item, "")).collect(),
        Some(other) => Err(format!("Volumes should be a list, not {}", type_of(other))),
    }
}

/// The scope of a Capabilities answer; anything but `global` is local, as Docker takes it.
pub(crate) fn scope(map: &Map<String, Value>) -> Scope {
    let scope = field(map, "Capabilities")
        .and_then(Value::as_object)
        .and_then(|it| text(it, "Scope"));
    match scope {
        Some(scope) if scope.eq_ignore_ascii_case("global") => Scope::Global,
        _ => Scope::Local,
    }
}

/// What an Activate says is implemented.
pub(crate) fn implements(map: &Map<String, Value>) -> Result<Vec<String>, String> {
    match field(map, "Implements") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        Some(other) => Err(format!("Implements should be a list, not {}", type_of(other))),
    }
}

/// The JSON type in words, for messages.
pub(crate) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Map<String, Value> {
        object(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_empty_body_and_null_are_an_empty_answer() {
        for body in ["", "\n", "null", "{}"] {
            assert!(map(body).is_empty(), "{body:?}");
        }
    }

    #[test]
    fn err_is_an_error_only_when_it_says_something() {
        for quiet in [
            r#"{}"#,
            r#"{"Err":""}"#,
            r#"{"Err":null}"#,
            r#"{"Err":" "}"#,
            r#"{"Err":false}"#,
        ] {
            assert_eq!(err_of(&map(quiet)), None, "{quiet}");
        }
        assert_eq!(err_of(&map(r#"{"Err":"no"}"#)).as_deref(), Some("no"));
        assert_eq!(err_of(&map(r#"{"err":"no"}"#)).as_deref(), Some("no"));
        assert_eq!(err_of(&map(r#"{"Err":{"code":7}}"#)).as_deref(), Some(r#"{"code":7}"#));
    }

    #[test]
    fn a_volume_may_have_any_status_and_date() {
        let answer =
            map(r#"{"Name":"v","Mountpoint":"","CreatedAt":"2026-11-20 +0000 UTC m=+1.03","Status":[null,{}]}"#);
        let volume = volume(&Value::Object(answer), "asked").unwrap();
        assert_eq!(volume.name, "v");
        assert_eq!(volume.mountpoint, None);
        assert_eq!(volume.created_at.as_deref(), Some("2026-11-20 +0000 UTC m=+1.03"));
        assert!(volume.status.is_array());
    }

    #[test]
    fn a_list_may_be_missing_or_null_but_not_a_text() {
        assert_eq!(volumes(&map("{}")), Ok(vec![]));
        assert_eq!(volumes(&map(r#"{"Volumes":null}"#)), Ok(vec![]));
        assert!(volumes(&map(r#"{"Volumes":"none"}"#)).is_err());
        assert!(volumes(&map(r#"{"Volumes":[1]}"#)).is_err());
    }

    #[test]
    fn only_global_in_any_case_is_global() {
        assert_eq!(scope(&map(r#"{"Capabilities":{"Scope":"GLOBAL"}}"#)), Scope::Global);
        for other in [
            r#"{}"#,
            r#"{"Capabilities":null}"#,
            r#"{"Capabilities":{"Scope":"zone"}}"#,
        ] {
            assert_eq!(scope(&map(other)), Scope::Local, "{other}");
        }
    }
}
