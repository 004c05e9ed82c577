//! A framework's definition as a job file of the scheduler: what it runs and its volumes, once
//! instead of for ever.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;
use volume_labels::VolumeLabels;

use crate::convert::ConvertError;
use crate::frameworks::{self, Framework, Task};

/// A job file, and what its author must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFile {
    /// YAML, as `scheduler run` reads it.
    pub text: String,
    /// What was not taken over, a line each.
    pub notes: Vec<String>,
    /// Whether a volume is among what was not taken over.
    pub leaves_volumes_out: bool,
}

/// One task of it.
#[derive(Default)]
struct Job {
    name: String,
    command: Command,
    user: Option<String>,
    cpus: Option<f64>,
    mem: Option<f64>,
    environment: BTreeMap<String, String>,
    instances: u64,
    attributes: BTreeMap<String, String>,
    after: Option<String>,
    volumes: Vec<VolumeLabels>,
}

enum Command {
    Shell(String),
    Argv(Vec<String>),
}

impl Default for Command {
    fn default() -> Self {
        Self::Argv(Vec::new())
    }
}

/// Members of a definition for which a job file has its own fields.
const MARATHON: &[&str] = &[
    "id",
    "cmd",
    "args",
    "user",
    "cpus",
    "mem",
    "env",
    "instances",
    "labels",
    "constraints",
    "container",
];
const DCOS_TASK: &[&str] = &["goal", "cmd", "cpus", "memory", "env", "labels"];

/// Makes a job file of apps (Marathon) or of a service's pods (dcos-commons, templates filled in).
/// Names of volumes stay names: the scheduler looks them up.
///
/// # Errors
/// The text is no definition of that framework, another framework's, or has something that a job
/// file cannot say.
pub fn job_file(framework: Framework, text: &str) -> Result<JobFile, ConvertError> {
    let failed = |problem: String| ConvertError::of(framework, None, problem);
    let definition = frameworks::read(framework, text).map_err(|problem| failed(problem.to_string()))?;
    let tasks = definition.tasks().map_err(|problem| failed(problem.to_string()))?;
    let mut notes = Vec::new();
    let (name, jobs) = match framework {
        Framework::Marathon => {
            let value: Value = serde_json::from_str(text).map_err(|error| failed(error.to_string()))?;
            let mut apps = Vec::new();
            collect(&value, &mut apps);
            let jobs = apps
                .iter()
                .zip(&tasks)
                .map(|(app, task)| marathon(app, task, &mut notes));
            let jobs = jobs.collect::<Result<Vec<_>, _>>().map_err(failed)?;
            let name = jobs.first().map_or_else(String::new, |job| job.name.clone());
            (name, jobs)
        }
        Framework::DcosCommons => {
            if text.contains("{{") {
                return Err(failed("it is a template; fill it in first".to_owned()));
            }
            let value: Value = serde_saphyr::from_str(text).map_err(|error| failed(error.to_string()))?;
            let name = word(value["name"].as_str().unwrap_or_default());
            let jobs = dcos(&value, &tasks, &mut notes).map_err(failed)?;
            (name, jobs)
        }
        _ => {
            let message =
                "a job file is made of Marathon's and dcos-commons' definitions; others have to be written by hand";
            return Err(failed(message.to_owned()));
        }
    };
    if jobs.is_empty() {
        return Err(failed("it runs nothing".to_owned()));
    }
    Ok(JobFile {
        text: written(&name, &jobs),
        leaves_volumes_out: notes.iter().any(|note| note.contains(WITHOUT)),
        notes,
    })
}

/// The apps, in the order in which the adapter finds them.
fn collect<'a>(value: &'a Value, apps: &mut Vec<&'a Value>) {
    if let Some(list) = value.as_array() {
        return list.iter().for_each(|value| collect(value, apps));
    }
    let lists: Vec<&Value> = ["apps", "pods", "groups"]
        .iter()
        .filter_map(|member| value.get(member).filter(|list| list.is_array()))
        .collect();
    match lists.is_empty() {
        true => apps.push(value),
        false => lists.into_iter().for_each(|list| collect(list, apps)),
    }
}

