//! Definitions written in JSON: a framework's module says where things are, and this reads and
//! edits them there.

use serde_json::{Value, json};
use volume_labels::VolumeLabels;

use super::docker::{self, Place};
use super::{Additions, Channel, Definition, Problem, Task, Zone, dvdi, refused};
use crate::mapping::EBS_VOLUMES;
use crate::text::{JsonText, Path};

/// Where a task keeps its labels.
#[derive(Clone, Debug)]
pub(super) enum Labels {
    /// An object, key to value.
    Map(Path),
    /// A list of objects, each with these two members.
    Pairs(Path, &'static str, &'static str),
    /// `DVDI_VOLUME_*` variables in one of the two; the inner value says in which.
    Dvdi(Box<Labels>),
}

/// How a task is tied to agents with an attribute.
#[derive(Clone, Debug)]
pub(super) enum Placement {
    /// Rows `[attribute, operator, value]`, with the operator that asks for a value.
    Rows(Path, &'static str),
    /// Objects of `fieldName`, `operator`, `value`.
    Fields(Path),
    /// An object, attribute to value.
    Attributes(Path),
    /// Not here, for this reason.
    Elsewhere(&'static str),
}

/// One task of a definition and where its parts are.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) task: Task,
    pub(super) labels: Labels,
    pub(super) placement: Placement,
    /// The list of resources, when the framework lets a task hold items of a SET.
    pub(super) resources: Option<Path>,
    /// Where volumes in the framework's own fields go.
    pub(super) native: Option<Place>,
    /// What the author must know once volumes are written.
    pub(super) extra: Vec<String>,
}

pub(super) type Units = fn(&JsonText) -> Result<Vec<Unit>, Problem>;

/// A definition in JSON.
pub(super) struct Json {
    text: JsonText,
    units: Units,
}

impl Json {
    pub(super) fn read(text: &str, units: Units) -> Result<Self, Problem> {
        let text = JsonText::parse(text)?;
        units(&text)?;
        Ok(Self { text, units })
    }

    fn unit(&self, task: usize) -> Result<Unit, Problem> {
        match (self.units)(&self.text)?.into_iter().nth(task) {
            Some(unit) => Ok(unit),
            None => refused(format!("the definition has no task {task}")),
        }
    }
}

impl Definition for Json {
    fn text(&self) -> &str {
        self.text.text()
    }

    fn tasks(&self) -> Result<Vec<Task>, Problem> {
        Ok((self.units)(&self.text)?.into_iter().map(|unit| unit.task).collect())
    }

    fn write(&mut self, task: usize, additions: &Additions<'_>) -> Result<Vec<String>, Problem> {
        let unit = self.unit(task)?;
        let mut notes = unit.extra.clone();
        match unit.task.channel {
            Channel::DockerEngine | Channel::DockerVolume => {
                write_labels(&mut self.text, &unit.labels, additions.volumes)?;
                if unit.task.channel == Channel::DockerEngine {
                    let native = unit.task.native.iter().filter_map(|native| native.driver.clone());
                    let asked = additions
                        .volumes
                        .iter()
                        .map(|volume| docker::driver(volume, additions.default_driver));
                    docker::one_driver(&native.map(Ok).chain(asked).collect::<Result<Vec<_>, _>>()?)?;
                }
                if let Some(place) = &unit.native {
                    notes.extend(docker::write(&mut self.text, place, additions)?);
                }
            }
            Channel::Labels | Channel::Environment | Channel::Nothing => {
                write_labels(&mut self.text, &unit.labels, additions.volumes)?;
            }
        }
        if let Some(zone) = additions.zone {
            notes.extend(write_zone(&mut self.text, &unit.placement, zone)?);
        }
        match &unit.resources {
            Some(resources) => write_claims(&mut self.text, resources, additions)?,
            None if additions.claims.is_empty() => {}
            None => notes.push(format!(
                "this framework lets no task hold items of '{EBS_VOLUMES}' ({}): agents with require_claim refuse it, and \
                 nothing but the storage keeps a second task off the volume",
                additions.claims.join(", ")
            )),
        }
        Ok(notes)
    }

    fn drop_native(&mut self, task: usize, which: &[usize]) -> Result<(), Problem> {
        let unit = self.unit(task)?;
        let natives = which.iter().filter_map(|index| unit.task.native.get(*index));
        let mut paths: Vec<Path> = natives.flat_map(|native| native.at.clone()).collect();
        // From the last on: taking an element away moves those behind it.
        paths.sort_by_key(|path| std::cmp::Reverse(path.place()));
        for path in &paths {
            self.text.remove(path);
        }
        Ok(())
    }

