//! dcos-commons: a service's YAML, filled in or still a Mustache template.
//!
//! Its pods run under the default executor, whose labels it does not set; a task's own labels reach
//! no isolator. What does is `external-volumes`: a DOCKER_VOLUME of the container. `dcos_names` has
//! the rules for the driver's name of it.

use serde_json::{Value, json};
use volume_labels::Mode;

use super::json::pinned;
use super::{Additions, Channel, Definition, Names, Problem, Task, Zone, dcos_reading, docker, refused};
use crate::mapping::EBS_VOLUMES;
use crate::text::{Node, Path, YamlText, path, quoted};

/// One service.
pub(super) struct Service {
    yaml: YamlText,
}

impl Service {
    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        // A template whose sections break the indentation, or give a key twice, is YAML only once
        // it is filled in.
        let unfilled = |problem: &str| {
            refused(format!(
                "it is a template that cannot be read before it is filled in ({problem}): fill it in first"
            ))
        };
        let yaml = match YamlText::parse(text) {
            Ok(yaml) => yaml,
            Err(error) if text.contains("{{") => return unfilled(&error.to_string()),
            Err(error) => return Err(error.into()),
        };
        let service = Self { yaml };
        let written = text
            .lines()
            .filter(|line| line.trim_start().starts_with("external-volumes:"));
        let pods = service.pods();
        let found = pods
            .iter()
            .filter(|pod| service.yaml.at(&pod.key("external-volumes")).is_some());
        if text.contains("{{") && written.count() > found.count() {
            return unfilled("its sections hide which pod an 'external-volumes' belongs to");
        }
        let Self { yaml } = service;
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
        let mut notes = Vec::new();
        let count = at.key("count");
        let copies = self
            .yaml
            .scalar(&count)
            .and_then(|count| count.parse().ok())
            .unwrap_or(1);
        if self.yaml.at(&count).is_some_and(|node| self.yaml.is_template(node)) {
            notes.push("its count is a template: only the volume of its first pod is looked up".to_owned());
        }
        let mut words = dcos_reading::own_words(&self.yaml, at)?;
        let labels = self.labels(at, &mut words.unread)?;
        Ok(Task {
            name: at.split_last().map_or_else(String::new, |(_, step)| match step {
                crate::text::Step::Key(key) => volume_labels::cleaned(key),
                crate::text::Step::Index(index) => index.to_string(),
            }),
            copies,
            names: Names::DcosCommons,
            lands: "TaskInfo.labels of the pod's tasks",
            channel: Channel::DockerVolume,
            labels,
            native: words.native,
            unread: words.unread,
            notes,
        })
    }

    /// The labels of all the pod's tasks together: they share its volumes.
    fn labels(&self, at: &Path, unread: &mut Vec<String>) -> Result<Vec<(String, String)>, Problem> {
        let tasks = at.key("tasks");
        let mut labels = Vec::new();
        for task in self.yaml.at(&tasks).map(Node::entries).unwrap_or_default() {
            let place = tasks.keys(&[&task.key, "labels"]);
            let Some(node) = self.yaml.at(&place) else { continue };
            if self.yaml.is_template(node) {
                unread.push(format!(
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

    fn write_volumes(&mut self, at: &Path, additions: &Additions<'_>) -> Result<(), Problem> {
        let place = at.key("external-volumes");
        for volume in additions.volumes {
            docker::cannot_say(volume)?;
            let driver = docker::driver(volume, additions.default_driver)?;
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

    fn write(&mut self, task: usize, additions: &Additions<'_>) -> Result<Vec<String>, Problem> {
        let Some(at) = self.pods().into_iter().nth(task) else {
            return refused(format!("the service has no pod {task}"));
        };
        self.write_volumes(&at, additions)?;
        let mut notes = Vec::new();
        if let Some(zone) = additions.zone {
            notes.extend(self.write_zone(&at, zone)?);
        }
        if !additions.claims.is_empty() {
            notes.push(format!(
                "dcos-commons takes no items of '{EBS_VOLUMES}' ({}) from an offer: agents with require_claim refuse the task, \
                 and nothing but the storage keeps a second one off the volume",
                additions.claims.join(", ")
            ));
        }
        Ok(notes)
    }

    fn drop_native(&mut self, _: usize, _: &[usize]) -> Result<(), Problem> {
        refused("labels of dcos-commons reach no isolator: 'external-volumes' is the way, keep it")
    }

    fn write_native(&mut self, _: usize, _: &Additions<'_>) -> Result<Vec<String>, Problem> {
        refused("the volumes of dcos-commons are in its own fields already; 'label-mapper convert' writes them")
    }
}
