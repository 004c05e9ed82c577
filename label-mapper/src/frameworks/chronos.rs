//! Chronos: jobs. It gives tasks no labels; what reaches the isolator is the command's environment.

use super::docker::Place;
use super::json::{Labels, Placement, Unit, each, name_of, read_labels};
use super::native::{self, OwnWords};
use super::{Channel, DOCKER_ENGINE, Names, Problem, Task, dvdi, parameters, refused};
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
    let variables = Labels::Pairs(at.key("environmentVariables"), "name", "value");
    let labels = Labels::Dvdi(Box::new(variables));
    let (channel, note) = match docker {
        true => (Channel::DockerEngine, Some(DOCKER_ENGINE.to_owned())),
        // `MesosTaskBuilder.appendExecutorData` gives the executor the job's variables and its
        // container.
        false => (Channel::Environment, None),
    };
    let mut words = own_words(text, at, docker);
    let environment = dvdi::of_list(text, &at.key("environmentVariables"));
    match docker {
        true => words.unread.extend(dvdi::unused(&environment)),
        false => {
            let names: Vec<&str> = environment.iter().map(|variable| variable.name.as_str()).collect();
            words.unread.extend(dvdi::strays(&names));
        }
    }
    let concurrent = node.get("concurrent").and_then(|node| node.scalar()) == Some("true");
    Ok(Unit {
        task: Task {
            name: name_of(text, at, "name"),
            copies: if concurrent { 2 } else { 1 },
            names: Names::AsWritten,
            lands: "CommandInfo.environment",
            channel,
            labels: if docker {
                Vec::new()
            } else {
                read_labels(text, &labels)?
            },
            native: words.native,
            unread: words.unread,
            notes: note.into_iter().collect(),
        },
        labels,
        placement: Placement::Rows(at.key("constraints"), "EQUALS"),
        resources: None,
        native: docker.then(|| Place::Parameters(at.keys(&["container", "parameters"]), "key")),
        extra: Vec::new(),
    })
}

/// `JobDeserializer.deserialize` reads a container only when it has an image.
fn own_words(text: &JsonText, at: &Path, docker: bool) -> OwnWords {
    let mut words = OwnWords::default();
    let channel = if docker {
        Channel::DockerEngine
    } else {
        Channel::DockerVolume
    };
    let container = at.key("container");
    words.each(text, &container.key("volumes"), |words, at, volume| {
        native::chronos(words, at, volume, channel);
    });
    parameters::read(
        &mut words,
        &parameters::of_list(text, &container.key("parameters"), "key"),
        docker,
    );
    let has_image = text.at(&container).is_some_and(|node| node.get("image").is_some());
    if !has_image && !words.is_empty() {
        return OwnWords {
            native: Vec::new(),
            unread: vec![format!(
                "the volumes of '{container}' were not read: Chronos takes no notice of a container without an 'image'"
            )],
        };
    }
    words
}
