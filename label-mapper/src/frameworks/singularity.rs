//! Singularity: deploys (labels, containers) and requests (instances, placement), alone or in one object.

use super::docker::Place;
use super::json::{Labels, Placement, Unit, name_of, natives, read_labels};
use super::{Channel, DOCKER_ENGINE, Problem, Task, native, refused};
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
    for (instance, list) in deploy
        .get("mesosTaskLabels")
        .map(Node::entries)
        .unwrap_or_default()
        .iter()
        .map(|e| (&e.key, &e.value))
    {
        if list
            .elements()
            .iter()
            .any(|label| label.text_of("key").is_some_and(|key| key.starts_with("volume.")))
        {
            notes.push(format!(
                "the labels of instance {instance} (mesosTaskLabels) are left as they are, unresolved"
            ));
        }
    }
    let volumes = at.keys(&["containerInfo", "volumes"]);
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
            indexed: false,
            lands: "TaskInfo.labels",
            channel,
            labels: read_labels(text, &labels)?,
            native: natives(text, &volumes, native::singularity_source),
            notes,
        },
        labels,
        placement,
        resources: None,
        native: Some(Place::SingularitySource(volumes)),
        extra: Vec::new(),
    })
}
