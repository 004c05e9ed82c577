//! The environment of the task.

use std::collections::BTreeMap;
use std::ffi::OsString;

use mesos_http::executor::TOKEN_VARIABLE;
use mesos_http::types::{Environment, TaskInfo, VariableKind};

/// Where programs are looked for when nobody says otherwise.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables of a task, by name.
pub(crate) type Variables = BTreeMap<OsString, OsString>;

/// Merges what a task gets. A later source wins: the agent's environment, which is `inherited`,
/// then what isolators add, then what the command itself says.
pub(crate) fn of_task(
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    from_isolators: Option<&Environment>,
    from_command: &Environment,
    task: &TaskInfo,
) -> Variables {
    let mut variables: Variables = inherited.into_iter().collect();
    // The secret is the executor's: with it a task could speak to the agent in its name.
    variables.remove(&OsString::from(TOKEN_VARIABLE));
    for source in from_isolators.into_iter().chain([from_command]) {
        add(&mut variables, source);
    }
    let allocation = task
        .resources
        .iter()
        .find_map(|resource| resource.allocation_info.clone());
    if let Some(role) = allocation.and_then(|allocation| allocation.role) {
        variables.insert("MESOS_ALLOCATION_ROLE".into(), role.into());
    }
    variables.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
    variables
}

/// Adds variables, without those whose secret nobody has resolved.
pub(crate) fn add(variables: &mut Variables, environment: &Environment) {
    for variable in &environment.variables {
        if variable.kind != Some(VariableKind::Secret) {
            let value = variable.value.clone().unwrap_or_default();
            variables.insert(variable.name.clone().into(), value.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use mesos_http::resources::Resources;
    use mesos_http::types::{CommandInfo, Resource, Variable};

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment {
            variables: variables.iter().map(|(n, v)| Variable::new(*n, *v)).collect(),
        }
    }

    #[test]
    fn the_command_wins_over_isolators_and_those_over_the_agent() {
        let resources = Resources::from_iter([Resource::scalar("cpus", 1.0).allocated_to("etl")]);
        let task = TaskInfo::command("t", "S".into(), CommandInfo::shell("true"), resources);
        let inherited = [
            ("A", "agent"),
            ("B", "agent"),
            ("C", "agent"),
            (TOKEN_VARIABLE, "secret"),
        ];
        let inherited = inherited.map(|(n, v)| (n.into(), v.into()));
        let isolators = environment(&[("B", "isolator"), ("C", "isolator")]);
        let mut command = environment(&[("C", "command")]);
        let secret = Variable {
            kind: Some(VariableKind::Secret),
            ..Variable::new("D", "")
        };
        command.variables.push(secret);
        let variables = of_task(inherited, Some(&isolators), &command, &task);
        let text: Vec<String> = variables
            .iter()
            .map(|(n, v)| format!("{}={}", n.to_string_lossy(), v.to_string_lossy()))
            .collect();
        let path = format!("PATH={DEFAULT_PATH}");
        assert_eq!(
            text,
            ["A=agent", "B=isolator", "C=command", "MESOS_ALLOCATION_ROLE=etl", &path]
        );
    }
}
