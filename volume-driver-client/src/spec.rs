//! Spec files: a driver's address in `/etc/docker/plugins/NAME.spec` or `NAME.json`.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::answer::{field, type_of};
use crate::endpoint::{Endpoint, TlsSettings};

/// A `.spec` file: one address, white space around it ignored.
pub(crate) fn read_spec(text: &str) -> Result<Endpoint, String> {
    let address = text.trim();
    if address.lines().count() > 1 {
        return Err("a .spec file holds one address and nothing else".to_owned());
    }
    Endpoint::parse(address, None)
}

/// A `.json` file: `{"Name": .., "Addr": .., "TLSConfig": {..}}`, keys in any case as Go reads them. `Name` is ignored: the
/// file's name is the driver's.
pub(crate) fn read_json(text: &str) -> Result<Endpoint, String> {
    let spec = match serde_json::from_str(text) {
        Ok(Value::Object(map)) => map,
        Ok(other) => return Err(format!("an object is expected, not {}", type_of(&other))),
        Err(error) => return Err(format!("not JSON: {error}")),
    };
    let address = match field(&spec, "Addr") {
        Some(Value::String(address)) if !address.trim().is_empty() => address,
        Some(Value::String(_)) | None => return Err("it has no Addr".to_owned()),
        Some(other) => return Err(format!("Addr should be a text, not {}", type_of(other))),
    };
    let tls = match field(&spec, "TLSConfig") {
        None | Some(Value::Null) => None,
        Some(Value::Object(map)) => Some(tls_settings(map)?),
        Some(other) => return Err(format!("TLSConfig should be an object, not {}", type_of(other))),
    };
    Endpoint::parse(address, tls)
}

fn tls_settings(map: &Map<String, Value>) -> Result<TlsSettings, String> {
    Ok(TlsSettings {
        ca_file: file(map, "CAFile")?,
        cert_file: file(map, "CertFile")?,
        key_file: file(map, "KeyFile")?,
        insecure_skip_verify: match field(map, "InsecureSkipVerify") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(skip)) => *skip,
            // Read as "off" a mistaken value would be safe but not what was meant.
            Some(other) => {
                return Err(format!(
                    "InsecureSkipVerify should be true or false, not {}",
                    type_of(other)
                ));
            }
        },
    })
}

fn file(map: &Map<String, Value>, name: &str) -> Result<Option<PathBuf>, String> {
    match field(map, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(path)) if path.is_empty() => Ok(None),
        Some(Value::String(path)) if path.starts_with('/') => Ok(Some(path.into())),
        Some(Value::String(path)) => Err(format!("{name} '{path}' is not an absolute path")),
        Some(other) => Err(format!("{name} should be a path, not {}", type_of(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_file_is_one_address() {
        assert_eq!(
            read_spec("unix:///run/x.sock\n"),
            Ok(Endpoint::Unix("/run/x.sock".into()))
        );
        assert!(read_spec("tcp://a:1\ntcp://b:2\n").is_err());
        assert!(read_spec("localhost:18787").unwrap_err().contains("no scheme"));
    }

    #[test]
    fn keys_of_a_json_file_may_have_any_case() {
        let text = r#"{"name":"other","ADDR":"https://h:1","tlsconfig":{"cafile":"/ca","InsecureSkipVerify":false}}"#;
        let Ok(Endpoint::Tls { authority, tls }) = read_json(text) else {
            panic!("{text}")
        };
        assert_eq!(authority, "h:1");
        assert_eq!(tls.ca_file, Some("/ca".into()));
        assert!(!tls.insecure_skip_verify);
    }

    #[test]
    fn a_mistaken_json_file_is_refused_with_the_key() {
        for (text, said) in [
            ("", "not JSON"),
            ("[]", "not a list"),
            ("{}", "no Addr"),
            (r#"{"Addr":7}"#, "Addr should be a text"),
            (
                r#"{"Addr":"https://h:1","TLSConfig":{"CAFile":"ca.pem"}}"#,
                "CAFile 'ca.pem' is not an absolute",
            ),
            (r#"{"Addr":"https://h:1","TLSConfig":{"CertFile":"/c"}}"#, "KeyFile"),
            (
                r#"{"Addr":"https://h:1","TLSConfig":{"InsecureSkipVerify":"no"}}"#,
                "InsecureSkipVerify",
            ),
            (r#"{"Addr":"tcp://h:1","TLSConfig":{"CAFile":"/ca"}}"#, "plain text"),
        ] {
            let message = read_json(text).unwrap_err();
            assert!(message.contains(said), "{text}: {message}");
        }
    }
}
