//! Marathon: apps, pods and groups.
//!
//! An app's labels are its tasks' labels. A pod's labels are its executor's, which every container
//! of it shows to the isolator; the labels of a container are its task's, which no isolator sees.

use super::docker::Place;
use super::json::{Labels, Placement, Unit, name_of, read_labels};
use super::native::{self, OwnWords, host_folder};
use super::{Channel, DOCKER_ENGINE, Names, Problem, Task, dvdi, parameters, refused};
use crate::text::{JsonText, Node, Path};

pub(super) fn units(text: &JsonText) -> Result<Vec<Unit>, Problem> {
    let mut units = Vec::new();
    collect(text, &Path::default(), &mut units)?;
    Ok(units)
}

fn collect(text: &JsonText, at: &Path, units: &mut Vec<Unit>) -> Result<(), Problem> {
    let Some(node) = text.at(at) else { return Ok(()) };
    if node.is_list() {
        return (0..node.elements().len()).try_for_each(|index| collect(text, &at.index(index), units));
    }
    if !node.is_map() {
        return refused(format!(
            "{at} is {}, and an app, a pod or a group belongs there",
            node.words()
        ));
    }
    let members = ["apps", "pods", "groups"];
    if members
        .iter()
        .any(|member| node.entry(member).is_some_and(|entry| entry.value.is_list()))
    {
        let lists = members.iter().map(|member| at.key(member));
        return lists
            .filter(|list| text.at(list).is_some())
            .try_for_each(|list| collect(text, &list, units));
    }
    // What `/v2/apps/ID` answers.
    if node.text_of("id").is_none() && node.get("app").is_some_and(Node::is_map) {
        return collect(text, &at.key("app"), units);
    }
    if node.text_of("id").is_none() {
        return refused(format!("{at} has no 'id', so it is no app, pod or group"));
    }
    units.push(if node.get("containers").is_some_and(Node::is_list) {
        pod(text, at)?
    } else {
        app(text, at)?
    });
    Ok(())
}

fn app(text: &JsonText, at: &Path) -> Result<Unit, Problem> {
    let node = text.at(at).expect("the caller found it there");
    let container = node.get("container");
    // Before Marathon 1.5 a container without a type was Docker's, if it had an image for it.
    let docker = match container.and_then(|container| container.text_of("type")) {
        Some(kind) => kind == "DOCKER",
        None => container.is_some_and(|container| container.get("docker").is_some()),
    };
    let executor = node.text_of("executor").unwrap_or_default();
    let custom = !matches!(executor, "" | "//cmd");
    let mut notes = Vec::new();
    let channel = if docker {
        notes.push(DOCKER_ENGINE.to_owned());
        Channel::DockerEngine
    } else if custom {
        notes.push(format!(
            "its executor '{}' gets the task's labels, and the isolator, which sees the executor only, does not: nothing is \
             mounted; run it by the command executor (no 'executor')",
            volume_labels::cleaned(executor)
        ));
        Channel::Nothing
    } else {
        Channel::Labels
    };
    let labels = Labels::Map(at.key("labels"));
    let volumes = at.keys(&["container", "volumes"]);
    let copies = node.number_of("instances").unwrap_or(1);
    let mut extra = Vec::new();
    extra.extend(over_capacity(node.get("upgradeStrategy"), "upgradeStrategy"));
    if docker {
        extra.push("Marathon takes 'external' volumes with --enable_features external_volumes only".to_owned());
    }
    let words = own_words(text, at, docker)?;
    Ok(Unit {
        task: Task {
            name: name_of(text, at, "id"),
            copies,
            names: Names::AsWritten,
            lands: "TaskInfo.labels",
            channel,
            labels: read_labels(text, &labels)?,
            native: words.native,
            unread: words.unread,
            notes,
        },
        labels,
        placement: Placement::Rows(at.key("constraints"), "CLUSTER"),
        resources: None,
        native: Some(Place::External(volumes)),
        extra,
    })
}

fn own_words(text: &JsonText, at: &Path, docker: bool) -> Result<OwnWords, Problem> {
    let mut words = OwnWords::default();
    let channel = if docker {
        Channel::DockerEngine
    } else {
        Channel::DockerVolume
    };
    words.each(text, &at.keys(&["container", "volumes"]), |words, at, volume| {
        native::marathon(words, at, volume, channel);
    });
    let list = at.keys(&["container", "docker", "parameters"]);
    parameters::read(&mut words, &parameters::of_list(text, &list, "key"), docker);
    let variables = dvdi::of_map(text, &at.key("env"));
    match docker {
        true => words.unread.extend(dvdi::unused(&variables)),
        false => dvdi::read(&mut words, &variables)?,
    }
    Ok(words)
}

