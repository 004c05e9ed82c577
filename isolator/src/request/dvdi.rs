//! The environment variables of mesos-module-dvdi: `DVDI_VOLUME_NAME` and others, each alone or
//! with a digit from 1 to 9 behind it, so that a container has up to ten volumes.
//!
//! mesos-module-dvdi handed these values to a shell. Here they are data: names and options go to
//! the driver as they are, and no program is run, whatever `DVDI_VOLUME_DVDCLI` says.

use std::collections::BTreeMap;

use volume_labels::{Create, Mode};

use super::error::{DvdiError, ParseError};
use super::requested_volume::RequestedVolume;
use super::unchecked::{self, UncheckedVolume};
use crate::origin::{DVDI_PREFIX, Origin, dvdi_variable};

/// The highest digit.
const MAX_NUMBER: usize = 9;

/// The names of the variables between the prefix and the digit.
pub(super) const PARTS: [&str; 6] = ["NAME", "DRIVER", "OPTS", "CONTAINERPATH", "EXPLICITCREATE", "DVDCLI"];

/// The volumes, in the order of their digits. As in mesos-module-dvdi, a digit whose name is absent
/// or empty has no volume, and a missing volume is created unless `DVDI_VOLUME_EXPLICITCREATE` is
/// `true`.
///
/// # Errors
/// When a variable is not understood.
pub(super) fn requested(variables: &[(String, String)]) -> Result<Vec<RequestedVolume>, ParseError> {
    let given = by_number_and_part(variables)?;
    let mut volumes = Vec::new();
    for number in 0..=MAX_NUMBER {
        // As in mesos-module-dvdi, an empty variable counts as absent.
        let of = |part: &'static str| given.get(&(number, part)).copied().filter(|value| !value.is_empty());
        let Some(name) = of("NAME") else { continue };
        volumes.push(UncheckedVolume {
            origin: Origin::Dvdi(number),
            slot: if number == 0 {
                "dvdi".to_owned()
            } else {
                format!("dvdi{number}")
            },
            name,
            driver: of("DRIVER"),
            path: of("CONTAINERPATH"),
            mode: Mode::ReadWrite,
            create: create(of("EXPLICITCREATE"), number)?,
            options: options(of("OPTS").unwrap_or_default(), number)?,
        });
    }
    unchecked::check(volumes)
}

fn by_number_and_part(variables: &[(String, String)]) -> Result<BTreeMap<(usize, &'static str), &str>, DvdiError> {
    let mut given = BTreeMap::new();
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(DVDI_PREFIX) else {
            continue;
        };
        let key = key(rest).ok_or_else(|| DvdiError::UnknownVariable(name.clone()))?;
        if let Some(first) = given.insert(key, value.as_str())
            && first != value
        {
            return Err(DvdiError::GivenTwice {
                variable: name.clone(),
                first: first.to_owned(),
                second: value.clone(),
            });
        }
    }
    Ok(given)
}

fn key(rest: &str) -> Option<(usize, &'static str)> {
    PARTS.into_iter().find_map(|part| {
        let number = match rest.strip_prefix(part)?.as_bytes() {
            [] => 0,
            [digit @ b'1'..=b'9'] => usize::from(digit - b'0'),
            _ => return None,
        };
        Some((number, part))
    })
}

fn create(explicit: Option<&str>, number: usize) -> Result<Create, DvdiError> {
    match explicit {
        None | Some("false") => Ok(Create::IfMissing),
        Some("true") => Ok(Create::Never),
        Some(other) => Err(DvdiError::NotTrueOrFalse {
            variable: dvdi_variable("EXPLICITCREATE", number),
            value: other.to_owned(),
        }),
    }
}

