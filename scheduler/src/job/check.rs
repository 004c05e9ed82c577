//! From the shape of a job file to a job, or to everything that is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::{Location, Spanned};
use volume_labels::VolumeLabels;

use super::error::{JobFileError, Problem};
use super::instances::{self, Values};
use super::notify;
use super::schedule::Schedule;
use super::shape::{AgentShape, CommandShape, Entries, JobShape, OneOrMore, TaskShape, Text, VolumeShape};
use super::{AgentConstraint, Command, Job, Overlap, Task};

/// CPUs of a task that names none.
const DEFAULT_CPUS: f64 = 0.1;
/// Memory of a task that names none, in MB.
const DEFAULT_MEM: f64 = 128.0;
/// A task id is `<job>.<task>.<attempt>`, and Mesos takes 255 bytes of it.
const MAX_NAME_BYTES: usize = 100;
/// A year; what is longer was not meant.
const MAX_SPAN_MS: u64 = 8_760 * 3_600_000;

pub(super) fn job(shape: JobShape) -> Result<Job, JobFileError> {
    let mut problems = Vec::new();
    if let Some(problem) = bad_name(&shape.name, "job") {
        problems.push(problem);
    }
    if shape.tasks.0.is_empty() {
        problems.push(Problem::at(shape.name.referenced, "the job has no tasks"));
    }
    let shape_has_no_schedule = shape.schedule.is_none();
    let schedule = shape.schedule.and_then(|given| match Schedule::parse(&given.value) {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            problems.push(Problem::at(given.referenced, error.to_string()));
            None
        }
    });
    for (name, given) in [("start-within", &shape.start_within), ("overlap", &shape.overlap)] {
        if let Some(given) = given.as_ref().filter(|_| shape_has_no_schedule) {
            let message = format!("'{name}' is about runs by schedule, and the job has no 'schedule'");
            problems.push(Problem::at(given.referenced, message));
        }
    }
    let start_within_ms = span(shape.start_within.as_ref(), "start-within", &mut problems);
    let overlap = overlap(shape.overlap.as_ref(), &mut problems);
    let notify = notify::notify(shape.notify, &mut problems);
    let names: Vec<Spanned<String>> = shape.tasks.0.iter().map(|(name, _)| name.clone()).collect();
    let mut counts = BTreeMap::new();
    for (name, task) in &shape.tasks.0 {
        let count = instances::count(task.instances.as_ref(), &mut problems);
        counts.insert(name.value.clone(), count);
    }
    let mut references = Vec::new();
    let mut tasks = Vec::new();
    for (name, task) in shape.tasks.0 {
        if let Some(problem) = bad_name(&name, "task") {
            problems.push(problem);
        }
        references.extend(refer(&name.value, &task));
        tasks.extend(checked(
            &shape.name.value,
            name,
            task,
            &shape.defaults,
            &counts,
            &mut problems,
        ));
    }
    check_references(&references, &names, &mut problems);
    check_instances(&names, &counts, &references, &mut problems);
    if problems.is_empty() {
        check_order(&references, &names, &counts, &tasks, &mut problems);
    }
    problems.sort_by_key(|problem| (problem.line, problem.column));
    match problems.is_empty() {
        true => Ok(Job {
            name: shape.name.value,
            tasks,
            notify,
            schedule,
            start_within_ms,
            overlap,
        }),
        false => Err(JobFileError { problems }),
    }
}

fn overlap(given: Option<&Spanned<String>>, problems: &mut Vec<Problem>) -> Overlap {
    let Some(given) = given else { return Overlap::default() };
    match given.value.as_str() {
        "skip" => Overlap::Skip,
        "queue" => Overlap::Queue,
        "replace" => Overlap::Replace,
        other => {
            let shown = volume_labels::cleaned(other);
            let message = format!(
                "overlap is '{shown}'; accepted is 'skip' (a run that is due while another goes on is not begun), 'queue' \
                 (it is begun when the other one is over) and 'replace' (the other one is cancelled for it)"
            );
            problems.push(Problem::at(given.referenced, message));
            Overlap::default()
        }
    }
}

/// How many instances each task of the file has, by its name there.
type Counts = BTreeMap<String, Option<u32>>;

/// The tasks that the file's task `name` is.
fn instances_of(name: &str, counts: &Counts) -> Vec<String> {
    let names = instances::names(name, counts.get(name).copied().flatten());
    names.into_iter().map(|(name, _)| name).collect()
}