/// A pod's volumes are folders, persistent volumes and secrets; Marathon has no external ones for
/// pods. The variables of the pod are those of all its containers.
fn words_of_pod(text: &JsonText, at: &Path, containers: &[Node]) -> Result<OwnWords, Problem> {
    let mut words = OwnWords::default();
    words.each(text, &at.key("volumes"), |words, at, volume| {
        let name = volume.text_of("name").unwrap_or("?");
        let mounts = |container: &Node| {
            let mounts = container
                .get("volumeMounts")
                .map(Node::elements)
                .unwrap_or_default()
                .iter();
            let own = mounts.filter(|mount| mount.text_of("name") == Some(name));
            own.filter_map(|mount| mount.text_of("mountPath").map(str::to_owned))
                .collect::<Vec<_>>()
        };
        let paths: Vec<String> = containers.iter().flat_map(mounts).collect();
        let what = match (volume.get("persistent"), volume.get("secret"), volume.text_of("host")) {
            (Some(_), ..) => "a persistent volume of Mesos, on a disk of the agent".to_owned(),
            (_, Some(_), _) => "a secret".to_owned(),
            (.., Some(folder)) => host_folder(folder).trim_start_matches("it is ").to_owned(),
            _ if volume.entries().len() > 1 => "of a kind that is not known here".to_owned(),
            _ => "a folder of the pod's sandbox".to_owned(),
        };
        words.unread(format!(
            "the pod's volume '{}' ('{at}', mounted at {}) is left as it is: it is {what}",
            volume_labels::cleaned(name),
            if paths.is_empty() {
                "no path".to_owned()
            } else {
                paths.join(", ")
            }
        ));
    });
    dvdi::read(&mut words, &dvdi::of_map(text, &at.key("environment")))?;
    for index in 0..containers.len() {
        let first = words.native.len();
        let environment = at.key("containers").index(index).key("environment");
        dvdi::read(&mut words, &dvdi::of_map(text, &environment))?;
        for volume in words.native.iter_mut().skip(first) {
            volume.stays = Some("it belongs to one container, and labels of a pod belong to all of them".to_owned());
        }
    }
    Ok(words)
}

fn pod(text: &JsonText, at: &Path) -> Result<Unit, Problem> {
    let node = text.at(at).expect("the caller found it there");
    let labels = Labels::Map(at.key("labels"));
    let mut words = words_of_pod(text, at, node.get("containers").map(Node::elements).unwrap_or_default())?;
    for container in node.get("containers").map(Node::elements).unwrap_or_default() {
        let has = container
            .get("labels")
            .is_some_and(|labels| labels.entries().iter().any(|e| e.key.starts_with("volume.")));
        if has {
            words.unread(format!(
                "the container '{}' has volume labels of its own, which no isolator sees: write them at the pod",
                volume_labels::cleaned(container.text_of("name").unwrap_or("?"))
            ));
        }
    }
    let copies = node
        .get("scaling")
        .and_then(|scaling| scaling.number_of("instances"))
        .unwrap_or(1);
    Ok(Unit {
        task: Task {
            name: name_of(text, at, "id"),
            copies,
            names: Names::AsWritten,
            lands: "ExecutorInfo.labels",
            channel: Channel::Labels,
            labels: read_labels(text, &labels)?,
            native: words.native,
            unread: words.unread,
            notes: Vec::new(),
        },
        labels,
        placement: Placement::Fields(at.keys(&["scheduling", "placement", "constraints"])),
        resources: None,
        native: None,
        extra: std::iter::once("every container of the pod sees the pod's volumes".to_owned())
            .chain(over_capacity(
                node.get("scheduling").and_then(|scheduling| scheduling.get("upgrade")),
                "scheduling.upgrade",
            ))
            .collect(),
    })
}

/// By default Marathon starts every new task while the old one still runs.
fn over_capacity(strategy: Option<&Node>, member: &str) -> Option<String> {
    let share = strategy
        .and_then(|strategy| strategy.get("maximumOverCapacity"))
        .and_then(Node::scalar);
    let over = share.is_none_or(|share| share.parse::<f64>().is_ok_and(|share| share > 0.0));
    over.then(|| {
        format!(
            "a deployment starts the new task while the old one still has the volume: set 'maximumOverCapacity' of its {member} \
             to 0 (and 'minimumHealthCapacity' to 0 for one instance)"
        )
    })
}
