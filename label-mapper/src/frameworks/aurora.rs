//! Aurora: a job as JSON. Its metadata become labels of the task, prefixed; the executor, Thermos,
//! is a custom one, and the isolator sees labels of that only.

use super::docker::Place;
use super::json::{Labels, Placement, Unit, name_of, read_labels};
use super::native::{OwnWords, host_folder};
use super::{Channel, DOCKER_ENGINE, Names, Problem, Task, parameters as docker_parameters, refused};
use crate::text::{JsonText, Path};

/// The text, unless it is Python.
pub(super) fn only_json(text: &str) -> Result<&str, Problem> {
    if text.trim_start().starts_with(['{', '[']) {
        return Ok(text);
    }
    refused(
        "an .aurora file is a Python program, whose jobs exist once it has run; convert the job as JSON ('aurora job create \
         --read-json' takes it), or write what 'label-mapper resolve' prints into the program: \
         metadata = [Metadata(key = 'volume.data', value = 'vol-7bca078f')], constraints = {'zone': 'us-east-1a'}",
    )
}

pub(super) fn units(text: &JsonText) -> Result<Vec<Unit>, Problem> {
    let jobs = if text.root().get("jobs").is_some() {
        Path::default().key("jobs")
    } else {
        Path::default()
    };
    super::json::each(text, &jobs).iter().map(|at| job(text, at)).collect()
}

fn job(text: &JsonText, at: &Path) -> Result<Unit, Problem> {
    let Some(node) = text
        .at(at)
        .filter(|node| node.get("task").is_some() && node.text_of("role").is_some())
    else {
        return refused(format!("{at} has no 'task' and 'role', so it is no Aurora job"));
    };
    // `Container(docker = Docker(..))` and `Docker(..)` itself look different in JSON; only Docker's image is a text.
    let container = node.get("container");
    let nested = container.is_some_and(|container| container.get("docker").is_some());
    let docker = nested || container.is_some_and(|container| container.text_of("image").is_some());
    let parameters = if nested {
        at.keys(&["container", "docker", "parameters"])
    } else {
        at.keys(&["container", "parameters"])
    };
    let labels = Labels::Pairs(at.key("metadata"), "key", "value");
    let mut words = OwnWords::default();
    docker_parameters::read(
        &mut words,
        &docker_parameters::of_list(text, &parameters, "name"),
        docker,
    );
    // `Mesos(image = .., volumes = [Volume(..)])` of the client's schema: folders of the host.
    for list in [
        at.keys(&["container", "volumes"]),
        at.keys(&["container", "mesos", "volumes"]),
    ] {
        words.each(text, &list, |words, at, volume| {
            let of = |one: &str, other: &str| {
                volume
                    .text_of(one)
                    .or_else(|| volume.text_of(other))
                    .unwrap_or_default()
            };
            let folder = host_folder(of("host_path", "hostPath"));
            words.foreign(at, of("container_path", "containerPath"), folder);
        });
    }
    words.leave_templates("{{", "it is a template of the job's configuration");
    let (channel, note) = if docker {
        (
            Channel::DockerEngine,
            format!("{DOCKER_ENGINE}; Aurora passes the parameters on with -allow_docker_parameters only"),
        )
    } else {
        (
            Channel::Nothing,
            "Aurora runs tasks by its own executor, Thermos: the isolator sees that one's labels, which Aurora does not set \
             from the metadata, and nothing is mounted; the labels only show people and the claim ledger which volume is meant"
                .to_owned(),
        )
    };
    Ok(Unit {
        task: Task {
            name: name_of(text, at, "name"),
            copies: node.number_of("instances").unwrap_or(1),
            names: Names::AsWritten,
            lands: "TaskInfo.labels, prefixed org.apache.aurora.metadata.",
            channel,
            labels: read_labels(text, &labels)?,
            native: words.native,
            unread: words.unread,
            notes: vec![note],
        },
        labels,
        placement: Placement::Attributes(at.key("constraints")),
        resources: None,
        native: docker.then_some(Place::Parameters(parameters, "name")),
        extra: Vec::new(),
    })
}
