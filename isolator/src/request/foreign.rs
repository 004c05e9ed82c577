//! Volumes asked for in other words than labels, held to the same bounds.

use std::collections::BTreeMap;

use volume_labels::{
    ContainerPath, Create, MAX_OPTIONS, MAX_VOLUMES, Mode, Slot, VolumeLabels, check_name, check_option, cleaned,
};

use super::source::{Asked, Part, Source};

/// One volume, as another source spells it. Nothing in it has been looked at.
pub(super) struct Foreign<'a> {
    pub(super) source: Source,
    /// A slot for it, of this code's own making.
    pub(super) slot: String,
    pub(super) name: &'a str,
    pub(super) driver: Option<&'a str>,
    /// Its slot when there is none.
    pub(super) path: Option<&'a str>,
    pub(super) mode: Mode,
    pub(super) create: Create,
    pub(super) options: Vec<(&'a str, &'a str)>,
}

/// The volumes in the words of labels.
///
/// # Errors
/// The first thing that a label would not be allowed to say either, in one line that names where it was said.
pub(super) fn asked(volumes: Vec<Foreign<'_>>) -> Result<Vec<Asked>, String> {
    if volumes.len() > MAX_VOLUMES {
        return Err(format!(
            "the container asks for {} volumes; at most {MAX_VOLUMES} are accepted",
            volumes.len()
        ));
    }
    let mut asked: Vec<Asked> = Vec::new();
    for volume in volumes {
        let next = volume.asked()?;
        if let Some(first) = asked.iter().find(|other| other.labels.path == next.labels.path) {
            return Err(format!(
                "{} and {} both mount at '{}'; give one of them another {}",
                first.part(Part::Name),
                next.part(Part::Name),
                cleaned(&next.labels.path.to_string()),
                next.part(Part::Path)
            ));
        }
        asked.push(next);
    }
    Ok(asked)
}

impl Foreign<'_> {
    fn asked(self) -> Result<Asked, String> {
        let slot: Slot = self.slot.parse().map_err(|error| format!("{error}"))?;
        let source = self.source;
        let refused = |part: Part<'_>, value: &str, problem: &str| {
            format!("{} = '{}': {problem}", source.part(&slot, part), cleaned(value))
        };
        check_name(self.name).map_err(|problem| refused(Part::Name, self.name, problem))?;
        if let Some(driver) = self.driver {
            check_name(driver).map_err(|problem| refused(Part::Driver, driver, problem))?;
        }
        let path = self.path.map(|path| {
            ContainerPath::parse(path).map_err(|problem| {
                let accepted = "accepted is a path in the container, absolute or relative to the sandbox, without '..'";
                refused(Part::Path, path, &format!("{problem}; {accepted}"))
            })
        });
        let mut labels = VolumeLabels::new(slot.clone(), self.name);
        labels.path = path.transpose()?.unwrap_or(labels.path);
        labels.driver = self.driver.map(str::to_owned);
        labels.mode = self.mode;
        labels.create = self.create;
        let mut options: BTreeMap<String, String> = BTreeMap::new();
        for (key, value) in self.options {
            check_option(key, value).map_err(|problem| refused(Part::Option(key), value, problem))?;
            let known = options.insert(key.to_owned(), value.to_owned());
            if let Some(first) = known.filter(|first| first != value) {
                let problem = format!("it is given twice, the other time as '{}'; keep one", cleaned(&first));
                return Err(refused(Part::Option(key), value, &problem));
            }
            if options.len() > MAX_OPTIONS {
                let problem = format!("it has more than {MAX_OPTIONS} driver options");
                return Err(refused(Part::Name, self.name, &problem));
            }
        }
        labels.options = options;
        Ok(Asked { source, labels })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;
    use crate::request::{docker_volume, dvdi};
    use crate::types::DockerVolume;

    /// Texts as an author may write them, and as one who means harm may.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z0-9./=,;$()` -]{0,40}",
            any::<String>(),
            "[a-z]{250,260}",
            "(\\.\\./|/|a/|\\./){0,8}",
        ]
    }

    fn variable() -> impl Strategy<Value = String> {
        prop_oneof![
            9 => "DVDI_VOLUME_(NAME|DRIVER|OPTS|CONTAINERPATH|EXPLICITCREATE|DVDCLI)[1-9]?",
            1 => "DVDI_VOLUME_.{0,20}",
        ]
    }

    fn docker() -> impl Strategy<Value = DockerVolume> {
        let options = prop::collection::vec((text(), text()), 0..4);
        (
            0..9_usize,
            prop::option::of(text()),
            text(),
            options,
            text(),
            any::<bool>(),
        )
            .prop_map(|(index, driver, name, options, path, read_only)| DockerVolume {
                index,
                driver,
                name,
                options,
                path,
                read_only,
            })
    }

    fn is_fit_for_a_label_or_one_line(asked: Result<Vec<Asked>, String>) {
        match asked {
            Ok(asked) => {
                for asked in asked {
                    let labels = asked.labels;
                    let climbs = |part: Component<'_>| part == Component::ParentDir;
                    assert!(!labels.path.as_path().components().any(climbs), "{labels:?}");
                    let said = volume_labels::parse(labels.to_labels());
                    assert_eq!(said, Ok(vec![labels]), "it can be said by labels");
                }
            }
            Err(problem) => {
                assert!(!problem.chars().any(char::is_control), "{problem:?}");
                assert!(problem.len() < 1200, "{} bytes: {problem}", problem.len());
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_variables_say_labels_could_say_or_it_is_refused_in_one_line(
            variables in prop::collection::vec((variable(), text()), 0..8)
        ) {
            is_fit_for_a_label_or_one_line(dvdi::asked(&variables));
        }

        #[test]
        fn whatever_docker_volumes_say_labels_could_say_or_it_is_refused_in_one_line(
            volumes in prop::collection::vec(docker(), 0..4)
        ) {
            is_fit_for_a_label_or_one_line(docker_volume::asked(&volumes));
        }
    }
}
