//! Tasks that are several tasks: `instances: 3`, and the placeholders in the names of their volumes.

use serde_saphyr::Spanned;

use super::error::Problem;

/// As many instances a task may have.
const MAX_INSTANCES: u32 = 1000;

/// What a placeholder stands for.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) job: &'a str,
    pub(super) task: &'a str,
    pub(super) instance: Option<u32>,
}

/// How many instances a task has; `None` when it is a plain one.
pub(super) fn count(given: Option<&Spanned<u32>>, problems: &mut Vec<Problem>) -> Option<u32> {
    let given = given?;
    if !(1..=MAX_INSTANCES).contains(&given.value) {
        let message = format!("instances is {}; accepted is 1 to {MAX_INSTANCES}", given.value);
        problems.push(Problem::at(given.referenced, message));
        return Some(1);
    }
    Some(given.value)
}

/// The names of the tasks that the file's task `name` is.
pub(super) fn names(name: &str, count: Option<u32>) -> Vec<(String, Option<u32>)> {
    match count {
        None => vec![(name.to_owned(), None)],
        Some(count) => (0..count).map(|i| (format!("{name}-{i}"), Some(i))).collect(),
    }
}

/// `text` with its placeholders filled in.
///
/// # Errors
/// One line on a placeholder that does not exist, or not here.
pub(super) fn filled(text: &str, values: Values<'_>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let Some(length) = rest[open..].find('}') else { break };
        filled += &rest[..open];
        match (&rest[open + 1..open + length], values.instance) {
            ("job", _) => filled += values.job,
            ("task", _) => filled += values.task,
            ("i", Some(i)) => filled += &i.to_string(),
            ("i", None) => {
                return Err(format!("'{text}' has '{{i}}', but the task has no 'instances'"));
            }
            (other, _) => {
                return Err(format!(
                    "'{text}' has '{{{}}}'; accepted is {{job}}, {{task}} and {{i}}",
                    volume_labels::cleaned(other)
                ));
            }
        }
        rest = &rest[open + length + 1..];
    }
    Ok(filled + rest)
}
