//! Singularity: deploys (labels, containers) and requests (instances, placement), alone or in one
//! object.

use super::docker::Place;
use super::json::{Labels, Placement, Unit, name_of, read_labels};
use super::native::{self, OwnWords};
use super::{Channel, DOCKER_ENGINE, Names, Problem, Task, dvdi, parameters, refused};
use crate::text::{JsonText, Node, Path};

pub(super) fn units(text: &JsonText) -> Result<Vec<Unit>, Problem> {
    let root = text.root();
    let inside = |key: &str| {
        root.get(key)
            .filter(|node| node.is_map())
            .map(|_| Path::default().key(key))
    };
    let deploy = inside("deploy").or_else(|| root.text_of("requestId").map(|_| Path::default()));
    let request = inside("request").or_else(|| root.text_of("requestType").map(|_| Path::default()));
    let Some(at) = deploy else {
        return match request {
            Some(_) => refused(
                "this is a request alone; labels belong to its deploy, put both in one object: {\"request\": .., \"deploy\": ..}",
            ),
            None => refused("no 'requestId' and no 'deploy', so this is no Singularity deploy"),
        };
    };
    Ok(vec![unit(text, &at, request.as_ref())?])
}

fn unit(text: &JsonText, at: &Path, request: Option<&Path>) -> Result<Unit, Problem> {
    let Some(deploy) = text.at(at).filter(|node| node.is_map()) else {
        return refused(format!("{at} is no deploy"));
    };
    let container = deploy.get("containerInfo");
    let docker = container.and_then(|container| container.text_of("type")) == Some("DOCKER");
    let executor = deploy
        .text_of("customExecutorCmd")
        .filter(|command| !command.is_empty());
    // `labels` is the old form of `mesosLabels`; a deploy may have one of them.
    let labels = if deploy.get("labels").is_some_and(Node::is_map) && deploy.get("mesosLabels").is_none() {
        Labels::Map(at.key("labels"))
    } else {
        Labels::Pairs(at.key("mesosLabels"), "key", "value")
    };
    let mut notes = Vec::new();
    let channel = match (docker, executor) {
        (_, Some(executor)) => {
            notes.push(format!(
                "its executor '{}' is launched with the label taskId alone: nothing is mounted; deploy a 'command' without \
                 customExecutorCmd",
                volume_labels::cleaned(executor)
            ));
            Channel::Nothing
        }
        (true, None) => {
            notes.push(DOCKER_ENGINE.to_owned());
            Channel::DockerEngine
        }
        (false, None) => Channel::Labels,
    };
    let volumes = at.keys(&["containerInfo", "volumes"]);
    let mut words = own_words(text, at, docker)?;
    words.unread.extend(labels_of_instances(deploy));
    if request.is_none() && words.native.iter().any(|volume| volume.name.is_per_copy()) {
        notes.push(
            "how many instances there are is in the request: only the volume of the first is looked up; put both in one \
             object: {\"request\": .., \"deploy\": ..}"
                .to_owned(),
        );
    }
    let request_node = request.and_then(|path| text.at(path));
    let placement = match (request, request_node) {
        (Some(path), Some(node)) => {
            // Later releases say agent and still take slave.
            let new = node.get("requiredAgentAttributes").is_some();
            Placement::Attributes(path.key(if new {
                "requiredAgentAttributes"
            } else {
                "requiredSlaveAttributes"
            }))
        }
        _ => Placement::Elsewhere(
            "placement belongs to the request ('requiredSlaveAttributes'); put both in \
             one object to have it written: {\"request\": .., \"deploy\": ..}",
        ),
    };
    Ok(Unit {
        task: Task {
            name: name_of(text, at, "requestId"),
            copies: request_node.and_then(|node| node.number_of("instances")).unwrap_or(1),
            names: Names::AsWritten,
            lands: "TaskInfo.labels",
            channel,
            labels: read_labels(text, &labels)?,
            native: words.native,
            unread: words.unread,
            notes,
        },
        labels,
        placement,
        resources: None,
        native: Some(Place::SingularitySource(volumes)),
        extra: Vec::new(),
    })
}

fn own_words(text: &JsonText, at: &Path, docker: bool) -> Result<OwnWords, Problem> {
    let mut words = OwnWords::default();
    let channel = if docker {
        Channel::DockerEngine
    } else {
        Channel::DockerVolume
    };
    words.each(text, &at.keys(&["containerInfo", "volumes"]), |words, at, volume| {
        native::singularity(words, at, volume, channel);
    });
    let engine = at.keys(&["containerInfo", "docker"]);
    // A map is the old form of the list, and a deploy may have both.
    let mut given = parameters::of_map(text, &engine.key("parameters"));
    given.extend(parameters::of_list(text, &engine.key("dockerParameters"), "key"));
    parameters::read(&mut words, &given, docker);
    let mut environments = vec![at.key("env")];
    let instances = at.key("taskEnv");
    let entries = text.at(&instances).map(Node::entries).unwrap_or_default();
    environments.extend(entries.iter().map(|entry| instances.key(&entry.key)));
    for (index, environment) in environments.iter().enumerate() {
        let variables = dvdi::of_map(text, environment);
        let first = words.native.len();
        match docker {
            true => words.unread.extend(dvdi::unused(&variables)),
            false => dvdi::read(&mut words, &variables)?,
        }
        for volume in words.native.iter_mut().skip(first).filter(|_| index > 0) {
            volume.stays = Some("it belongs to one instance (taskEnv), and labels belong to all of them".to_owned());
        }
    }
    Ok(words)
}

/// Labels of single instances: lists of `key` and `value` in `mesosTaskLabels`, and objects in the
/// old
/// `taskLabels`.
fn labels_of_instances(deploy: &Node) -> Vec<String> {
    let is_ours = |labels: &Node| {
        let listed = labels.elements().iter().filter_map(|label| label.text_of("key"));
        let mapped = labels.entries().iter().map(|entry| entry.key.as_str());
        listed.chain(mapped).any(|key| key.starts_with("volume."))
    };
    let mut lines = Vec::new();
    for member in ["mesosTaskLabels", "taskLabels"] {
        let instances = deploy.get(member).map(Node::entries).unwrap_or_default();
        for entry in instances.iter().filter(|entry| is_ours(&entry.value)) {
            lines.push(format!(
                "the labels of instance {} ({member}) are left as they are, unresolved",
                entry.key
            ));
        }
    }
    lines
}
