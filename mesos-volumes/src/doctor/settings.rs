//! Whether the agent's flags and the module's parameters fit together.

use std::path::Path;

use isolator::{Config, DEADLINE_REMEDY, DeadlineFit};

use super::agent::Agent;
use super::finding::Finding;
use super::modules::{self, Entry, MODULE};

/// Releases that the module is tested with: 1.4 to 1.11.
const MINORS: std::ops::RangeInclusive<u32> = 4..=11;

/// The agent answers, with this version.
pub(super) fn version(agent: &Agent) -> Finding {
    let minor = agent
        .version
        .strip_prefix("1.")
        .and_then(|rest| rest.split('.').next()?.parse().ok());
    match minor {
        Some(minor) if MINORS.contains(&minor) => Finding::ok("agent", format!("it runs Mesos {}", agent.version)),
        _ => Finding::warn(
            "agent",
            format!("it runs Mesos '{}', with which the module is not tested", agent.version),
            "the module refuses to load where the library is not as it expects; run Mesos 1.4 to 1.11",
        ),
    }
}

/// The module is loaded, from a library that is there.
pub(super) fn loaded(agent: &Agent) -> (Finding, Option<Entry>) {
    let texts = match agent.modules() {
        Ok(texts) => texts,
        Err(problem) => {
            return (
                Finding::fail("modules", problem, "run this on the agent's host, as its user"),
                None,
            );
        }
    };
    let mut entries = Vec::new();
    for text in texts {
        match modules::ours(&text) {
            Ok(found) => entries.extend(found),
            Err(problem) => {
                let found = format!("cannot read what the agent says of its modules: {problem}");
                return (
                    Finding::fail("modules", found, "compare --modules with the README"),
                    None,
                );
            }
        }
    }
    match entries.as_slice() {
        [] => {
            let found = format!("neither --modules nor --modules_dir names {MODULE}");
            let remedy = "add the library and the module to --modules, as the README shows, and restart the agent";
            (Finding::fail("modules", found, remedy), None)
        }
        [entry] => {
            let file = Path::new(&entry.file);
            let finding = if entry.file.is_empty() || file.is_file() {
                Finding::ok("modules", format!("{MODULE} from {}", file.display()))
            } else {
                Finding::warn(
                    "modules",
                    format!(
                        "{MODULE} was loaded from {}, which is no longer a file on this host",
                        file.display()
                    ),
                    "put the library back: the agent cannot start again without it",
                )
            };
            (finding, Some(entry.clone()))
        }
        [_, second, ..] => (
            Finding::fail(
                "modules",
                format!("{MODULE} is named {} times", entries.len()),
                "name it once",
            ),
            Some(second.clone()),
        ),
    }
}

/// `--isolation` has the module and what it needs.
pub(super) fn isolation(agent: &Agent, is_loaded: bool) -> Vec<Finding> {
    let flag = agent.flag("isolation");
    let count = flag.split(',').filter(|name| name.trim() == MODULE).count();
    let used = match count {
        1 => Finding::ok("isolation", format!("--isolation={flag}")),
        0 => {
            let loaded = if is_loaded { "is loaded but not" } else { "is not" };
            Finding::fail(
                "isolation",
                format!("{MODULE} {loaded} in --isolation, so no task gets a volume"),
                "add it after filesystem/linux and restart the agent",
            )
        }
        count => Finding::fail(
            "isolation",
            format!("--isolation={flag} names {MODULE} {count} times"),
            "name it once, after filesystem/linux, and restart the agent",
        ),
    };
    let linux = if flag.split(',').any(|name| name.trim() == "filesystem/linux") {
        Finding::ok("filesystem", "filesystem/linux is in --isolation")
    } else {
        Finding::warn(
            "filesystem",
            "filesystem/linux is not in --isolation: volumes are mounted, but containers with an image fail ('Unsupported container \
             image type'), and the agent does not start with --image_providers",
            "add filesystem/linux in front of the module, unless no task has an image",
        )
    };
    let launcher = match agent.flag("launcher") {
        "linux" => Finding::ok("launcher", "--launcher=linux"),
        other => Finding::fail(
            "launcher",
            format!("--launcher={other} gives containers no mount namespace"),
            "run the agent as root with --launcher=linux",
        ),
    };
    vec![used, linux, launcher]
}

