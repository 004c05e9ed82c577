//! Volumes that are requested in other terms than labels. They are held to the same bounds.

use std::collections::BTreeMap;

use volume_labels::{
    ContainerPath, Create, MAX_OPTIONS, MAX_VOLUMES, Mode, Slot, VolumeLabels, check_name, check_option,
};

use super::error::{ParseError, Statement, ValueProblem};
use super::requested_volume::RequestedVolume;
use crate::origin::Origin;

/// One volume as its author wrote it. Nothing in it is checked.
pub(super) struct UncheckedVolume<'a> {
    pub(super) origin: Origin,
    /// A slot that no author wrote, for the volume's labels.
    pub(super) slot: String,
    pub(super) name: &'a str,
    pub(super) driver: Option<&'a str>,
    /// `None` means a folder of the sandbox with the name of the slot.
    pub(super) path: Option<&'a str>,
    pub(super) mode: Mode,
    pub(super) create: Create,
    pub(super) options: Vec<(&'a str, &'a str)>,
}

/// The volumes in the terms of labels.
///
/// # Errors
/// The first statement that a label could not make either.
pub(super) fn check(volumes: Vec<UncheckedVolume<'_>>) -> Result<Vec<RequestedVolume>, ParseError> {
    if volumes.len() > MAX_VOLUMES {
        return Err(ParseError::TooManyOfOneKind(volumes.len()));
    }
    let mut requested: Vec<RequestedVolume> = Vec::new();
    for volume in volumes {
        let next = volume.check()?;
        if let Some(first) = requested.iter().find(|other| other.labels.path == next.labels.path) {
            return Err(ParseError::SamePathTwice {
                first: first.origin.clone(),
                second: next.origin,
                path: next.labels.path.to_string(),
            });
        }
        requested.push(next);
    }
    Ok(requested)
}

impl UncheckedVolume<'_> {
    fn check(self) -> Result<RequestedVolume, ParseError> {
        let slot: Slot = self.slot.parse()?;
        let origin = self.origin;
        let refused = |statement: Statement, problem: ValueProblem| ParseError::Value {
            origin: origin.clone(),
            statement,
            problem,
        };
        check_name(self.name)
            .map_err(|problem| refused(Statement::Name(self.name.to_owned()), ValueProblem::Form(problem)))?;
        if let Some(driver) = self.driver {
            check_name(driver)
                .map_err(|problem| refused(Statement::Driver(driver.to_owned()), ValueProblem::Form(problem)))?;
        }
        let path = self.path.map(|path| {
            ContainerPath::parse(path)
                .map_err(|problem| refused(Statement::Path(path.to_owned()), ValueProblem::Path(problem)))
        });
        let mut labels = VolumeLabels::new(slot, self.name);
        labels.path = path.transpose()?.unwrap_or(labels.path);
        labels.driver = self.driver.map(str::to_owned);
        labels.mode = self.mode;
        labels.create = self.create;
        let mut options: BTreeMap<String, String> = BTreeMap::new();
        for (key, value) in self.options {
            let option = || Statement::Option {
                key: key.to_owned(),
                value: value.to_owned(),
            };
            check_option(key, value).map_err(|problem| refused(option(), ValueProblem::Form(problem)))?;
            let known = options.insert(key.to_owned(), value.to_owned());
            if let Some(first) = known.filter(|first| first != value) {
                return Err(refused(option(), ValueProblem::GivenTwice(first)));
            }
            if options.len() > MAX_OPTIONS {
                let name = Statement::Name(self.name.to_owned());
                return Err(refused(name, ValueProblem::TooManyOptions));
            }
        }
        labels.options = options;
        Ok(RequestedVolume { origin, labels })
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

    fn is_fit_for_a_label_or_one_line(requested: Result<Vec<RequestedVolume>, ParseError>) {
        match requested {
            Ok(requested) => {
                for requested in requested {
                    let labels = requested.labels;
                    let climbs = |part: Component<'_>| part == Component::ParentDir;
                    assert!(!labels.path.as_path().components().any(climbs), "{labels:?}");
                    let parsed = volume_labels::parse(labels.to_labels());
                    assert_eq!(parsed, Ok(vec![labels]), "labels can request it as well");
                }
            }
            Err(error) => {
                let problem = error.to_string();
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
            is_fit_for_a_label_or_one_line(dvdi::requested(&variables));
        }

        #[test]
        fn whatever_docker_volumes_say_labels_could_say_or_it_is_refused_in_one_line(
            volumes in prop::collection::vec(docker(), 0..4)
        ) {
            is_fit_for_a_label_or_one_line(docker_volume::requested(&volumes));
        }
    }
}