/// Names that instances get must not be those of other tasks, and `same-as` needs one task to look
/// at.
fn check_instances(names: &[Spanned<String>], counts: &Counts, references: &[Reference], problems: &mut Vec<Problem>) {
    for name in names.iter().filter(|name| counts[&name.value].is_some()) {
        let own = instances_of(&name.value, counts);
        if let Some(taken) = names.iter().find(|other| own.contains(&other.value)) {
            let message = format!("an instance of task '{}' has the name of this task", name.value);
            problems.push(Problem::at(taken.referenced, message));
        }
    }
    for Reference { from, to, kind } in references.iter().filter(|reference| reference.kind == "agent.same-as") {
        let (own, other) = (
            counts.get(from).copied().flatten(),
            counts.get(&to.value).copied().flatten(),
        );
        if other.is_some() && own != other {
            let message = format!(
                "'{kind}' of task '{from}' names '{}', which has instances; accepted is a task without, or '{from}' with \
                 as many",
                to.value
            );
            problems.push(Problem::at(to.referenced, message));
        }
    }
}

fn bad_name(name: &Spanned<String>, what: &str) -> Option<Problem> {
    let text = &name.value;
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if first && rest && text.len() <= MAX_NAME_BYTES {
        return None;
    }
    Some(Problem::at(
        name.referenced,
        format!(
            "'{}' is no name for a {what}; accepted is 1 to {MAX_NAME_BYTES} of a-z, A-Z, 0-9, '_' and '-', the first \
             of them a letter or a digit",
            volume_labels::cleaned(text)
        ),
    ))
}

fn checked(
    job: &str,
    name: Spanned<String>,
    shape: TaskShape,
    defaults: &super::shape::DefaultsShape,
    counts: &Counts,
    problems: &mut Vec<Problem>,
) -> Vec<Task> {
    let mut quantity = |own: Option<Spanned<f64>>, default: &Option<Spanned<f64>>, fallback: f64, what: &str| {
        let Some(given) = own.or_else(|| default.clone()) else {
            return fallback;
        };
        // Mesos counts in thousandths; what rounds to none of them asks for nothing.
        if !given.value.is_finite() || given.value < 0.001 || given.value > 1e9 {
            problems.push(Problem::at(
                given.referenced,
                format!("{what} is {}; accepted is 0.001 and more", given.value),
            ));
        }
        given.value
    };
    let cpus = quantity(shape.cpus, &defaults.cpus, DEFAULT_CPUS, "cpus");
    let mem = quantity(shape.mem, &defaults.mem, DEFAULT_MEM, "mem");
    let mut environment = variables(&defaults.environment, problems);
    environment.extend(variables(&shape.environment, problems));
    let retries = shape.retries.as_ref().or(defaults.retries.as_ref());
    let retry_pause = shape.retry_pause.as_ref().or(defaults.retry_pause.as_ref());
    let timeout = shape.timeout.as_ref().or(defaults.timeout.as_ref());
    let command = command(shape.command, problems);
    let retry_pause_ms = span(retry_pause, "retry-pause", problems);
    let timeout_ms = span(timeout, "timeout", problems);
    let mut tasks = Vec::new();
    for (own_name, instance) in instances::names(&name.value, counts[&name.value]) {
        // The same mistake is reported once.
        let mut again = Vec::new();
        let problems = if tasks.is_empty() { &mut *problems } else { &mut again };
        let values = Values {
            job,
            task: &name.value,
            instance,
        };
        tasks.push(Task {
            line: name.referenced.line(),
            command: command.clone(),
            user: shape
                .user
                .as_ref()
                .map(|user| user.value.clone())
                .or_else(|| defaults.user.clone()),
            cpus,
            mem,
            environment: environment.clone(),
            after: every(&shape.after, counts),
            volumes: volumes(&name, &shape.volumes, values, defaults.driver.as_deref(), problems),
            label_lines: lines(&shape.volumes),
            agent: constraint(&shape.agent, instance, counts),
            name: own_name,
            instance,
            retries: retries.map_or(0, |retries| retries.value),
            retry_pause_ms,
            timeout_ms,
            priority: shape.priority.or(defaults.priority).unwrap_or_default(),
        });
    }
    tasks
}

/// A length of time in milliseconds, as people write it: `90s`, `1h 30m`.
fn span(given: Option<&Spanned<String>>, what: &str, problems: &mut Vec<Problem>) -> Option<u64> {
    let given = given?;
    let millis = given
        .value
        .parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| u64::try_from(duration.as_millis()).ok())
        .filter(|millis| (1..=MAX_SPAN_MS).contains(millis));
    if millis.is_none() {
        let shown = volume_labels::cleaned(&given.value);
        let message = format!("{what} is '{shown}'; accepted is a time such as 500ms, 90s, '1h 30m', up to 8760h");
        problems.push(Problem::at(given.referenced, message));
    }
    millis
}

