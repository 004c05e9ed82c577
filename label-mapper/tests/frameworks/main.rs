//! Definitions as each framework's documentation describes them, read and written: what is asked
//! for is there afterwards, and every other byte is as it was.

mod aurora;
mod chronos;
mod cook;
mod dcos_commons;
mod dcos_yaml;
mod generated_names;
mod marathon;
mod own_fields;
mod properties;
mod refusals;
mod singularity;
mod spark;
mod task_info;

use label_mapper::{Catalogue, Channel, Converted, Framework, Options, TaskReport, convert, migrate, migrate_back};

pub(crate) fn catalogue() -> Catalogue {
    Catalogue::from_texts([include_str!("definitions/catalogue.yaml")]).expect("the catalogue is good")
}

/// What is converted, how.
pub(crate) struct Case<'a> {
    pub(crate) framework: Framework,
    pub(crate) text: &'a str,
    pub(crate) options: Options<'a>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(framework: Framework, text: &'a str, catalogue: &'a Catalogue) -> Self {
        let options = Options {
            catalogue: Some(catalogue),
            ..Options::default()
        };
        Self {
            framework,
            text,
            options,
        }
    }

    /// Converts, and checks that the text differs from the old one in exactly these replacements,
    /// and that converting what came out changes nothing more.
    #[track_caller]
    pub(crate) fn converts(&self, edits: &[(&str, &str)]) -> Converted {
        let converted = convert(self.framework, self.text, &self.options).expect("the definition converts");
        assert_edits(self.text, &converted.definition, edits);
        let again = Options {
            given: &[],
            ..self.options
        };
        let twice = convert(self.framework, &converted.definition, &again).expect("what came out converts");
        assert_eq!(
            twice.definition, converted.definition,
            "converting twice is converting once"
        );
        converted
    }

    #[track_caller]
    pub(crate) fn migrates(&self, edits: &[(&str, &str)]) -> Converted {
        let migrated = migrate(self.framework, self.text, &self.options).expect("the definition migrates");
        assert_edits(self.text, &migrated.definition, edits);
        migrated
    }

    #[track_caller]
    pub(crate) fn migrates_back(&self, edits: &[(&str, &str)]) -> Converted {
        let migrated = migrate_back(self.framework, self.text, &self.options).expect("the definition migrates back");
        assert_edits(self.text, &migrated.definition, edits);
        migrated
    }

    /// The one line that says why it does not convert.
    #[track_caller]
    pub(crate) fn refuses(&self) -> String {
        let error = convert(self.framework, self.text, &self.options).expect_err("the definition is refused");
        one_line(&error.to_string())
    }
}

#[track_caller]
pub(crate) fn one_line(message: &str) -> String {
    assert!(!message.contains('\n'), "not one line: {message}");
    message.to_owned()
}

#[track_caller]
pub(crate) fn assert_edits(before: &str, after: &str, edits: &[(&str, &str)]) {
    let mut expected = before.to_owned();
    for (old, new) in edits {
        assert_eq!(expected.matches(old).count(), 1, "'{old}' must stand there once");
        expected = expected.replacen(old, new, 1);
    }
    assert_eq!(after, expected);
}

/// The note that has these words.
#[track_caller]
pub(crate) fn has_note(task: &TaskReport, words: &str) {
    assert!(
        task.notes.iter().any(|note| note.contains(words)),
        "no '{words}' in {:#?}",
        task.notes
    );
}

#[track_caller]
pub(crate) fn only(converted: &Converted, channel: Channel) -> &TaskReport {
    let [task] = converted.tasks.as_slice() else {
        panic!("one task has volumes: {:?}", converted.tasks);
    };
    assert_eq!(task.channel, channel);
    task
}