/// The module's parameters, as the module itself reads them.
pub(super) fn parameters(entry: &Entry) -> (Finding, Option<Config>) {
    // The one parameter that is not the isolator's own.
    let own = entry.parameters.iter().filter(|(key, _)| key != "log_level");
    match Config::from_parameters(&own.cloned().collect::<Vec<_>>()) {
        Ok(config) => (
            Finding::ok(
                "parameters",
                format!("{} are given and all are accepted", entry.parameters.len()),
            ),
            Some(config),
        ),
        Err(error) => (
            Finding::fail(
                "parameters",
                error.to_string(),
                "correct it: the agent cannot start again like this",
            ),
            None,
        ),
    }
}

/// Each source of volumes has one reader: two would mount a volume twice, and unmount it under each
/// other's containers.
pub(super) fn sources(agent: &Agent, config: &Config) -> Finding {
    let flag = agent.flag("isolation");
    let sources = [
        ("docker_volume_source", config.docker_volume_source, "docker/volume"),
        (
            "dvdi_source",
            config.dvdi_source,
            "com_emccode_mesos_DockerVolumeDriverIsolator",
        ),
    ];
    let mut read = vec!["labels"];
    for (parameter, _, other) in sources.into_iter().filter(|(_, on, _)| *on) {
        if flag.split(',').any(|name| name.trim() == other) {
            return Finding::fail(
                "sources",
                format!("{parameter} is on, and --isolation={flag} has {other}: both mount the same volumes"),
                format!("take {other} out of --isolation, or {parameter} out of the module's parameters"),
            );
        }
        read.push(parameter);
    }
    Finding::ok("sources", format!("volumes come from {}", read.join(", ")))
}

/// The files that parameters name.
pub(super) fn files(config: &Config) -> Finding {
    let problems = config.file_problems();
    if problems.is_empty() {
        return Finding::ok("files", "every file that a parameter names can be used");
    }
    Finding::fail(
        "files",
        problems.join("; "),
        "correct the file; it is reread without a restart",
    )
}

/// What keeps one framework from another's volumes.
pub(super) fn policy(config: &Config) -> Finding {
    match &config.policy {
        Some(file) => Finding::ok("policy", format!("{} says who may have which volume", file.display())),
        None => Finding::warn(
            "policy",
            "the built-in one holds: any task may have any volume that exists, of any driver; none is created",
            "on a shared cluster write one, beginning with docs/policy.example.json, and name it in the parameter policy",
        ),
    }
}

/// Our own time limits end before Mesos' own, after which a framework hears nothing of the cause.
pub(super) fn deadline(agent: &Agent, config: &Config) -> Finding {
    let flag = agent.flag("executor_registration_timeout");
    let registration = match mesos_durations::parse(flag) {
        Ok(registration) => registration,
        Err(error) => {
            let found = format!("--executor_registration_timeout={flag}: {error}");
            let remedy =
                "compare it with prepare_timeout and cleanup_wait by hand: it must be longer than both together";
            return Finding::warn("deadline", found, remedy);
        }
    };
    match config.deadline_fit(registration) {
        DeadlineFit::TooLate(problem) => Finding::fail("deadline", problem, DEADLINE_REMEDY),
        DeadlineFit::Tight(problem) => Finding::warn("deadline", problem, DEADLINE_REMEDY),
        DeadlineFit::Fits => Finding::ok(
            "deadline",
            format!(
                "--executor_registration_timeout={flag} is longer than prepare_timeout ({:?}) and cleanup_wait ({:?}) together",
                config.prepare_timeout, config.cleanup_wait
            ),
        ),
    }
}

/// Absolute paths into the sandbox mean the same to both.
pub(super) fn sandbox(agent: &Agent, config: &Config) -> Finding {
    let flag = agent.flag("sandbox_directory");
    if Path::new(flag) == config.sandbox_directory {
        return Finding::ok("sandbox", format!("--sandbox_directory={flag}"));
    }
    Finding::fail(
        "sandbox",
        format!(
            "--sandbox_directory={flag}, sandbox_directory is {}",
            config.sandbox_directory.display()
        ),
        "give the module's parameter the flag's value",
    )
}

/// Where claims are demanded the agent offers something to claim.
pub(super) fn claims(agent: &Agent, config: &Config) -> Option<Finding> {
    let resource = &config.claim_resource;
    if !config.require_claim {
        return None;
    }
    let flag = agent.flag("resources");
    Some(
        if flag.contains(resource.as_str()) || flag.starts_with("file://") || flag.starts_with('/') {
            Finding::ok("claims", format!("--resources has {resource}"))
        } else {
            Finding::warn(
                "claims",
                format!(
                    "require_claim is on, and --resources={flag} has no {resource}: no container can hold a volume's id"
                ),
                format!("add '{resource}:{{vol-...}}' to --resources"),
            )
        },
    )
}
