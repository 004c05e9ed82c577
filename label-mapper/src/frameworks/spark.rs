//! Spark: properties. Executors and a driver that the dispatcher launches are command tasks, whose
//! labels the isolator sees.

use volume_labels::VolumeLabels;

use super::dvdi::{self, Variable};
use super::json::{no_domain, other_zone};
use super::native::{OwnWords, host_folder};
use super::parameters::{self, Parameter};
use super::{Additions, Channel, DOCKER_ENGINE, Definition, Names, Problem, Task, docker, refused};
use crate::mapping::EBS_VOLUMES;
use crate::text::{Path, Properties, Step};

/// Properties of one submission, or a cluster's defaults.
pub(super) struct Submission {
    properties: Properties,
}

/// The parts of an application that are tasks of Mesos: name, labels, constraints, and the
/// beginning of their variables.
const PARTS: [(&str, &str, &str, &str); 2] = [
    (
        "executors",
        "spark.mesos.task.labels",
        "spark.mesos.constraints",
        "spark.executorEnv.",
    ),
    (
        "driver",
        "spark.mesos.driver.labels",
        "spark.mesos.driver.constraints",
        "spark.mesos.driverEnv.",
    ),
];
const IMAGE: &str = "spark.mesos.executor.docker.image";
const CONTAINERIZER: &str = "spark.mesos.containerizer";
const PARAMETERS: &str = "spark.mesos.executor.docker.parameters";
const VOLUMES: &str = "spark.mesos.executor.docker.volumes";
/// The dispatcher's own properties that begin so are defaults of every driver that it launches.
const DEFAULTS: &str = "spark.mesos.dispatcher.driverDefault.";

impl Submission {
    pub(super) fn read(text: &str) -> Self {
        Self {
            properties: Properties::parse(text),
        }
    }

    fn part(&self, index: usize) -> Result<Task, Problem> {
        let (name, key, ..) = PARTS[index];
        let mut notes = Vec::new();
        // Spark's own default for images is the Docker containerizer, for the driver's as for the
        // executors'.
        let docker = self.properties.get(IMAGE).is_some() && self.properties.get(CONTAINERIZER) != Some("mesos");
        let fine = index == 0 && self.properties.get("spark.mesos.coarse") == Some("false");
        let channel = if docker {
            notes.push(format!(
                "{DOCKER_ENGINE}; {CONTAINERIZER}=mesos runs the same image under the isolator"
            ));
            Channel::DockerEngine
        } else if fine {
            notes.push("fine-grained executors are custom ones, which carry no label to the isolator: nothing is mounted; remove spark.mesos.coarse=false".to_owned());
            Channel::Nothing
        } else {
            Channel::Labels
        };
        notes.push(
            if index == 0 {
                "every executor asks for the same volume: read-only, or all of them on one agent"
            } else {
                "a driver is a task of Mesos only when the dispatcher launches it (--deploy-mode cluster)"
            }
            .to_owned(),
        );
        let words = self.own_words(index, docker)?;
        Ok(Task {
            name: name.to_owned(),
            copies: if index == 0 { 2 } else { 1 },
            names: Names::AsWritten,
            lands: "TaskInfo.labels",
            channel,
            labels: parsed(key, self.properties.get(key).unwrap_or_default())?,
            native: words.native,
            unread: words.unread,
            notes,
        })
    }