fn marathon(app: &Value, task: &Task, notes: &mut Vec<String>) -> Result<Job, String> {
    let name = word(&task.name);
    if app.get("containers").is_some_and(Value::is_array) {
        return Err(format!(
            "'{}' is a pod, whose containers share their volumes; a job's tasks do not: write it by hand",
            task.name
        ));
    }
    let command = match (app["cmd"].as_str(), app["args"].as_array()) {
        (Some(line), _) => Command::Shell(line.to_owned()),
        (None, Some(argv)) => Command::Argv(argv.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        (None, None) => return Err(format!("'{}' has neither 'cmd' nor 'args'", task.name)),
    };
    let mut job = Job {
        command,
        user: app["user"].as_str().map(str::to_owned),
        // What Marathon gives an app that asks for nothing.
        cpus: Some(app["cpus"].as_f64().unwrap_or(1.0)),
        mem: Some(app["mem"].as_f64().unwrap_or(128.0)),
        environment: environment(&name, &app["env"], notes),
        instances: task.copies,
        volumes: volumes(task, &name, notes)?,
        name,
        ..Job::default()
    };
    for row in app["constraints"].as_array().into_iter().flatten() {
        let words: Vec<&str> = row.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        match words.as_slice() {
            [attribute, "CLUSTER" | "IS", value] if !attribute.starts_with('@') && *attribute != "hostname" => {
                job.attributes.insert((*attribute).to_owned(), (*value).to_owned());
            }
            _ => notes.push(format!("{}: its constraint {row} is left out", job.name)),
        }
    }
    let image = &app["container"]["docker"]["image"];
    if !image.is_null() {
        notes.push(format!(
            "{}: its image {image} is left out: a job's commands run on the agent",
            job.name
        ));
    }
    left_out(&job.name, app, MARATHON, notes);
    Ok(job)
}

fn dcos(service: &Value, tasks: &[Task], notes: &mut Vec<String>) -> Result<Vec<Job>, String> {
    let mut jobs: Vec<Job> = Vec::new();
    for pod in tasks {
        let described = &service["pods"][pod.name.as_str()];
        let of_pod = volumes(pod, &pod.name, notes)?;
        let mut before: Option<String> = None;
        for (task, what) in described["tasks"].as_object().into_iter().flatten() {
            let name = word(&format!("{}-{task}", pod.name));
            let Some(line) = what["cmd"].as_str() else {
                return Err(format!("the task '{task}' of pod '{}' has no 'cmd'", pod.name));
            };
            if pod.copies > 1 && before.is_some() {
                notes.push(format!(
                    "{name}: it begins when all instances of the task before it are finished"
                ));
            }
            left_out(&name, what, DCOS_TASK, notes);
            jobs.push(Job {
                command: Command::Shell(line.to_owned()),
                user: described["user"]
                    .as_str()
                    .or(service["user"].as_str())
                    .map(str::to_owned),
                cpus: what["cpus"].as_f64(),
                mem: what["memory"].as_f64(),
                environment: environment(&name, &what["env"], notes),
                instances: pod.copies,
                after: before.replace(name.clone()),
                volumes: of_pod.clone(),
                name,
                ..Job::default()
            });
        }
        if !described["placement"].is_null() {
            notes.push(format!("{}: its placement is left out", pod.name));
        }
    }
    if !service["plans"].is_null() {
        notes.push(
            "its plans are left out: tasks of one pod run one after the other, and different pods run at the same time"
                .to_owned(),
        );
    }
    Ok(jobs)
}

/// The beginning of the note on a volume that a task goes without.
const WITHOUT: &str = "it runs without a volume:";

/// What the task asks for by label and in the framework's own fields, under the names that the
/// framework gives the driver.
fn volumes(task: &Task, name: &str, notes: &mut Vec<String>) -> Result<Vec<VolumeLabels>, String> {
    let labels = task.labels.iter().map(|(key, value)| (key, value));
    let mut volumes = volume_labels::parse(labels).map_err(|error| error.to_string())?;
    for volume in &mut volumes {
        volume.name = task.names.of(volume, None)?.in_job_file(task.copies);
    }
    for native in &task.native {
        let mut volume = match native.labels(&volumes) {
            Ok(volume) => volume,
            Err(why) => {
                let path = volume_labels::cleaned(&native.path);
                notes.push(format!("{name}: {WITHOUT} the one at '{path}' is left out: {why}"));
                continue;
            }
        };
        volume.name = native.name.in_job_file(task.copies);
        match volumes.iter().find(|known| known.path == volume.path) {
            None => volumes.push(volume),
            Some(known) if known.name == volume.name => {}
            Some(known) => {
                return Err(format!(
                    "the volumes '{}' and '{}' of '{name}' both mount at '{}': give one of them another path",
                    known.name, volume.name, volume.path
                ));
            }
        }
    }
    notes.extend(task.unread.iter().map(|line| format!("{name}: {WITHOUT} {line}")));
    Ok(volumes)
}

fn environment(job: &str, variables: &Value, notes: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for (name, value) in variables.as_object().into_iter().flatten() {
        // These name volumes, and have become some.
        if name.starts_with("DVDI_VOLUME_") {
            continue;
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => {
                notes.push(format!(
                    "{job}: the variable '{name}' is a secret or no text, and is left out"
                ));
                continue;
            }
        };
        environment.insert(name.clone(), text);
    }
    environment
}

fn left_out(job: &str, definition: &Value, known: &[&str], notes: &mut Vec<String>) {
    let members = definition
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str());
    let unknown: Vec<&str> = members.filter(|name| !known.contains(name)).collect();
    if !unknown.is_empty() {
        notes.push(format!("{job}: left out: {}", unknown.join(", ")));
    }
}

