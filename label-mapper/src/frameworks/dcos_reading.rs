//! What a pod of dcos-commons says of volumes, read (`YAMLToInternalMappers`, `RawPod`, `RawTask`,
//! `RawResourceSet`).

use std::collections::BTreeMap;

use volume_labels::cleaned;

use super::dvdi::{self, Variable};
use super::native::{GeneratedName, Native, OwnWords, host_folder};
use super::{Channel, Problem, dcos_names, refused};
use crate::text::{Node, Path, Step, YamlText, path};

/// One value of a volume's description.
enum Word<'a> {
    Missing,
    Text(&'a str),
    /// Known once the template is filled in: a variable, or a line that a section may leave out.
    Template,
}

/// Everything that describes a volume of the pod.
pub(super) fn own_words(yaml: &YamlText, pod: &Path) -> Result<OwnWords, Problem> {
    let mut words = OwnWords::default();
    let external = pod.key("external-volumes");
    for at in entries(yaml, &external, &mut words) {
        external_volume(yaml, pod, &at, &mut words)?;
    }
    let hosts = pod.key("host-volumes");
    for at in entries(yaml, &hosts, &mut words) {
        let of = |key: &str| yaml.at(&at.key(key)).and_then(Node::scalar).unwrap_or_default();
        words.foreign(&at, of("container-path"), host_folder(of("host-path")));
    }
    let secrets = pod.key("secrets");
    for at in entries(yaml, &secrets, &mut words) {
        // `YAMLToInternalMappers.convertSecret`: without a file and a variable the secret's own path is
        // that of the file.
        let of = |key: &str| yaml.at(&at.key(key)).and_then(Node::scalar);
        let unnamed = || of("secret").filter(|_| of("env-key").is_none());
        if let Some(file) = of("file").or_else(unnamed) {
            words.foreign(&at, file, "it is a secret, not a volume of a driver");
        }
    }
    persistent(yaml, pod, &mut words);
    for sets in [pod.key("resource-sets"), pod.key("tasks")] {
        for at in entries(yaml, &sets, &mut words) {
            persistent(yaml, &at, &mut words);
            for key in ["external-volumes", "host-volumes"] {
                if yaml.at(&at.key(key)).is_some() {
                    words.unread(format!(
                        "'{}' was not read: dcos-commons has it at the pod",
                        at.key(key)
                    ));
                }
            }
            let env = at.key("env");
            let variables: Vec<Variable> = entries(yaml, &env, &mut words)
                .into_iter()
                .filter_map(|at| {
                    let (_, Step::Key(name)) = at.split_last()? else {
                        return None;
                    };
                    Some(Variable {
                        name: name.clone(),
                        value: text(yaml, &at, &env).map(str::to_owned),
                        at,
                    })
                })
                .collect();
            dvdi::read(&mut words, &variables)?;
        }
    }
    Ok(words)
}

/// The entries of a map, unless it is a template as a whole.
fn entries(yaml: &YamlText, map: &Path, words: &mut OwnWords) -> Vec<Path> {
    let Some(node) = yaml.at(map) else { return Vec::new() };
    if !node.is_map() {
        let why = match yaml.is_template(node) {
            true => "it is a template: fill it in first",
            false => "a map belongs there",
        };
        words.unread(format!("'{map}' was not read: {why}"));
    }
    node.entries().iter().map(|entry| map.key(&entry.key)).collect()
}

/// `volume` and `volumes`: disks that Mesos reserves.
fn persistent(yaml: &YamlText, at: &Path, words: &mut OwnWords) {
    let mut places: Vec<Path> = yaml
        .at(&at.key("volume"))
        .map(|_| at.key("volume"))
        .into_iter()
        .collect();
    places.extend(entries(yaml, &at.key("volumes"), words));
    for place in places {
        let path = yaml.at(&place.key("path")).and_then(Node::scalar).unwrap_or_default();
        let what = "it is a persistent volume of Mesos, on a disk of the agent, not a volume of a driver";
        words.foreign(&place, path, what);
    }
}

