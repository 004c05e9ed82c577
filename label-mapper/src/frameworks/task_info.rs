//! Mesos' own `TaskInfo` as JSON: the one form in which a task holds items of the SET resource.

use super::docker::Place;
use super::json::{Labels, Placement, Unit, each, name_of, read_labels};
use super::native::{self, OwnWords};
use super::{Channel, DOCKER_ENGINE, Names, Problem, Task, dvdi, parameters, refused};
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
    }
    let volumes = owner.keys(&["container", "volumes"]);
    let mut words = own_words(text, &owner, docker)?;
    let own = own_words(text, at, docker)?;
    let kind = node.get("executor").and_then(|executor| executor.text_of("type"));
    if kind == Some("DEFAULT") {
        // The default executor runs each task in a container of its own, with its own volumes.
        words.native.extend(own.native.into_iter().map(|mut volume| {
            volume.stays = Some("it belongs to one task of the executor, and labels belong to all of them".to_owned());
            volume
        }));
        words.unread.extend(own.unread);
    } else if executor && !own.is_empty() {
        words.unread(
            "the volumes of the task's own container and command were not read: its executor's are what the agent mounts".to_owned(),
        );
    }
    let labelled = read_labels(text, &list(at))?;
    if executor && labelled.iter().any(|(key, _)| key.starts_with("volume.")) {
        words.unread("the task's own volume labels are not seen by the isolator: write them at its executor");
    }
    persistent(text, at, &mut words);
    let named = node.get("task_id").and_then(|id| id.text_of("value"));
    Ok(Unit {
        task: Task {
            name: named
                .or_else(|| node.get("name").and_then(Node::text))
                .map_or_else(|| name_of(text, at, "name"), volume_labels::cleaned),
            copies: 1,
            names: Names::AsWritten,
            lands: if executor {
                "ExecutorInfo.labels"
            } else {
                "TaskInfo.labels"
            },
            channel: if docker { Channel::DockerEngine } else { Channel::Labels },
            labels: read_labels(text, &labels)?,
            native: words.native,
            unread: words.unread,
            notes,
        },
        labels,
        placement: Placement::Elsewhere("a TaskInfo has no constraint; launch it on an offer of an agent in that zone"),
        resources: Some(at.key("resources")),
        native: Some(Place::Source(volumes)),
        extra: Vec::new(),
    })
}

/// Of a task, or of its executor: `container` and the variables of `command`.
fn own_words(text: &JsonText, at: &Path, docker: bool) -> Result<OwnWords, Problem> {
    let mut words = OwnWords::default();
    let channel = if docker {
        Channel::DockerEngine
    } else {
        Channel::DockerVolume
    };
    let engine = at.keys(&["container", "docker"]);
    let driver = text.at(&engine).and_then(|node| node.text_of("volume_driver"));
    words.each(text, &at.keys(&["container", "volumes"]), |words, at, volume| {
        native::mesos(words, at, volume, channel, driver);
    });
    parameters::read(
        &mut words,
        &parameters::of_list(text, &engine.key("parameters"), "key"),
        docker,
    );
    let variables = dvdi::of_list(text, &at.keys(&["command", "environment", "variables"]));
    match docker {
        true => words.unread.extend(dvdi::unused(&variables)),
        false => dvdi::read(&mut words, &variables)?,
    }
    Ok(words)
}

/// Persistent volumes are resources: disks with a path.
fn persistent(text: &JsonText, at: &Path, words: &mut OwnWords) {
    let resources = at.key("resources");
    for (index, resource) in text
        .at(&resources)
        .map(Node::elements)
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let volume = resource.get("disk").and_then(|disk| disk.get("volume"));
        if let Some(path) = volume.and_then(|volume| volume.text_of("container_path")) {
            let what = "it is a persistent volume of Mesos, on a disk of the agent, not a volume of a driver";
            words.foreign(&resources.index(index), path, what);
        }
    }
}