    /// `MesosSchedulerBackendUtil.buildContainerInfo` makes the containers of executors and, in the
    /// dispatcher, of drivers.
    fn own_words(&self, index: usize, docker: bool) -> Result<OwnWords, Problem> {
        let (.., variables) = PARTS[index];
        let mut words = OwnWords::default();
        let of = |property: &str| {
            let value = self.properties.get(property).unwrap_or_default();
            value
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
        };
        let image = self.properties.get(IMAGE).is_some();
        if index == 0 {
            let parameter = |part: &&str| {
                let (key, value) = part.split_once('=')?;
                Some(Parameter {
                    key: key.to_owned(),
                    value: value.to_owned(),
                    at: Path::default().key(PARAMETERS),
                })
            };
            let given: Vec<Parameter> = of(PARAMETERS).iter().filter_map(parameter).collect();
            parameters::read(&mut words, &given, docker);
            if !words.native.is_empty() {
                words.unread(format!(
                    "a driver that the dispatcher launches gets the volumes of {PARAMETERS} too, and has no zone constraint by them"
                ));
            }
            let at = Path::default().key(VOLUMES);
            for spec in of(VOLUMES) {
                match spec.split(':').collect::<Vec<_>>().as_slice() {
                    _ if !image => {
                        words.unread(format!("'{VOLUMES}' was not read: Spark uses it with '{IMAGE}' alone"))
                    }
                    [path] | [path, "rw" | "ro"] => words.foreign(&at, path, "it is a folder of the sandbox"),
                    [folder, path] | [folder, path, "rw" | "ro"] => words.foreign(&at, path, host_folder(folder)),
                    _ => words.unread(format!(
                        "'{}' of '{VOLUMES}' was not read, and Spark passes it over: it takes [HOST:]PATH[:rw|:ro]",
                        volume_labels::cleaned(spec)
                    )),
                }
            }
        }
        let part = if index == 0 { "executor" } else { "driver" };
        for ending in ["filenames", "filename"] {
            let property = format!("spark.mesos.{part}.secret.{ending}");
            for path in of(&property) {
                words.foreign(
                    &Path::default().key(&property),
                    path,
                    "it is a secret, not a volume of a driver",
                );
            }
        }
        let environment: Vec<Variable> = self
            .properties
            .keys()
            .filter_map(|property| {
                Some(Variable {
                    name: property.strip_prefix(variables)?.to_owned(),
                    value: self.properties.get(property).map(str::to_owned),
                    at: Path::default().key(property),
                })
            })
            .collect();
        match docker {
            true => words.unread.extend(dvdi::unused(&environment)),
            false => dvdi::read(&mut words, &environment)?,
        }
        // `ConfigReader` fills in `${..}` before the values are used.
        words.leave_templates("${", "Spark fills it in when it reads its configuration");
        let defaults = self.properties.keys().filter(|property| {
            let rest = property.strip_prefix(DEFAULTS).unwrap_or_default();
            [
                PARAMETERS,
                VOLUMES,
                "spark.mesos.task.labels",
                "spark.mesos.driver.labels",
            ]
            .contains(&rest)
                || rest.contains("DVDI_VOLUME_")
        });
        if index == 1 {
            for property in defaults {
                words.unread(format!(
                    "'{property}' was not read: write it without '{DEFAULTS}' to have it looked up"
                ));
            }
        }
        Ok(words)
    }

    fn write_labels(&mut self, key: &str, volumes: &[VolumeLabels]) -> Result<(), Problem> {
        let text = self.properties.get(key).unwrap_or_default().to_owned();
        let mut pairs = parsed(key, &text)?;
        let mut added = String::new();
        let mut changed = false;
        for (label, value) in volumes.iter().flat_map(VolumeLabels::to_labels) {
            if value.ends_with('\\') {
                return refused(format!(
                    "'{label}' ends in a backslash, which Spark's list of labels cannot say"
                ));
            }
            match pairs.iter_mut().find(|(known, _)| *known == label) {
                Some((_, known)) if *known == value => {}
                Some((_, known)) => {
                    *known = value;
                    changed = true;
                }
                None => {
                    added += &format!(
                        "{}{}:{}",
                        if added.is_empty() { "" } else { "," },
                        escaped(&label),
                        escaped(&value)
                    );
                }
            }
        }
        if changed || !added.is_empty() {
            let kept = if changed {
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(k, v)| format!("{}:{}", escaped(k), escaped(v)))
                    .collect();
                pairs.join(",")
            } else {
                text
            };
            let comma = if kept.is_empty() || added.is_empty() { "" } else { "," };
            self.properties.set(key, &format!("{kept}{comma}{added}"));
        }
        Ok(())
    }

    fn write_parameters(&mut self, additions: &Additions<'_>) -> Result<(), Problem> {
        let mut drivers = Vec::new();
        let mut text = self.properties.get(PARAMETERS).unwrap_or_default().to_owned();
        let mut add = |parameter: String| {
            if !text.split(',').any(|known| known == parameter) {
                text += if text.is_empty() { "" } else { "," };
                text += &parameter;
            }
        };
        for volume in additions.volumes {
            docker::cannot_say(volume)?;
            let driver = docker::driver(volume, additions.default_driver)?;
            let value = format!(
                "{}:{}:{}",
                volume.name,
                docker::absolute(&volume.path.to_string()),
                volume.mode
            );
            if value.contains([',', '=']) || driver.contains([',', '=']) {
                return refused(format!("'volume.{}': {PARAMETERS} cannot hold '{value}'", volume.slot));
            }
            add(format!("volume-driver={driver}"));
            add(format!("volume={value}"));
            drivers.push(driver);
        }
        docker::one_driver(&drivers)?;
        self.properties.set(PARAMETERS, &text);
        Ok(())
    }
}