    fn write_native(&mut self, task: usize, additions: &Additions<'_>) -> Result<Vec<String>, Problem> {
        let unit = self.unit(task)?;
        let Some(place) = &unit.native else {
            return refused("this framework has no words of its own for an external volume");
        };
        let notes = docker::write(&mut self.text, place, additions)?;
        docker::complete(&mut self.text, place)?;
        remove_labels(&mut self.text, &unit.labels);
        Ok(notes)
    }
}

/// The labels of the definition; a value that is no text is taken as spelled.
pub(super) fn read_labels(text: &JsonText, labels: &Labels) -> Result<Vec<(String, String)>, Problem> {
    let pairs = match labels {
        Labels::Map(path) => {
            let entries = text.at(path).map(|node| node.entries()).unwrap_or_default();
            entries
                .iter()
                .filter_map(|entry| Some((entry.key.clone(), entry.value.scalar()?.to_owned())))
                .collect()
        }
        Labels::Pairs(path, key, value) => {
            let elements = text.at(path).map(|node| node.elements()).unwrap_or_default();
            elements
                .iter()
                .filter_map(|element| {
                    Some((
                        element.text_of(key)?.to_owned(),
                        element.get(value)?.scalar()?.to_owned(),
                    ))
                })
                .collect()
        }
        Labels::Dvdi(inner) => dvdi::to_labels(&read_labels(text, inner)?)?,
    };
    Ok(pairs)
}

fn write_labels(text: &mut JsonText, labels: &Labels, volumes: &[VolumeLabels]) -> Result<(), Problem> {
    let (place, pairs) = match labels {
        Labels::Dvdi(inner) => {
            let existing = read_labels(text, inner)?;
            (inner.as_ref(), dvdi::from_volumes(volumes, &existing)?)
        }
        plain => (plain, volumes.iter().flat_map(VolumeLabels::to_labels).collect()),
    };
    let existing = read_labels(text, place)?;
    for (key, value) in pairs {
        if existing.iter().any(|(known, same)| *known == key && *same == value) {
            continue;
        }
        match place {
            Labels::Map(path) => text.set(&path.key(&key), &Value::from(value))?,
            Labels::Pairs(path, name, content) => match pair_index(text, path, name, &key) {
                Some(index) => text.set(&path.index(index).key(content), &Value::from(value))?,
                None => text.push(path, &json!({*name: key, *content: value}))?,
            },
            Labels::Dvdi(_) => {}
        }
    }
    Ok(())
}

fn pair_index(text: &JsonText, path: &Path, name: &str, key: &str) -> Option<usize> {
    text.at(path)?
        .elements()
        .iter()
        .position(|element| element.text_of(name) == Some(key))
}

fn remove_labels(text: &mut JsonText, labels: &Labels) {
    let ours = |key: &str| key.starts_with("volume.") || key.starts_with("DVDI_VOLUME_");
    match labels {
        Labels::Map(path) => {
            let entries = text.at(path).map(|node| node.entries()).unwrap_or_default();
            let keys: Vec<String> = entries.iter().map(|e| e.key.clone()).filter(|key| ours(key)).collect();
            for key in keys {
                text.remove(&path.key(&key));
            }
        }
        Labels::Pairs(path, name, _) => {
            let elements = text.at(path).map(|node| node.elements()).unwrap_or_default();
            let found = elements
                .iter()
                .enumerate()
                .filter(|(_, e)| e.text_of(name).is_some_and(ours));
            let places: Vec<usize> = found.map(|(index, _)| index).collect();
            for index in places.into_iter().rev() {
                text.remove(&path.index(index));
            }
        }
        Labels::Dvdi(inner) => remove_labels(text, inner),
    }
}

fn write_zone(text: &mut JsonText, placement: &Placement, zone: Zone<'_>) -> Result<Option<String>, Problem> {
    let domain = zone.attribute.starts_with('@');
    match placement {
        Placement::Rows(path, operator) => {
            // Marathon is the one of them that knows fault domains, by an operator of their own.
            let operator = match (domain, *operator) {
                (true, "CLUSTER") => "IS",
                (true, _) => return no_domain(zone),
                (false, operator) => operator,
            };
            let rows = text.at(path).map(|node| node.elements()).unwrap_or_default();
            let row = |node: &crate::text::Node| -> Vec<String> {
                node.elements()
                    .iter()
                    .map(|e| e.scalar().unwrap_or_default().to_owned())
                    .collect()
            };
            for row in rows.iter().map(row) {
                let known: Vec<&str> = row.iter().map(String::as_str).collect();
                if pinned(&known, zone)? {
                    return Ok(None);
                }
            }
            text.push(path, &json!([zone.attribute, operator, zone.name]))?;
        }
        Placement::Fields(path) => {
            let operator = if domain { "IS" } else { "CLUSTER" };
            let fields = text.at(path).map(|node| node.elements()).unwrap_or_default();
            for field in fields {
                let of = |key| field.text_of(key).unwrap_or_default();
                if pinned(&[of("fieldName"), of("operator"), of("value")], zone)? {
                    return Ok(None);
                }
            }
            text.push(
                path,
                &json!({"fieldName": zone.attribute, "operator": operator, "value": zone.name}),
            )?;
        }
        Placement::Attributes(_) if domain => return no_domain(zone),
        Placement::Attributes(path) => {
            match text.at(path).and_then(|node| node.text_of(zone.attribute)) {
                Some(known) if known == zone.name => return Ok(None),
                Some(known) => return other_zone(known, zone),
                None => text.set(&path.key(zone.attribute), &Value::from(zone.name))?,
            };
        }
        Placement::Elsewhere(reason) => {
            return Ok(Some(format!("the volumes are in zone {}: {reason}", zone.name)));
        }
    }
    Ok(None)
}

/// Whether this constraint ties the task to the zone already.
///
/// # Errors
/// It ties the task to another one.
pub(super) fn pinned(row: &[&str], zone: Zone<'_>) -> Result<bool, Problem> {
    match row {
        [attribute, "CLUSTER" | "IS" | "EQUALS", value] if *attribute == zone.attribute && !value.is_empty() => {
            if *value == zone.name {
                Ok(true)
            } else {
                other_zone(value, zone)
            }
        }
        _ => Ok(false),
    }
}

pub(super) fn other_zone<T>(known: &str, zone: Zone<'_>) -> Result<T, Problem> {
    refused(format!(
        "its constraint ties it to {} '{}', and its volumes are in '{}': remove the constraint or take volumes of that zone",
        zone.attribute,
        volume_labels::cleaned(known),
        zone.name
    ))
}

pub(super) fn no_domain<T>(zone: Zone<'_>) -> Result<T, Problem> {
    refused(format!(
        "this framework has no constraint on fault domains ('{}'): give the agents an attribute with their zone, and its \
         name as --zone-attribute",
        zone.attribute
    ))
}

fn write_claims(text: &mut JsonText, path: &Path, additions: &Additions<'_>) -> Result<(), Problem> {
    let resources = text.at(path).map(|node| node.elements()).unwrap_or_default();
    let is_ours = |node: &crate::text::Node| {
        let role = node
            .get("reservations")
            .and_then(|list| list.elements().last())
            .and_then(|last| last.text_of("role"));
        node.text_of("name") == Some(EBS_VOLUMES) && role == additions.claim_role
    };
    let held = resources.iter().position(is_ours);
    let items = |index: usize| path.index(index).keys(&["set", "item"]);
    let known: Vec<String> = held
        .and_then(|index| text.at(&items(index)))
        .map(|list| {
            list.elements()
                .iter()
                .filter_map(|e| e.text().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default();
    let allocation = resources
        .first()
        .and_then(|first| first.get("allocation_info"))
        .map(|node| text.value_of(node));
    let missing: Vec<&String> = additions.claims.iter().filter(|claim| !known.contains(claim)).collect();
    match held {
        Some(index) => {
            for claim in missing {
                text.push(&items(index), &Value::from(claim.as_str()))?;
            }
        }
        None if missing.is_empty() => {}
        None => {
            let mut resource = json!({"name": EBS_VOLUMES, "type": "SET", "set": {"item": additions.claims}});
            if let Some(role) = additions.claim_role {
                resource["reservations"] = json!([{"type": "STATIC", "role": role}]);
            }
            if let Some(allocation) = allocation {
                resource["allocation_info"] = allocation;
            }
            text.push(path, &resource)?;
        }
    }
    Ok(())
}

/// The elements to look at: those of a list, or the object itself.
pub(super) fn each(text: &JsonText, at: &Path) -> Vec<Path> {
    match text.at(at) {
        Some(node) if node.is_list() => (0..node.elements().len()).map(|index| at.index(index)).collect(),
        Some(_) => vec![at.clone()],
        None => Vec::new(),
    }
}

/// The name for messages: this member's text, else the place.
pub(super) fn name_of(text: &JsonText, at: &Path, key: &str) -> String {
    let name = text.at(at).and_then(|node| node.text_of(key));
    name.map_or_else(|| at.to_string(), volume_labels::cleaned)
}
