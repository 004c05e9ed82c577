//! dcos-commons: a service's YAML, filled in or still a Mustache template.
//!
//! Its pods run under the default executor, whose labels it does not set; a task's own labels reach no isolator. What does
//! is `external-volumes`: a DOCKER_VOLUME of the container. The pod's index is appended to the volume's name.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use volume_labels::Mode;

use super::json::pinned;
use super::{Channel, DOCKER_VOLUME, Definition, Native, Problem, Task, Wanted, Zone, docker, refused};
use crate::mapping::EBS_VOLUMES;
use crate::text::{Node, Path, YamlText, path, quoted};

/// One service.
pub(super) struct Service {
    yaml: YamlText,
}

impl Service {
    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        let yaml = YamlText::parse(text)?;
        if yaml.at(&path(&["pods"])).is_none_or(|pods| !pods.is_map()) {
            return refused("the service has no 'pods'");
        }
        Ok(Self { yaml })
    }

    fn pods(&self) -> Vec<Path> {
        let pods = path(&["pods"]);
        let entries = self.yaml.at(&pods).map(Node::entries).unwrap_or_default();
        entries.iter().map(|entry| pods.key(&entry.key)).collect()
    }

    fn pod(&self, at: &Path) -> Result<Task, Problem> {
        let mut notes = vec![DOCKER_VOLUME.to_owned()];
        let count = at.key("count");
        let copies = self
            .yaml
            .scalar(&count)
            .and_then(|count| count.parse().ok())
            .unwrap_or(1);
        if self.yaml.at(&count).is_some_and(|node| self.yaml.is_template(node)) {
            notes.push("its count is a template: only the volume of its first pod is looked up".to_owned());
        }
        let mut native = Vec::new();
        let volumes = at.key("external-volumes");
        for entry in self.yaml.at(&volumes).map(Node::entries).unwrap_or_default() {
            match self.native(&volumes.key(&entry.key), at) {
                Some(volume) => native.push(volume),
                None => notes.push(format!(
                    "the name of its volume '{}' is a template and was not looked up",
                    entry.key
                )),
            }
        }
        Ok(Task {
            name: at.split_last().map_or_else(String::new, |(_, step)| match step {
                crate::text::Step::Key(key) => volume_labels::cleaned(key),
                crate::text::Step::Index(index) => index.to_string(),
            }),
            copies,
            indexed: true,
            lands: "TaskInfo.labels of the pod's tasks",
            channel: Channel::DockerVolume,
            labels: self.labels(at, &mut notes)?,
            native,
            notes,
        })
    }

    /// The labels of all the pod's tasks together: they share its volumes.
    fn labels(&self, at: &Path, notes: &mut Vec<String>) -> Result<Vec<(String, String)>, Problem> {
        let tasks = at.key("tasks");
        let mut labels = Vec::new();
        for task in self.yaml.at(&tasks).map(Node::entries).unwrap_or_default() {
            let place = tasks.keys(&[&task.key, "labels"]);
            let Some(node) = self.yaml.at(&place) else { continue };
            if self.yaml.is_template(node) {
                notes.push(format!(
                    "the labels of its task '{}' are a template and were not read",
                    task.key
                ));
                continue;
            }
            for pair in node
                .scalar()
                .unwrap_or_default()
                .split(',')
                .filter(|pair| !pair.trim().is_empty())
            {
                let Some((key, value)) = pair.split_once(':') else {
                    return refused(format!("{place}: '{}' is no KEY:VALUE", volume_labels::cleaned(pair)));
                };
                labels.push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Ok(labels)
    }

    fn native(&self, at: &Path, pod: &Path) -> Option<Native> {
        let of = |key: &str| self.yaml.scalar(&at.key(key));
        let template = |key: &str| {
            self.yaml
                .at(&at.key(key))
                .is_some_and(|node| self.yaml.is_template(node))
        };
        let path = of("container-path");
        let name = match of("volume-name") {
            Some(name) => name.to_owned(),
            None if template("volume-name") || template("container-path") => return None,
            None => {
                let (_, crate::text::Step::Key(pod)) = pod.split_last()? else {
                    return None;
                };
                let service = self.yaml.scalar(&crate::text::path(&["name"]))?;
                path.map_or_else(|| format!("{service}_{pod}"), |path| format!("{service}_{pod}-{path}"))
            }
        };
        let options: BTreeMap<String, String> = of("driver-options")
            .unwrap_or_default()
            .split(';')
            .filter_map(|option| option.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Some(Native {
            at: at.clone(),
            name,
            driver: of("driver-name").map(str::to_owned),
            path: path.unwrap_or_default().to_owned(),
            read_only: of("volume-mode") == Some("RO"),
            options,
            foreign: None,
        })
    }

    fn write_volumes(&mut self, at: &Path, wanted: &Wanted<'_>) -> Result<(), Problem> {
        let place = at.key("external-volumes");
        for volume in wanted.volumes {
            docker::cannot_say(volume)?;
            let driver = docker::driver(volume, wanted.default_driver)?;
            let target = volume.path.to_string();
            let existing = self.yaml.at(&place).map(Node::entries).unwrap_or_default();
            let same_path = existing
                .iter()
                .find(|entry| self.yaml.scalar(&place.keys(&[&entry.key, "container-path"])) == Some(target.as_str()));
            if let Some(entry) = same_path {
                let name = self.yaml.scalar(&place.keys(&[&entry.key, "volume-name"]));
                if name == Some(volume.name.as_str()) {
                    continue;
                }
                return refused(format!(
                    "{place} has another volume at '{target}' already ('{}'): take it out, or give 'volume.{}.path' another value",
                    entry.key, volume.slot
                ));
            }
            let mode = if volume.mode == Mode::ReadOnly { "RO" } else { "RW" };
            let mut lines = vec![
                format!("{}:", quoted(volume.slot.as_str())),
                "  type: DOCKER".to_owned(),
                format!("  driver-name: {}", quoted(&driver)),
                format!("  volume-name: {}", quoted(&volume.name)),
                format!("  volume-mode: {mode}"),
                format!("  container-path: {}", quoted(&target)),
            ];
            if !volume.options.is_empty() {
                let options: Vec<String> = volume
                    .options
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                lines.push(format!("  driver-options: {}", quoted(&options.join(";"))));
            }
            match existing.first().map(|entry| entry.key.clone()) {
                Some(_) if self.yaml.sections(&place) != self.yaml.sections(at) => {
                    return refused(format!(
                        "{place} stands in a section of the template ('{{{{#..}}}}'), and a volume added there would come and go with \
                         it: fill the template in first, or add 'volume.{}' by hand",
                        volume.slot
                    ));
                }
                Some(first) => self.yaml.insert(&place, &first, &lines)?,
                None => {
                    let mut block = vec!["external-volumes:".to_owned()];
                    block.extend(lines.iter().map(|line| format!("  {line}")));
                    self.insert(at, &block)?;
                }
            }
        }
        Ok(())
    }

    /// Lines of the pod, in front of its tasks.
    fn insert(&mut self, at: &Path, lines: &[String]) -> Result<(), Problem> {
        let tasks = at.key("tasks");
        if self.yaml.at(&tasks).is_none() {
            return refused(format!("{at} has no 'tasks'"));
        }
        if self.yaml.sections(&tasks) != self.yaml.sections(at) {
            return refused(format!(
                "{tasks} stands in a section of the template ('{{{{#..}}}}'): fill the template in first"
            ));
        }
        Ok(self.yaml.insert(at, "tasks", lines)?)
    }

    fn write_zone(&mut self, at: &Path, zone: Zone<'_>) -> Result<Option<String>, Problem> {
        let place = at.key("placement");
        let operator = if zone.attribute.starts_with('@') {
            "IS"
        } else {
            "CLUSTER"
        };
        let row = json!([zone.attribute, operator, zone.name]);
        let Some(node) = self.yaml.at(&place) else {
            self.insert(at, &[format!("placement: '{}'", json!([row]))])?;
            return Ok(None);
        };
        let by_hand = |why: &str| {
            Ok(Some(format!(
                "its placement is {why}: add {row} to it, the volumes are in {}",
                zone.name
            )))
        };
        if self.yaml.is_template(node) {
            return by_hand("a template");
        }
        if self.yaml.sections(&place) != self.yaml.sections(at) {
            return by_hand("in a section of the template");
        }
        let text = node.scalar().unwrap_or_default().to_owned();
        let mut rows = match serde_json::from_str(&text) {
            _ if text.trim().is_empty() => Vec::new(),
            Ok(Value::Array(rows)) if rows.iter().all(Value::is_array) => rows,
            Ok(Value::Array(row)) if row.iter().all(Value::is_string) => vec![Value::Array(row)],
            _ => return by_hand("not in the form [[attribute, operator, value], ..]"),
        };
        for known in rows.iter().filter_map(Value::as_array) {
            let words: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
            if pinned(&words, zone)? {
                return Ok(None);
            }
        }
        rows.push(row);
        let rendered = format!("'{}'", Value::Array(rows).to_string().replace('\'', "''"));
        self.yaml.replace(&place, &rendered)?;
        Ok(None)
    }
}

impl Definition for Service {
    fn text(&self) -> &str {
        self.yaml.text()
    }

    fn tasks(&self) -> Result<Vec<Task>, Problem> {
        self.pods().iter().map(|at| self.pod(at)).collect()
    }

    fn write(&mut self, task: usize, wanted: &Wanted<'_>) -> Result<Vec<String>, Problem> {
        let Some(at) = self.pods().into_iter().nth(task) else {
            return refused(format!("the service has no pod {task}"));
        };
        self.write_volumes(&at, wanted)?;
        let mut notes = Vec::new();
        if let Some(zone) = wanted.zone {
            notes.extend(self.write_zone(&at, zone)?);
        }
        if !wanted.claims.is_empty() {
            notes.push(format!(
                "dcos-commons takes no items of '{EBS_VOLUMES}' ({}) from an offer: agents with require_claim refuse the task, \
                 and nothing but the storage keeps a second one off the volume",
                wanted.claims.join(", ")
            ));
        }
        Ok(notes)
    }

    fn drop_native(&mut self, _: usize, _: &[usize]) -> Result<(), Problem> {
        refused("labels of dcos-commons reach no isolator: 'external-volumes' is the way, keep it")
    }

    fn write_native(&mut self, _: usize, _: &Wanted<'_>) -> Result<Vec<String>, Problem> {
        refused("the volumes of dcos-commons are in its own words already; 'label-mapper convert' writes them")
    }
}
