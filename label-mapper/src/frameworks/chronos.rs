//! Chronos: jobs. It gives tasks no labels; what reaches the isolator is the command's environment.

use super::docker::Place;
use super::json::{Labels, Placement, Unit, each, name_of, natives, read_labels};
use super::{Channel, DOCKER_ENGINE, ENVIRONMENT, Problem, Task, native, refused};
use crate::text::{JsonText, Path};

pub(super) fn units(text: &JsonText) -> Result<Vec<Unit>, Problem> {
    each(text, &Path::default()).iter().map(|at| job(text, at)).collect()
}

fn job(text: &JsonText, at: &Path) -> Result<Unit, Problem> {
    let Some(node) = text.at(at).filter(|node| node.text_of("name").is_some()) else {
        return refused(format!("{at} has no 'name', so it is no Chronos job"));
    };
    let container = node.get("container");
    let kind = container.map(|container| container.text_of("type").unwrap_or("DOCKER"));
    let docker = kind.is_some_and(|kind| kind.eq_ignore_ascii_case("DOCKER"));
    let custom = node.text_of("executor").is_some_and(|executor| !executor.is_empty());
    let variables = Labels::Pairs(at.key("environmentVariables"), "name", "value");
    let labels = Labels::Dvdi(Box::new(variables));
    let volumes = at.keys(&["container", "volumes"]);
    let (channel, note) = match (docker, custom) {
        (true, _) => (Channel::DockerEngine, DOCKER_ENGINE.to_owned()),
        (false, true) => (
            Channel::Nothing,
            "its own executor is launched without the job's variables: nothing is mounted; run it by the command executor \
             (no 'executor')"
                .to_owned(),
        ),
        (false, false) => (Channel::Environment, ENVIRONMENT.to_owned()),
    };
    let concurrent = node.get("concurrent").and_then(|node| node.scalar()) == Some("true");
    Ok(Unit {
        task: Task {
            name: name_of(text, at, "name"),
            copies: if concurrent { 2 } else { 1 },
            indexed: false,
            lands: "CommandInfo.environment",
            channel,
            labels: read_labels(text, &labels)?,
            native: natives(text, &volumes, native::external),
            notes: vec![note],
        },
        labels,
        placement: Placement::Rows(at.key("constraints"), "EQUALS"),
        resources: None,
        native: docker.then(|| Place::Parameters(at.keys(&["container", "parameters"]), "key")),
        extra: Vec::new(),
    })
}
