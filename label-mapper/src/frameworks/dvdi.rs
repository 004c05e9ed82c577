//! The environment variables of mesos-module-dvdi: `DVDI_VOLUME_NAME`, `_DRIVER`, `_OPTS`, `_CONTAINERPATH`, each alone or
//! with a digit from 1 to 9 behind it.

use volume_labels::{Access, ContainerPath, Create, Lifetime, Mode, VolumeLabels};

use super::{Problem, refused};

const SUFFIXES: [&str; 10] = ["", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const PREFIX: &str = "DVDI_VOLUME_";

/// The slot of the volume with this digit behind its variables.
fn slot(suffix: &str) -> String {
    format!("dvdi{suffix}")
}

/// The labels that say what the variables say. mesos-module-dvdi creates what is missing unless told otherwise.
pub(super) fn to_labels(environment: &[(String, String)]) -> Result<Vec<(String, String)>, Problem> {
    let mut labels = Vec::new();
    for suffix in SUFFIXES {
        let of = |what: &str| {
            let name = format!("{PREFIX}{what}{suffix}");
            environment
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.as_str())
        };
        let Some(name) = of("NAME").filter(|name| !name.is_empty()) else {
            continue;
        };
        let key = format!("volume.{}", slot(suffix));
        labels.push((key.clone(), name.to_owned()));
        labels.extend(of("DRIVER").map(|driver| (format!("{key}.driver"), driver.to_owned())));
        labels.extend(of("CONTAINERPATH").map(|path| (format!("{key}.path"), path.to_owned())));
        if of("EXPLICITCREATE") != Some("true") {
            labels.push((format!("{key}.create"), Create::IfMissing.to_string()));
        }
        for option in of("OPTS")
            .unwrap_or_default()
            .split(',')
            .filter(|option| !option.is_empty())
        {
            let Some((option, value)) = option.split_once('=') else {
                return refused(format!(
                    "{PREFIX}OPTS{suffix}: '{}' is no KEY=VALUE",
                    volume_labels::cleaned(option)
                ));
            };
            labels.push((format!("{key}.options.{option}"), value.to_owned()));
        }
    }
    Ok(labels)
}

/// The variables that say what the labels say. A volume whose variables exist keeps their digit; others take free ones.
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
        // A volume read from variables without a path goes to its slot by label; the variable stays unsaid.
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
        "'volume.{}.{attribute}' cannot be said in DVDI_VOLUME_* variables, the only way by which this framework reaches the \
         isolator: remove it",
        volume.slot
    ))
}