fn command(shape: Spanned<CommandShape>, problems: &mut Vec<Problem>) -> Command {
    let command = match shape.value {
        CommandShape::Shell(line) => Command::Shell(line),
        CommandShape::Argv(argv) => Command::Argv(argv),
    };
    let missing = match &command {
        Command::Shell(line) => line.trim().is_empty(),
        Command::Argv(argv) => argv.first().is_none_or(String::is_empty),
    };
    if missing {
        problems.push(Problem::at(shape.referenced, "the command is empty"));
    }
    command
}

fn variables(entries: &Entries<Text>, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, Text(value)) in &entries.0 {
        let bad = name.value.is_empty() || name.value.contains(['=', '\0']) || value.contains('\0');
        if bad {
            let shown = volume_labels::cleaned(&name.value);
            problems.push(Problem::at(
                name.referenced,
                format!(
                    "'{shown}' is no environment variable: a name is not empty and has no '=', and nothing has a NUL"
                ),
            ));
        }
        variables.insert(name.value.clone(), value.clone());
    }
    variables
}

fn constraint(shape: &AgentShape, instance: Option<u32>, counts: &Counts) -> AgentConstraint {
    // The third instance of the one task runs on the agent of the third instance of the other.
    let same_as = shape.same_as.0.iter().filter_map(|word| {
        let names = instances_of(&word.value, counts);
        let nth = instance.map_or(0, |i| i as usize);
        names.get(if names.len() > 1 { nth } else { 0 }).cloned()
    });
    AgentConstraint {
        hostname: shape.hostname.clone(),
        attributes: shape
            .attributes
            .0
            .iter()
            .map(|(name, value)| (name.value.clone(), value.0.clone()))
            .collect(),
        same_as: same_as.collect(),
        not_same_as: every(&shape.not_same_as, counts),
    }
}

/// The named tasks with all their instances.
fn every(words: &OneOrMore, counts: &Counts) -> BTreeSet<String> {
    words
        .0
        .iter()
        .flat_map(|word| instances_of(&word.value, counts))
        .collect()
}

/// The volumes by way of their labels, so that the grammar and its messages are those of the
/// labels.
fn volumes(
    task: &Spanned<String>,
    entries: &Entries<VolumeShape>,
    values: Values<'_>,
    default_driver: Option<&str>,
    problems: &mut Vec<Problem>,
) -> Vec<VolumeLabels> {
    let mut labels = Vec::new();
    let before = problems.len();
    for (slot, shape) in &entries.0 {
        let mut own = labels_of(slot, shape, values, problems);
        let driver = format!("volume.{}.driver", slot.value);
        if let Some(default) = default_driver.filter(|_| own.iter().all(|(key, _)| *key != driver)) {
            own.push((driver, default.to_owned()));
        }
        if problems.len() == before
            && let Err(error) = volume_labels::parse(pairs(&own))
        {
            problems.push(Problem::at(slot.referenced, error.to_string()));
        }
        labels.extend(own);
    }
    if problems.len() > before {
        return Vec::new();
    }
    // Each is good on its own; what is left are two of them at one path, and too many.
    volume_labels::parse(pairs(&labels)).unwrap_or_else(|error| {
        problems.push(Problem::at(task.referenced, error.to_string()));
        Vec::new()
    })
}

/// The line of each label of the volumes, by its key.
fn lines(entries: &Entries<VolumeShape>) -> BTreeMap<String, u64> {
    let mut lines = BTreeMap::new();
    for (slot, shape) in &entries.0 {
        let name = format!("volume.{}", slot.value);
        for (attribute, given) in &shape.attributes {
            lines.insert(format!("{name}.{attribute}"), given.referenced.line());
        }
        lines.insert(name, shape.place.unwrap_or(slot.referenced).line());
    }
    lines
}

