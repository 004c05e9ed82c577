//! Cook: jobs. Their labels are the task's, which the isolator sees of the command executor and not
//! of Cook's own.

use super::docker::Place;
use super::json::{Labels, Placement, Unit, each, read_labels};
use super::native::{OwnWords, host_folder};
use super::{Channel, DOCKER_ENGINE, Names, Problem, Task, dvdi, parameters as docker_parameters, refused};
use crate::text::{JsonText, Node, Path};

pub(super) fn units(text: &JsonText) -> Result<Vec<Unit>, Problem> {
    let jobs = if text.root().get("jobs").is_some() {
        Path::default().key("jobs")
    } else {
        Path::default()
    };
    each(text, &jobs).iter().map(|at| job(text, at)).collect()
}

fn job(text: &JsonText, at: &Path) -> Result<Unit, Problem> {
    let Some(node) = text.at(at).filter(|node| node.text_of("command").is_some()) else {
        return refused(format!("{at} has no 'command', so it is no Cook job"));
    };
    let docker = node.get("container").is_some_and(|container| {
        container
            .text_of("type")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("docker"))
    });
    let labels = Labels::Map(at.key("labels"));
    let mut notes = Vec::new();
    let channel = if docker {
        notes.push(DOCKER_ENGINE.to_owned());
        Channel::DockerEngine
    } else {
        match node.text_of("executor") {
            Some("mesos") => Channel::Labels,
            Some(_) => {
                notes.push(
                    "Cook's own executor carries no label to the isolator: nothing is mounted; set 'executor' to 'mesos'".to_owned(),
                );
                Channel::Nothing
            }
            None => {
                notes.push(
                    "the labels reach the isolator by the command executor only: set 'executor' to 'mesos' where this Cook runs \
                     jobs by its own"
                        .to_owned(),
                );
                Channel::Labels
            }
        }
    };
    let words = own_words(text, at, node, docker)?;
    let name = node
        .text_of("name")
        .or_else(|| node.text_of("uuid"))
        .map_or_else(|| at.to_string(), volume_labels::cleaned);
    Ok(Unit {
        task: Task {
            name,
            copies: 1,
            names: Names::AsWritten,
            lands: "TaskInfo.labels",
            channel,
            labels: read_labels(text, &labels)?,
            native: words.native,
            unread: words.unread,
            notes,
        },
        labels,
        placement: Placement::Rows(at.key("constraints"), "EQUALS"),
        resources: None,
        native: docker.then(|| Place::Parameters(parameters(node, at), "key")),
        extra: Vec::new(),
    })
}

fn parameters(node: &Node, at: &Path) -> Path {
    // Both spellings are in use: with and without the inner object.
    let inner = node
        .get("container")
        .is_some_and(|container| container.get("docker").is_some());
    if inner {
        at.keys(&["container", "docker", "parameters"])
    } else {
        at.keys(&["container", "parameters"])
    }
}

/// Cook's volumes are folders of the host (`Volume` in its `rest/api.clj`); those of drivers are
/// parameters of `docker run`.
fn own_words(text: &JsonText, at: &Path, node: &Node, docker: bool) -> Result<OwnWords, Problem> {
    let mut words = OwnWords::default();
    words.each(text, &at.keys(&["container", "volumes"]), |words, at, volume| {
        let of = |one: &str, other: &str| {
            volume
                .text_of(one)
                .or_else(|| volume.text_of(other))
                .unwrap_or_default()
        };
        let folder = of("host-path", "host_path");
        // Without a path in the container it is the host's.
        let path = Some(of("container-path", "container_path")).filter(|path| !path.is_empty());
        words.foreign(at, path.unwrap_or(folder), host_folder(folder));
    });
    let given = docker_parameters::of_list(text, &parameters(node, at), "key");
    docker_parameters::read(&mut words, &given, docker);
    let variables = dvdi::of_map(text, &at.key("env"));
    match docker {
        true => words.unread.extend(dvdi::unused(&variables)),
        false => dvdi::read(&mut words, &variables)?,
    }
    Ok(words)
}