fn external_volume(yaml: &YamlText, pod: &Path, at: &Path, words: &mut OwnWords) -> Result<(), Problem> {
    let word = |key: &str| {
        let place = at.key(key);
        match yaml.at(&place) {
            None => Word::Missing,
            Some(_) => text(yaml, &place, at).map_or(Word::Template, Word::Text),
        }
    };
    let template = |key: &str| {
        format!("'{at}' was not looked up: its {key} is known once the template is filled in; fill it in first")
    };
    match word("type") {
        Word::Text("DOCKER") | Word::Missing | Word::Template => {}
        Word::Text(other) => {
            let path = yaml
                .at(&at.key("container-path"))
                .and_then(Node::scalar)
                .unwrap_or_default();
            let what = format!("its type is '{}', and dcos-commons knows DOCKER", cleaned(other));
            words.foreign(at, path, what);
            return Ok(());
        }
    }
    let driver = match word("driver-name") {
        Word::Text(driver) => driver,
        Word::Missing => "",
        Word::Template => {
            words.unread(format!(
                "the driver-name of '{at}' is a template: its name is made as for any driver but {}, which has rules of its own",
                dcos_names::PORTWORX
            ));
            ""
        }
    };
    let mut options = match word("driver-options") {
        Word::Text(text) => driver_options(at, text)?,
        Word::Missing => BTreeMap::new(),
        Word::Template if driver == dcos_names::PORTWORX => {
            words.unread(template("driver-options, on which its name depends,"));
            return Ok(());
        }
        Word::Template => BTreeMap::new(),
    };
    let name = match word("volume-name") {
        Word::Text(name) => dcos_names::given(name, driver, &options),
        Word::Template => {
            words.unread(template("volume-name"));
            return Ok(());
        }
        Word::Missing => {
            let service = path(&["name"]);
            let Some(service) = text(yaml, &service, &Path::default()) else {
                words.unread(template("name, which begins with the service's,"));
                return Ok(());
            };
            let pod = match pod.split_last() {
                Some((_, Step::Key(pod))) => pod.clone(),
                _ => String::new(),
            };
            dcos_names::made(service, &pod, driver, &options)
        }
    };
    let name: GeneratedName = name.map_err(|problem| Problem::Refused(format!("'{at}': {problem}")))?;
    if driver == dcos_names::PORTWORX {
        // `PortworxVolumeProvider`: a new volume is put on the task's own node.
        options.insert("nodes".to_owned(), "LocalNode".to_owned());
    }
    let container_path = yaml.at(&at.key("container-path")).and_then(Node::scalar);
    words.native.push(Native {
        driver: Some(driver).filter(|driver| !driver.is_empty()).map(str::to_owned),
        read_only: matches!(word("volume-mode"), Word::Text("RO")),
        options,
        ..Native::new(
            at.clone(),
            name,
            container_path.unwrap_or_default(),
            Channel::DockerVolume,
        )
    });
    Ok(())
}

/// `KEY=VALUE;KEY=VALUE` (`PortworxVolumeSpec.Builder.driverOptions`).
fn driver_options(at: &Path, text: &str) -> Result<BTreeMap<String, String>, Problem> {
    let mut options = BTreeMap::new();
    for option in text.split(';').filter(|_| !text.is_empty()) {
        match option.trim_end_matches('=').split('=').collect::<Vec<_>>().as_slice() {
            ["name", _] => {
                return refused(format!(
                    "'{at}': dcos-commons refuses 'name' among the driver-options; write it as volume-name"
                ));
            }
            [key, value] => options.insert((*key).to_owned(), (*value).to_owned()),
            _ => {
                return refused(format!(
                    "'{at}': '{}' of its driver-options is no KEY=VALUE, and dcos-commons refuses the service",
                    cleaned(option)
                ));
            }
        };
    }
    Ok(options)
}

/// The scalar there, unless it is a template, or in a section that `outer` is not in.
fn text<'a>(yaml: &'a YamlText, at: &Path, outer: &Path) -> Option<&'a str> {
    let is_certain = outer.split_last().is_none() || yaml.sections(at) == yaml.sections(outer);
    yaml.scalar(at).filter(|_| is_certain)
}