/// `key=value,key=value`. A value may contain `=`, and no comma.
fn options(text: &str, number: usize) -> Result<Vec<(&str, &str)>, DvdiError> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    let pairs = parts.map(|part| {
        part.split_once('=').ok_or_else(|| DvdiError::NotKeyAndValue {
            variable: dvdi_variable("OPTS", number),
            option: part.to_owned(),
        })
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use volume_labels::{ContainerPath, VolumeLabels};

    use super::*;

    fn labels_of(pairs: &[(&str, &str)]) -> Result<Vec<VolumeLabels>, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let variables: Vec<(String, String)> = pairs.iter().map(owned).collect();
        let volumes = requested(&variables).map_err(|error| error.to_string())?;
        Ok(volumes.into_iter().map(|requested| requested.labels).collect())
    }

    #[test]
    fn a_name_alone_is_enough() {
        let volumes = labels_of(&[("DVDI_VOLUME_NAME", "flights")]).unwrap();
        let [volume] = volumes.as_slice() else {
            panic!("{volumes:?}")
        };
        assert_eq!((volume.name.as_str(), &volume.driver), ("flights", &None));
        assert_eq!(volume.path, ContainerPath::Relative("dvdi".into()));
        assert_eq!((volume.mode, volume.create), (Mode::ReadWrite, Create::IfMissing));
        assert!(volume.options.is_empty());
    }

    #[test]
    fn the_second_volume_has_variables_of_its_own() {
        let volumes = labels_of(&[
            ("PATH", "/bin"),
            ("DVDI_VOLUME_NAME9", "last"),
            ("DVDI_VOLUME_NAME", "first"),
            ("DVDI_VOLUME_DRIVER", "ebs"),
            ("DVDI_VOLUME_OPTS", "size=5,iops=a=b c,,"),
            ("DVDI_VOLUME_CONTAINERPATH", "/data/first"),
            ("DVDI_VOLUME_EXPLICITCREATE9", "true"),
            ("DVDI_VOLUME_DVDCLI9", "/bin/sh"),
            ("DVDI_VOLUME_CONTAINERPATH9", "here"),
            ("DVDI_VOLUME_DRIVER3", "nobody's"),
            ("DVDI_VOLUME_NAME4", ""),
        ])
        .unwrap();
        let [first, last] = volumes.as_slice() else {
            panic!("{volumes:?}")
        };
        assert_eq!(first.driver.as_deref(), Some("ebs"));
        assert_eq!(first.path, ContainerPath::Absolute("/data/first".into()));
        let kept: Vec<(&str, &str)> = first.options.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(kept, [("iops", "a=b c"), ("size", "5")]);
        assert_eq!((last.name.as_str(), last.create), ("last", Create::Never));
        assert_eq!(last.path, ContainerPath::Relative("here".into()));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_its_variable() {
        let long = "x".repeat(5000);
        let name = ("DVDI_VOLUME_NAME1", "v");
        for (pairs, words) in [
            (
                vec![name, ("DVDI_VOLUME_OPTS1", "size")],
                "DVDI_VOLUME_OPTS1: 'size' is no KEY=VALUE",
            ),
            (vec![name, ("DVDI_VOLUME_OPTS1", "=5")], "the key is empty"),
            (
                vec![name, ("DVDI_VOLUME_OPTS1", "size=5,size=6")],
                "DVDI_VOLUME_OPTS1 'size' = '6'",
            ),
            (
                vec![name, ("DVDI_VOLUME_OPTS1", "a=1\n2")],
                "the value has control characters",
            ),
            (
                vec![name, ("DVDI_VOLUME_CONTAINERPATH1", "/a/../b")],
                "DVDI_VOLUME_CONTAINERPATH1 = '/a/../b'",
            ),
            (
                vec![name, ("DVDI_VOLUME_EXPLICITCREATE1", "yes")],
                "DVDI_VOLUME_EXPLICITCREATE1 = 'yes'",
            ),
            (vec![name, ("DVDI_VOLUME_DRIVER1", &long)], "DVDI_VOLUME_DRIVER1 = 'xxx"),
            (vec![("DVDI_VOLUME_NAME1", &long)], "DVDI_VOLUME_NAME1 = 'xxx"),
            (vec![("DVDI_VOLUME_NAME10", "v")], "'DVDI_VOLUME_NAME10' is none of"),
            (vec![("DVDI_VOLUME_NAME0", "v")], "'DVDI_VOLUME_NAME0' is none of"),
            (vec![("DVDI_VOLUME_MODE", "ro")], "'DVDI_VOLUME_MODE' is none of"),
            (
                vec![name, ("DVDI_VOLUME_NAME1", "w")],
                "DVDI_VOLUME_NAME1 is given twice",
            ),
            (
                vec![
                    name,
                    ("DVDI_VOLUME_CONTAINERPATH1", "x"),
                    ("DVDI_VOLUME_NAME2", "w"),
                    ("DVDI_VOLUME_CONTAINERPATH2", "./x"),
                ],
                "DVDI_VOLUME_NAME1 and DVDI_VOLUME_NAME2 both mount at 'x'",
            ),
        ] {
            let problem = labels_of(&pairs).unwrap_err();
            assert!(problem.contains(words), "'{words}' is not in: {problem}");
            assert!(
                !problem.chars().any(char::is_control) && problem.len() < 1000,
                "{problem}"
            );
        }
        assert!(labels_of(&[name, name]).is_ok(), "given twice with one value");
    }

    #[test]
    fn shell_text_is_a_name_like_any_other() {
        let shell = "v; touch /tmp/pwned $(reboot) `id`";
        let volumes = labels_of(&[("DVDI_VOLUME_NAME", shell), ("DVDI_VOLUME_OPTS", "k=;id|sh")]).unwrap();
        assert_eq!(volumes[0].name, shell);
        assert_eq!(volumes[0].options["k"], ";id|sh");
    }
}
