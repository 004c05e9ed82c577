//! The environment variables of mesos-module-dvdi: `DVDI_VOLUME_NAME`, `_DRIVER`, `_OPTS`,
//! `_CONTAINERPATH`, each alone or with a digit from 1 to 9 behind it.

use volume_labels::{Access, ContainerPath, Create, Lifetime, Mode, MountFlags, VolumeLabels};

use super::native::{GeneratedName, Native, OwnWords};
use super::{Channel, Problem, refused};
use crate::text::{Entry, JsonText, Node, Path};

const SUFFIXES: [&str; 10] = ["", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const PREFIX: &str = "DVDI_VOLUME_";
/// What the variables contain; the path of dvdcli is ignored.
const KNOWN: [&str; 6] = ["NAME", "DRIVER", "OPTS", "CONTAINERPATH", "EXPLICITCREATE", "DVDCLI"];

/// The slot of the volume with this digit behind its variables.
fn slot(suffix: &str) -> String {
    format!("dvdi{suffix}")
}

/// One variable of a command, and where it stands. A value that is no text, a secret for example,
/// is none.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: Option<String>,
    pub(super) at: Path,
}

/// The variables of an object, name to value.
pub(super) fn of_map(text: &JsonText, map: &Path) -> Vec<Variable> {
    let entries = text.at(map).map(|node| node.entries()).unwrap_or_default().iter();
    let variable = |entry: &Entry| Variable {
        name: entry.key.clone(),
        value: entry.value.scalar().map(str::to_owned),
        at: map.key(&entry.key),
    };
    entries.map(variable).collect()
}

/// The variables of a list of `name` and `value`.
pub(super) fn of_list(text: &JsonText, list: &Path) -> Vec<Variable> {
    let elements = text.at(list).map(|node| node.elements()).unwrap_or_default().iter();
    let variable = |(index, element): (usize, &Node)| {
        Some(Variable {
            name: element.text_of("name")?.to_owned(),
            value: element.get("value").and_then(Node::scalar).map(str::to_owned),
            at: list.index(index),
        })
    };
    elements.enumerate().filter_map(variable).collect()
}

/// One volume as the variables of one digit describe it (`DockerVolumeDriverIsolator::prepare` of
/// mesos-module-dvdi).
struct Described<'a> {
    suffix: &'static str,
    name: &'a str,
    driver: Option<&'a str>,
    path: Option<&'a str>,
    create: Create,
    options: Vec<(&'a str, &'a str)>,
}

fn described<'a>(suffix: &'static str, of: impl Fn(&str) -> Option<&'a str>) -> Result<Option<Described<'a>>, Problem> {
    let of = |what: &str| of(&format!("{PREFIX}{what}{suffix}")).filter(|value| !value.is_empty());
    let Some(name) = of("NAME") else { return Ok(None) };
    let mut options = Vec::new();
    for option in of("OPTS")
        .unwrap_or_default()
        .split(',')
        .filter(|option| !option.is_empty())
    {
        match option.split_once('=') {
            Some(option) => options.push(option),
            None => {
                return refused(format!(
                    "{PREFIX}OPTS{suffix}: '{}' is no KEY=VALUE",
                    volume_labels::cleaned(option)
                ));
            }
        }
    }
    // It creates what is missing unless this is said, in whatever case and between blanks.
    let explicit = of("EXPLICITCREATE").is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
    Ok(Some(Described {
        suffix,
        name,
        driver: of("DRIVER"),
        path: of("CONTAINERPATH"),
        create: if explicit { Create::Never } else { Create::IfMissing },
        options,
    }))
}

