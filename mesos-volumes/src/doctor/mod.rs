//! `doctor`: looks at a running agent from outside, and says what is wrong and what to do about it.
//! Changes nothing.

mod afar;
mod agent;
mod finding;
mod host;
mod modules;
mod mounts;
mod settings;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use volume_labels::counted;

use agent::{Agent, Asking, PATIENCE};
use finding::{Finding, State};

use crate::exit;
use crate::print::{self, plain};
use crate::reach::Reach;

pub(crate) use afar::from_afar;

/// What the codes mean, for `--help`.
pub(crate) const HELP: &str = "\
Run it on the agent's host as root: folders, drivers and mounts are looked at from there.

Examples:
  mesos-volumes doctor
  mesos-volumes doctor --agent-url https://agent-7.example:5051 --ca-file /etc/mesos/ca.pem --credential /etc/mesos/credential

Exit codes:
  0  nothing failed; there may be warnings
  1  a check failed, or the output cannot be written
  2  the command line is wrong";

#[derive(Args)]
pub(crate) struct Arguments {
    /// Where the agent answers, as in `http://10.0.0.7:5051` or `https://agent-7.example:5051`
    #[arg(
        long,
        value_name = "URL",
        env = "MESOS_VOLUMES_AGENT_URL",
        default_value = "http://127.0.0.1:5051"
    )]
    agent_url: String,
    #[command(flatten)]
    reach: Reach,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let asking = Asking {
        url: &arguments.agent_url,
        reach: &arguments.reach,
        patience: PATIENCE,
    };
    let findings = examine(&asking);
    let worst = findings.iter().map(|finding| finding.state).max().unwrap_or(State::Ok);
    let text = if arguments.json {
        let checks: Vec<_> = findings.iter().map(Finding::to_json).collect();
        let found = json!({ "agent": arguments.agent_url, "worst": worst.word(), "checks": checks });
        print::json(&found) + "\n"
    } else {
        human(&findings)
    };
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        eprintln!("mesos-volumes: cannot write the output: {error}");
        return exit::with(1);
    }
    exit::with(u8::from(worst == State::Fail))
}

/// What can be looked at is, whatever else is wrong.
fn examine(asking: &Asking<'_>) -> Vec<Finding> {
    let mut findings = vec![host::kernel()];
    let agent = match Agent::ask(asking) {
        Ok(agent) => agent,
        Err(problem) => {
            findings.push(Finding::fail(problem.check(), problem.to_string(), problem.remedy()));
            return findings;
        }
    };
    findings.push(settings::version(&agent));
    let (loaded, entry) = settings::loaded(&agent);
    findings.push(loaded);
    findings.extend(settings::isolation(&agent, entry.is_some()));
    let Some(entry) = entry else { return findings };
    let (parameters, config) = settings::parameters(&entry);
    findings.push(parameters);
    let Some(config) = config else { return findings };
    findings.push(settings::sources(&agent, &config));
    findings.push(settings::files(&config));
    findings.push(settings::policy(&config));
    findings.push(settings::deadline(&agent, &config));
    findings.push(settings::sandbox(&agent, &config));
    findings.extend(settings::claims(&agent, &config));
    findings.extend(host::state_folder(&config));
    findings.extend(host::propagation(&config));
    findings.extend(host::drivers(&config));
    findings.extend(mounts::unrecorded(&config));
    findings.extend(host::reports(&config));
    findings
}

fn human(findings: &[Finding]) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.check.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    let mut line = |state: &str, check: &str, said: &str| {
        // Words of agents and drivers are data: a terminal never gets characters that are not seen.
        let said = plain(said);
        // A String takes whatever is written to it.
        let _ = writeln!(text, "{state:<4}  {check:<width$}  {said}");
    };
    for finding in findings {
        line(finding.state.word(), finding.check, &finding.found);
        if !finding.remedy.is_empty() {
            line("", "", &format!("-> {}", finding.remedy));
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (failed, warned) = (count(State::Fail), count(State::Warn));
    let _ = writeln!(
        text,
        "\n{}: {failed} failed, {warned} with a warning",
        counted(findings.len(), "check")
    );
    text
}
