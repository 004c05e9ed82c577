//! `ls --format`: one line for each volume, with names in braces that stand for what is known of
//! it.

use std::str::FromStr;

use super::picture::{User, Volume};
use super::selection::did_you_mean;
use super::words;
use crate::print::plain;

/// The names that a template can have in braces.
const FIELDS: [&str; 10] = [
    "volume",
    "driver",
    "state",
    "mountpoint",
    "container",
    "does",
    "since",
    "try",
    "next_try",
    "last_error",
];

/// What to print of each volume.
///
/// `{name}` stands for a field, `{{` and `}}` for a brace, `\t` for a tab and `\n` for a new line.
/// A template with `{container}` or `{does}` gives a line for each container of a volume, any other
/// one a line for each volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(&'static str),
}

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TemplateError {
    #[error("unknown field '{{{name}}}'{}; the fields are: {}", did_you_mean(name, &FIELDS), FIELDS.join(", "))]
    Field { name: String },
    #[error("a '{{' is not closed; write '{{{{' for a brace itself")]
    Open,
    #[error("a '}}' closes nothing; write '}}}}' for a brace itself")]
    Close,
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain_text = String::new();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '{' if characters.next_if_eq(&'{').is_some() => plain_text.push('{'),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match characters.next() {
                            Some('}') => break,
                            Some(character) => name.push(character),
                            None => return Err(TemplateError::Open),
                        }
                    }
                    let field = FIELDS.into_iter().find(|field| *field == name);
                    parts.push(Part::Text(std::mem::take(&mut plain_text)));
                    parts.push(Part::Field(field.ok_or(TemplateError::Field { name })?));
                }
                '}' if characters.next_if_eq(&'}').is_some() => plain_text.push('}'),
                '}' => return Err(TemplateError::Close),
                '\\' if characters.next_if_eq(&'t').is_some() => plain_text.push('\t'),
                '\\' if characters.next_if_eq(&'n').is_some() => plain_text.push('\n'),
                character => plain_text.push(character),
            }
        }
        parts.push(Part::Text(plain_text));
        Ok(Self(parts))
    }
}

impl Template {
    /// The lines for one volume.
    pub(super) fn lines(&self, volume: &Volume) -> String {
        let by_container = self
            .0
            .iter()
            .any(|part| matches!(part, Part::Field("container" | "does")));
        if by_container && !volume.users.is_empty() {
            volume.users.iter().map(|user| self.line(volume, Some(user))).collect()
        } else {
            self.line(volume, None)
        }
    }

    fn line(&self, volume: &Volume, user: Option<&User>) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(name) => plain(&field(name, volume, user)),
        });
        parts.collect::<String>() + "\n"
    }
}

fn field(name: &str, volume: &Volume, user: Option<&User>) -> String {
    match name {
        "volume" => volume.key.name.clone(),
        "driver" => volume.key.driver.clone(),
        "state" => volume.state.clone(),
        "mountpoint" => volume
            .mountpoint
            .as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
        "container" => user.map(|user| user.container.to_string()).unwrap_or_default(),
        "does" => user.map(|user| user.does.as_str().to_owned()).unwrap_or_default(),
        "since" => words(user.map_or(volume.since, |user| user.since)),
        "try" if volume.attempt > 0 => volume.attempt.to_string(),
        "next_try" => words(volume.next_retry),
        "last_error" => volume.last_error.clone().unwrap_or_default(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_and_backslashes_stand_for_themselves_when_they_are_doubled_or_unknown() {
        let Template(parts) = r"{{{volume}}}\t\x".parse().unwrap();
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(parts, [text("{"), Part::Field("volume"), text("}\t\\x")]);
    }

    #[test]
    fn a_template_with_an_unknown_field_or_a_single_brace_names_it() {
        let error = |text: &str| text.parse::<Template>().unwrap_err().to_string();
        assert!(
            error("{volum}")
                .starts_with("unknown field '{volum}', did you mean 'volume'?; the fields are: volume, driver")
        );
        assert_eq!(error("{volume"), "a '{' is not closed; write '{{' for a brace itself");
        assert_eq!(error("volume}"), "a '}' closes nothing; write '}}' for a brace itself");
    }
}