/// The labels that say what the variables say.
pub(super) fn to_labels(environment: &[(String, String)]) -> Result<Vec<(String, String)>, Problem> {
    let of = |name: &str| {
        let found = environment.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    let mut labels = Vec::new();
    for suffix in SUFFIXES {
        let Some(volume) = described(suffix, of)? else { continue };
        let key = format!("volume.{}", slot(volume.suffix));
        labels.push((key.clone(), volume.name.to_owned()));
        labels.extend(volume.driver.map(|driver| (format!("{key}.driver"), driver.to_owned())));
        labels.extend(volume.path.map(|path| (format!("{key}.path"), path.to_owned())));
        if volume.create == Create::IfMissing {
            labels.push((format!("{key}.create"), Create::IfMissing.to_string()));
        }
        for (option, value) in volume.options {
            labels.push((format!("{key}.options.{option}"), value.to_owned()));
        }
    }
    Ok(labels)
}

/// The volumes that the variables describe, as the framework's own fields.
///
/// # Errors
/// Options that are none.
pub(super) fn read(words: &mut OwnWords, variables: &[Variable]) -> Result<(), Problem> {
    let find = |name: &str| variables.iter().find(|variable| variable.name == name);
    for suffix in SUFFIXES {
        let name = format!("{PREFIX}NAME{suffix}");
        if let Some(secret) = find(&name).filter(|variable| variable.value.is_none()) {
            words.unread(format!(
                "the volume that '{}' names was not read: its value is no text",
                secret.at
            ));
        }
        let Some(volume) = described(suffix, |name| find(name)?.value.as_deref())? else {
            continue;
        };
        let own = KNOWN.map(|what| format!("{PREFIX}{what}{suffix}"));
        words.native.push(Native {
            at: own.iter().filter_map(|name| Some(find(name)?.at.clone())).collect(),
            driver: volume.driver.map(str::to_owned),
            slot: slot(suffix).parse().ok(),
            create: volume.create,
            options: volume
                .options
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            ..Native::new(
                Path::default(),
                GeneratedName::fixed(volume.name),
                volume.path.map_or_else(|| slot(suffix), str::to_owned),
                Channel::Environment,
            )
        });
    }
    let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
    words.unread.extend(strays(&names));
    Ok(())
}

/// The note on variables of a task whose containers the Docker engine runs: nothing reads the
/// variables there.
pub(super) fn unused(variables: &[Variable]) -> Option<String> {
    let first = variables.iter().find(|variable| variable.name.starts_with(PREFIX))?;
    Some(format!(
        "'{}' was not read: the Docker containerizer runs this task, and {PREFIX}.. variables count under the Mesos containerizer \
         alone",
        first.at
    ))
}

/// Variables that look like these and are none: mesos-module-dvdi refuses or ignores them, and the
/// module refuses them.
pub(super) fn strays(names: &[&str]) -> Vec<String> {
    let is_known = |rest: &str| {
        let of = |what: &&str| {
            rest.strip_prefix(*what)
                .is_some_and(|suffix| SUFFIXES.contains(&suffix))
        };
        KNOWN.iter().any(of)
    };
    let strays = names
        .iter()
        .filter(|name| name.strip_prefix(PREFIX).is_some_and(|rest| !is_known(rest)));
    strays
        .map(|name| {
            format!(
                "the variable '{}' was not read: {PREFIX}.. is followed by {} and at most one digit from 1 to 9, and the agent refuses \
                 a task with another one",
                volume_labels::cleaned(name),
                KNOWN.join(", ")
            )
        })
        .collect()
}

/// The variables that say what the labels say. A volume whose variables exist keeps their digit;
/// others take free ones.
pub(super) fn from_volumes(
    volumes: &[VolumeLabels],
    environment: &[(String, String)],
) -> Result<Vec<(String, String)>, Problem> {
    let exists = |suffix: &str| {
        environment
            .iter()
            .any(|(key, _)| *key == format!("{PREFIX}NAME{suffix}"))
    };
    let mut free = SUFFIXES.into_iter().filter(|suffix| !exists(suffix));
    let mut variables = Vec::new();
    for volume in volumes {
        let known = SUFFIXES
            .into_iter()
            .find(|suffix| exists(suffix) && slot(suffix) == volume.slot.as_str());
        let Some(suffix) = known.or_else(|| free.next()) else {
            return refused("more than ten volumes do not fit in DVDI_VOLUME_* variables");
        };
        cannot_say(volume)?;
        let mut put = |what: &str, value: String| variables.push((format!("{PREFIX}{what}{suffix}"), value));
        put("NAME", volume.name.clone());
        if let Some(driver) = &volume.driver {
            put("DRIVER", driver.clone());
        }
        if !volume.options.is_empty() {
            let options: Vec<String> = volume
                .options
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            put("OPTS", options.join(","));
        }
        // A volume read from variables without a path goes to its slot by label; the variable stays
        // unsaid.
        if known.is_none() || *volume.path.as_path() != *slot(suffix) {
            put("CONTAINERPATH", volume.path.to_string());
        }
        if volume.create == Create::Never {
            put("EXPLICITCREATE", "true".to_owned());
        }
    }
    Ok(variables)
}

fn cannot_say(volume: &VolumeLabels) -> Result<(), Problem> {
    let attribute = if volume.mode == Mode::ReadOnly {
        "mode"
    } else if volume.access == Access::Exclusive {
        "access"
    } else if volume.lifetime == Lifetime::Container {
        "lifetime"
    } else if volume.owner.is_some() {
        "owner"
    } else if volume.flags != MountFlags::default() {
        "flags"
    } else if volume.subpath.is_some() {
        "subpath"
    } else {
        if let ContainerPath::Relative(_) = volume.path
            && !volume.slot.as_str().starts_with("dvdi")
        {
            return refused(format!(
                "'volume.{0}' mounts at the relative path '{1}', and DVDI_VOLUME_CONTAINERPATH must be absolute: give \
                 'volume.{0}.path' an absolute path",
                volume.slot, volume.path
            ));
        }
        let comma = |(key, value): (&String, &String)| key.contains([',', '=']) || value.contains(',');
        if let Some((key, _)) = volume.options.iter().find(|(key, value)| comma((key, value))) {
            return refused(format!(
                "'volume.{}.options.{key}': DVDI_VOLUME_OPTS cannot hold a comma",
                volume.slot
            ));
        }
        return Ok(());
    };
    refused(format!(
        "'volume.{}.{attribute}' cannot be written as DVDI_VOLUME_* variables, the only way by which this framework reaches the \
         isolator: remove it",
        volume.slot
    ))
}