impl Definition for Submission {
    fn text(&self) -> &str {
        self.properties.text()
    }

    fn tasks(&self) -> Result<Vec<Task>, Problem> {
        (0..PARTS.len()).map(|index| self.part(index)).collect()
    }

    fn write(&mut self, task: usize, additions: &Additions<'_>) -> Result<Vec<String>, Problem> {
        let (_, labels, constraints, _) = PARTS[task];
        let channel = self.part(task)?.channel;
        self.write_labels(labels, additions.volumes)?;
        if channel == Channel::DockerEngine {
            self.write_parameters(additions)?;
        }
        if let Some(zone) = additions.zone {
            if zone.attribute.starts_with('@') {
                return no_domain(zone);
            }
            let text = self.properties.get(constraints).unwrap_or_default().to_owned();
            let known = text
                .split(';')
                .filter_map(|row| row.split_once(':'))
                .find(|(name, _)| *name == zone.attribute);
            match known {
                Some((_, value)) if value == zone.name => {}
                Some((_, value)) => return other_zone(value, zone),
                None => {
                    let joint = if text.is_empty() { "" } else { ";" };
                    self.properties
                        .set(constraints, &format!("{text}{joint}{}:{}", zone.attribute, zone.name));
                }
            }
        }
        let claims = additions.claims.join(", ");
        Ok(if claims.is_empty() {
            Vec::new()
        } else {
            vec![format!(
                "Spark takes no items of '{EBS_VOLUMES}' ({claims}) from an offer: agents with require_claim refuse the task, and \
                 nothing but the storage keeps a second one off the volume"
            )]
        })
    }

    fn drop_native(&mut self, task: usize, which: &[usize]) -> Result<(), Problem> {
        let native = self.part(task)?.native;
        for at in which
            .iter()
            .filter_map(|index| native.get(*index))
            .flat_map(|native| &native.at)
        {
            if let Some((_, Step::Key(property))) = at.split_last() {
                self.properties.remove(property);
            }
        }
        Ok(())
    }

    fn write_native(&mut self, _: usize, _: &Additions<'_>) -> Result<Vec<String>, Problem> {
        refused("Spark has no words of its own for an external volume outside of the Docker containerizer")
    }
}

/// The labels as Spark reads them: `key:value`, separated by commas, a backslash before a comma or
/// colon that is none.
fn parsed(property: &str, text: &str) -> Result<Vec<(String, String)>, Problem> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut pairs = Vec::new();
    let (mut key, mut word) = (None, String::new());
    let mut characters = text.chars().peekable();
    loop {
        match characters.next() {
            Some('\\') if matches!(characters.peek(), Some(',' | ':')) => word.extend(characters.next()),
            Some(':') => key = Some(std::mem::take(&mut word)),
            end @ (Some(',') | None) => {
                let Some(name) = key.take() else {
                    return refused(format!(
                        "{property}: '{}' is no KEY:VALUE, and Spark refuses the whole list",
                        volume_labels::cleaned(&word)
                    ));
                };
                pairs.push((name, std::mem::take(&mut word)));
                if end.is_none() {
                    return Ok(pairs);
                }
            }
            Some(c) => word.push(c),
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace(',', "\\,").replace(':', "\\:")
}