/// The labels of one slot. A mistake in a label is reported at the place of that label.
fn labels_of(
    slot: &Spanned<String>,
    shape: &VolumeShape,
    values: Values<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<(String, String)> {
    let name = format!("volume.{}", slot.value);
    let place = shape.place.unwrap_or(slot.referenced);
    let mut labels = Vec::new();
    match instances::filled(&shape.volume, values) {
        Ok(volume) => labels.push((name.clone(), volume)),
        Err(message) => problems.push(Problem::at(place, message)),
    }
    if let Err(error) = volume_labels::parse(pairs(&labels)) {
        // A slot that is none stands elsewhere than its volume's name.
        let place = match error {
            volume_labels::LabelError::BadSlot { .. } => slot.referenced,
            _ => place,
        };
        problems.push(Problem::at(place, error.to_string()));
        return Vec::new();
    }
    for (attribute, given) in &shape.attributes {
        let value = match attribute.as_str() {
            "claim" => instances::filled(&given.value, values),
            _ => Ok(given.value.clone()),
        };
        let label = value.map(|value| (format!("{name}.{attribute}"), value));
        let checked = label.and_then(|label| {
            let both = [(name.clone(), "any".to_owned()), label.clone()];
            match volume_labels::parse(pairs(&both)) {
                Ok(_) => Ok(label),
                Err(error) => Err(error.to_string()),
            }
        });
        match checked {
            Ok(label) => labels.push(label),
            Err(message) => problems.push(Problem::at(given.referenced, message)),
        }
    }
    labels
}

fn pairs(labels: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// One task's mention of another.
struct Reference {
    from: String,
    to: Spanned<String>,
    kind: &'static str,
}

fn refer(from: &str, task: &TaskShape) -> Vec<Reference> {
    let kinds = [
        ("after", &task.after),
        ("agent.same-as", &task.agent.same_as),
        ("agent.not-same-as", &task.agent.not_same_as),
    ];
    kinds
        .into_iter()
        .flat_map(|(kind, words)| words.0.iter().map(move |to| (kind, to)))
        .map(|(kind, to)| Reference {
            from: from.to_owned(),
            to: to.clone(),
            kind,
        })
        .collect()
}

fn check_references(references: &[Reference], names: &[Spanned<String>], problems: &mut Vec<Problem>) {
    for Reference { from, to, kind } in references {
        if names.iter().any(|name| name.value == to.value) {
            continue;
        }
        let near = volume_labels::nearest(&to.value, names.iter().map(|name| name.value.as_str()))
            .map(|near| format!(", did you mean '{near}'?"));
        let shown = volume_labels::cleaned(&to.value);
        let message = format!(
            "'{kind}' of task '{from}' names no task of this job: '{shown}'{}",
            near.unwrap_or_default()
        );
        problems.push(Problem::at(to.referenced, message));
    }
}

/// Dependencies without a cycle, and placement only by tasks that have run before.
fn check_order(
    references: &[Reference],
    names: &[Spanned<String>],
    counts: &Counts,
    tasks: &[Task],
    problems: &mut Vec<Problem>,
) {
    if let Some(cycle) = cycle(tasks) {
        let place = names
            .iter()
            .find(|name| instances_of(&name.value, counts).contains(&cycle[0]))
            .map_or(Location::UNKNOWN, |name| name.referenced);
        problems.push(Problem::at(
            place,
            format!("tasks wait for each other: {}", cycle.join(" after ")),
        ));
        return;
    }
    for Reference { from, to, kind } in references.iter().filter(|reference| reference.kind != "after") {
        // Instances of one task run after the same tasks: the first of each stands for all.
        let first = |name: &str| instances_of(name, counts).into_iter().next();
        let (Some(own), Some(other)) = (first(from), first(&to.value)) else {
            continue;
        };
        if !super::blocked_by(tasks.iter(), &other).contains(own.as_str()) {
            let message = format!(
                "'{kind}' of task '{from}' names '{to}', but '{from}' does not run after it; add 'after: {to}'",
                to = to.value
            );
            problems.push(Problem::at(to.referenced, message));
        }
    }
}

/// The names around one cycle, the first repeated at the end.
fn cycle(tasks: &[Task]) -> Option<Vec<String>> {
    // Take away what waits for nothing that is left, until nothing changes: what remains leads into
    // a cycle.
    let mut left: BTreeMap<&str, &BTreeSet<String>> =
        tasks.iter().map(|task| (task.name.as_str(), &task.after)).collect();
    while let Some(free) = left
        .iter()
        .find(|(_, after)| after.iter().all(|name| !left.contains_key(name.as_str())))
    {
        let free = *free.0;
        left.remove(free);
    }
    let mut path = vec![*left.keys().next()?];
    loop {
        let last = path[path.len() - 1];
        // Every task that is left waits for one that is left.
        let next = left[last]
            .iter()
            .map(String::as_str)
            .find(|name| left.contains_key(name))?;
        if let Some(start) = path.iter().position(|name| *name == next) {
            path.push(next);
            return Some(path[start..].iter().map(|name| (*name).to_owned()).collect());
        }
        path.push(next);
    }
}
