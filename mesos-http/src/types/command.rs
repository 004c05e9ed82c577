//! Commands: what a task or executor runs.

use serde::{Deserialize, Serialize};

use super::wire::{is_false, open_enum};

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandInfo {
    /// The shell command, or without a shell the path of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Whether `value` is run by `sh -c`.
    #[serde(default = "default_shell")]
    pub shell: bool,
    /// Without a shell: the whole argument list, the program's name first. With one: ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Environment variables to add.
    #[serde(default, skip_serializing_if = "Environment::is_empty")]
    pub environment: Environment,
    /// The user to run as; the framework's user when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the agent fetches into the sandbox before the start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uris: Vec<Uri>,
}

fn default_shell() -> bool {
    true
}

impl Default for CommandInfo {
    fn default() -> Self {
        CommandInfo {
            value: None,
            shell: true,
            arguments: Vec::new(),
            environment: Environment::default(),
            user: None,
            uris: Vec::new(),
        }
    }
}

impl CommandInfo {
    /// A command for the shell.
    pub fn shell(command: impl Into<String>) -> CommandInfo {
        CommandInfo {
            value: Some(command.into()),
            ..CommandInfo::default()
        }
    }

    /// A program with its arguments; `argv` begins with the program, which is looked up in `PATH`
    /// when it has no slash.
    pub fn program<T: Into<String>>(argv: impl IntoIterator<Item = T>) -> CommandInfo {
        let arguments: Vec<String> = argv.into_iter().map(Into::into).collect();
        CommandInfo {
            value: arguments.first().cloned(),
            shell: false,
            arguments,
            ..CommandInfo::default()
        }
    }

    /// The same command, run as `user`.
    pub fn as_user(mut self, user: impl Into<String>) -> CommandInfo {
        self.user = Some(user.into());
        self
    }

    /// The same command with one more environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> CommandInfo {
        self.environment.variables.push(Variable::new(name, value));
        self
    }
}

/// Environment variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// In order; a later one wins over an earlier one of the same name.
    #[serde(default)]
    pub variables: Vec<Variable>,
}

impl Environment {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }
}

open_enum! {
    /// What an environment variable's value is.
    VariableKind {
        /// Text.
        Value = "VALUE",
        /// A secret that an agent's isolator resolves; unresolved it has no value.
        Secret = "SECRET",
    }
}

/// One environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// Text when absent.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<VariableKind>,
    /// The value of a variable that is not a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl Variable {
    /// A variable with a plain value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Variable {
        Variable {
            name: name.into(),
            kind: None,
            value: Some(value.into()),
        }
    }
}

/// Something the agent's fetcher brings into the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uri {
    /// Where it comes from.
    pub value: String,
    /// Whether it is made executable; then it is not unpacked.
    #[serde(default, skip_serializing_if = "is_false")]
    pub executable: bool,
    /// Whether a known archive is unpacked.
    #[serde(default = "default_shell")]
    pub extract: bool,
    /// Whether the agent may keep it in its cache.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cache: bool,
    /// The name in the sandbox; that of the source when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_file: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_without_a_shell_field_is_for_the_shell() {
        let command: CommandInfo = serde_json::from_str(r#"{"value":"true"}"#).unwrap();
        assert_eq!(command, CommandInfo::shell("true"));
    }

    #[test]
    fn a_program_carries_its_name_as_first_argument() {
        let command = CommandInfo::program(["sleep", "5"]).as_user("nobody").env("A", "1");
        let json = serde_json::json!({
            "value": "sleep", "shell": false, "arguments": ["sleep", "5"], "user": "nobody",
            "environment": {"variables": [{"name": "A", "value": "1"}]},
        });
        assert_eq!(serde_json::to_value(command).unwrap(), json);
    }
}
