//! Mesos' own `TaskInfo` as JSON: the one form in which a task holds items of the SET resource.

use super::docker::Place;
use super::json::{Labels, Placement, Unit, each, name_of, natives, read_labels};
use super::{Channel, DOCKER_ENGINE, Problem, Task, native, refused};
use crate::text::{JsonText, Node, Path};

pub(super) fn units(text: &JsonText) -> Result<Vec<Unit>, Problem> {
    each(text, &Path::default()).iter().map(|at| task(text, at)).collect()
}

fn task(text: &JsonText, at: &Path) -> Result<Unit, Problem> {
    let Some(node) = text
        .at(at)
        .filter(|node| node.get("task_id").is_some() || node.get("resources").is_some())
    else {
        return refused(format!(
            "{at} has neither 'task_id' nor 'resources', so it is no TaskInfo"
        ));
    };
    let executor = node.get("executor").is_some();
    let owner = if executor { at.key("executor") } else { at.clone() };
    let kind = text
        .at(&owner)
        .and_then(|node| node.get("container"))
        .and_then(|container| container.text_of("type"));
    let docker = kind == Some("DOCKER");
    let list = |owner: &Path| Labels::Pairs(owner.keys(&["labels", "labels"]), "key", "value");
    let labels = list(&owner);
    let mut notes = Vec::new();
    if docker {
        notes.push(DOCKER_ENGINE.to_owned());
    }
    if executor {
        notes.push(
            "it has an executor, whose labels the isolator sees in place of the task's: the volume is the executor's and stays \
             as long as that runs, and every other task of the executor must come with exactly these labels of it"
                .to_owned(),
        );
        let own = read_labels(text, &list(at))?;
        if own.iter().any(|(key, _)| key.starts_with("volume.")) {
            notes.push(
                "the task's own volume labels are not seen by the isolator: write them at its executor".to_owned(),
            );
        }
    }
    let volumes = owner.keys(&["container", "volumes"]);
    let named = node.get("task_id").and_then(|id| id.text_of("value"));
    Ok(Unit {
        task: Task {
            name: named
                .or_else(|| node.get("name").and_then(Node::text))
                .map_or_else(|| name_of(text, at, "name"), volume_labels::cleaned),
            copies: 1,
            indexed: false,
            lands: if executor {
                "ExecutorInfo.labels"
            } else {
                "TaskInfo.labels"
            },
            channel: if docker { Channel::DockerEngine } else { Channel::Labels },
            labels: read_labels(text, &labels)?,
            native: natives(text, &volumes, native::mesos_source),
            notes,
        },
        labels,
        placement: Placement::Elsewhere("a TaskInfo has no constraint; launch it on an offer of an agent in that zone"),
        resources: Some(at.key("resources")),
        native: Some(Place::Source(volumes)),
        extra: Vec::new(),
    })
}