/// A name as job files have it.
fn word(name: &str) -> String {
    let kept = name.trim_matches('/').chars().map(|c| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => c,
        _ => '-',
    });
    kept.skip_while(|c| !c.is_ascii_alphanumeric()).take(100).collect()
}

fn written(name: &str, jobs: &[Job]) -> String {
    let mut text = format!("version: 1\nname: {}\ntasks:\n", quoted(name));
    for job in jobs {
        // Writing to a String does not fail.
        let mut line = |indent: &str, key: &str, value: &str| {
            let _ = writeln!(text, "{indent}{key}:{}{value}", if value.is_empty() { "" } else { " " });
        };
        line("  ", &quoted(&job.name), "");
        match &job.command {
            Command::Shell(command) => line("    ", "command", &quoted(command)),
            Command::Argv(argv) => line("    ", "command", &Value::from(argv.as_slice()).to_string()),
        }
        for (key, value) in [("cpus", job.cpus), ("mem", job.mem)] {
            if let Some(value) = value {
                line("    ", key, &value.to_string());
            }
        }
        for (key, value) in [("user", &job.user), ("after", &job.after)] {
            if let Some(value) = value {
                line("    ", key, &quoted(value));
            }
        }
        if job.instances > 1 {
            line("    ", "instances", &job.instances.to_string());
        }
        for (key, map) in [("environment", &job.environment), ("agent", &job.attributes)] {
            if map.is_empty() {
                continue;
            }
            line("    ", key, "");
            let indent = match key {
                "agent" => {
                    line("      ", "attributes", "");
                    "        "
                }
                _ => "      ",
            };
            for (name, value) in map {
                line(indent, &quoted(name), &quoted(value));
            }
        }
        if !job.volumes.is_empty() {
            line("    ", "volumes", "");
        }
        for volume in &job.volumes {
            let slot = volume.slot.to_string();
            line("      ", &quoted(&slot), &described(volume, &slot).to_string());
        }
    }
    text
}

/// A volume as job files have it: the attributes of its labels, with options by name.
fn described(volume: &VolumeLabels, slot: &str) -> Value {
    let own = format!("volume.{slot}");
    let mut map = serde_json::Map::new();
    let mut options = serde_json::Map::new();
    for (key, value) in volume.to_labels() {
        let attribute = key.strip_prefix(&own).unwrap_or(&key).trim_start_matches('.');
        match attribute.strip_prefix("options.") {
            Some(option) => options.insert(option.to_owned(), value.into()),
            None if attribute.is_empty() => map.insert("volume".to_owned(), value.into()),
            None => map.insert(attribute.to_owned(), value.into()),
        };
    }
    if !options.is_empty() {
        map.insert("options".to_owned(), options.into());
    }
    map.into()
}

/// A text as YAML and JSON both take it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
