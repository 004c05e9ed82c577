//! `agents`: the drivers and volumes of all agents of a master.
//!
//! The master names its agents. Each agent's flags come from its own API, and say whether the
//! module is set up as it should be. What volumes there are is in the module's metrics, which no
//! API of Mesos has: they are read where `--metrics-url` says.

mod metrics;

use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use clap::Args;
use mesos_http::Endpoint;
use mesos_http::operator::{AgentState, Master};
use serde_json::{Value, json};

use crate::doctor::from_afar;
use crate::exit;
use crate::failure::Failure;
use crate::print::{self, Said, plain};
use crate::reach::Reach;
use metrics::Metrics;

/// So many agents are asked at the same time.
const AT_ONCE: usize = 32;

/// What is needed, and what the codes mean, for `--help`.
pub(crate) const HELP: &str = "\
It runs anywhere: agents are asked for their flags at their own addresses, by https:// when --master has it. Their drivers and volumes
come from the module's metrics. No API of Mesos has these, so set the module's parameter metrics_file to a file of node_exporter's
textfile collector, and name the address of node_exporter in --metrics-url; without it only the agents' flags count.

Examples:
  mesos-volumes agents --master 10.0.0.1:5050
  mesos-volumes agents --master 10.0.0.1:5050,10.0.0.2:5050 --metrics-url 'http://{host}:9100/metrics'
  mesos-volumes agents --master https://mesos.example:5050 --ca-file /etc/mesos/ca.pem --credential /etc/mesos/credential --json

Exit codes:
  0  each agent that has the module is healthy
  1  an agent is not healthy or does not answer; or another failure
  2  the command line is wrong
  4  no master can be reached
  6  the file of a credential or of a certificate cannot be used";

#[derive(Args)]
pub(crate) struct Arguments {
    /// The masters, of which one leads; `https://HOST:PORT` for TLS
    #[arg(long, value_name = "HOST:PORT,...", env = "MESOS_VOLUMES_MASTER")]
    master: String,
    /// Where an agent's metrics are served; {host} stands for the agent's host, {port} for its
    /// port, where a host has several agents
    #[arg(long, value_name = "URL", env = "MESOS_VOLUMES_METRICS_URL")]
    metrics_url: Option<String>,
    /// How long an answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// Print JSON, also for a failure
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// One agent.
struct Seen {
    id: String,
    host: String,
    url: String,
    version: String,
    health: Health,
    problems: Vec<String>,
    metrics: Option<Metrics>,
}

/// In the order in which agents are listed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    NoAnswer,
    Unhealthy,
    Healthy,
    WithoutModule,
}

impl Health {
    fn word(self) -> &'static str {
        match self {
            Self::NoAnswer => "no answer",
            Self::Unhealthy => "unhealthy",
            Self::Healthy => "healthy",
            Self::WithoutModule => "without the module",
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let outcome = survey(arguments).and_then(|seen| {
        print::said(&said(&seen), arguments.json)?;
        Ok(seen.iter().all(|it| it.health >= Health::Healthy))
    });
    match outcome {
        Ok(all_well) => exit::with(u8::from(!all_well)),
        Err(failure) => {
            if arguments.json {
                print::failure(&failure);
            }
            eprintln!("mesos-volumes: {failure}");
            exit::with(failure.code())
        }
    }
}

/// Every agent that is registered, those that need a look first.
fn survey(arguments: &Arguments) -> Result<Vec<Seen>, Failure> {
    let patience = Duration::from_secs(arguments.timeout);
    let reach = &arguments.reach;
    let masters = Endpoint::parse_list(&arguments.master)
        .map_err(|error| Failure::Settings(format!("{error}; correct --master: it is like 10.0.0.1:5050")))?;
    let is_tls = arguments.master.contains("https://");
    let mut master = Master::any_of(masters, patience);
    if is_tls {
        let tls = reach.tls().map_err(|error| Failure::Settings(error.to_string()))?;
        master = master.with_tls(tls);
    }
    let credential = reach
        .credential()
        .map_err(|error| Failure::Settings(error.to_string()))?;
    if let Some((principal, secret)) = credential {
        master = master.with_credential(&principal, &secret);
    }
    let agents = master.agents().map_err(|error| match error {
        mesos_http::Error::NotListening { .. }
        | mesos_http::Error::HostNotFound { .. }
        | mesos_http::Error::Unreachable { .. } => {
            Failure::Unreachable(format!("{error}; start a master there, or correct --master"))
        }
        mesos_http::Error::Unauthenticated { .. } | mesos_http::Error::Forbidden { .. } => Failure::Refused(format!(
            "{error}; name a principal that may see agents (--credential, or --principal and --secret-file)"
        )),
        error => Failure::Refused(format!("{error}; is a master at --master {}?", arguments.master)),
    })?;
    let waiting = Mutex::new(agents.iter());
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        waiting.next()
    };
    let ask_each = || -> Vec<Seen> {
        let each = std::iter::from_fn(next);
        each.map(|agent| ask(agent, is_tls, arguments, patience)).collect()
    };
    let mut seen: Vec<Seen> = thread::scope(|threads| {
        let asking: Vec<_> = (0..AT_ONCE.min(agents.len()))
            .map(|_| threads.spawn(ask_each))
            .collect();
        let answers = asking.into_iter();
        answers
            .flat_map(|thread| thread.join().expect("asking an agent does not panic"))
            .collect()
    });
    seen.sort_by(|one, other| (one.health, &one.host, &one.id).cmp(&(other.health, &other.host, &other.id)));
    Ok(seen)
}

fn ask(agent: &AgentState, is_tls: bool, arguments: &Arguments, patience: Duration) -> Seen {
    let info = &agent.agent_info;
    // The address that the agent listens on; its certificate has the host's name.
    let listens = agent
        .pid
        .as_deref()
        .and_then(|pid| pid.split_once('@'))
        .map(|(_, address)| address);
    let address = match listens {
        Some(address) if !is_tls => address.to_owned(),
        _ => format!("{}:{}", info.hostname, info.port),
    };
    let url = format!("{}://{address}", if is_tls { "https" } else { "http" });
    let mut seen = Seen {
        id: info.id.as_ref().map(|id| id.0.clone()).unwrap_or_default(),
        host: info.hostname.clone(),
        version: agent.version.clone(),
        health: Health::Healthy,
        problems: Vec::new(),
        metrics: None,
        url,
    };
    match from_afar(&seen.url, &arguments.reach, patience) {
        Ok(afar) if !afar.has_module => {
            seen.health = Health::WithoutModule;
            return seen;
        }
        Ok(afar) => {
            seen.version = afar.version;
            seen.problems = afar.failures;
        }
        Err(error) => {
            seen.health = Health::NoAnswer;
            seen.problems.push(error.to_string());
            return seen;
        }
    }
    if !agent.active {
        seen.problems
            .push("the master has no connection to it -> see the agent's log".to_owned());
    }
    if let Some(template) = &arguments.metrics_url {
        let (host, port) = address.rsplit_once(':').unwrap_or((&address, ""));
        match metrics::read(&template.replace("{host}", host).replace("{port}", port), patience) {
            Ok(metrics) => {
                seen.problems.extend_from_slice(&metrics.problems);
                seen.metrics = Some(metrics);
            }
            Err(error) => seen.problems.push(error.to_string()),
        }
    }
    if !seen.problems.is_empty() {
        seen.health = Health::Unhealthy;
    }
    seen
}

fn said(seen: &[Seen]) -> Said {
    let count = |health: Health| seen.iter().filter(|it| it.health == health).count();
    let (healthy, without) = (count(Health::Healthy), count(Health::WithoutModule));
    let expected = seen.len() - without;
    let mut text = format!("healthy {healthy} of {expected}");
    if without > 0 {
        text += &format!("; {without} more without the module");
    }
    text.push('\n');
    let mut rows = vec![
        ["AGENT", "STATE", "CONTAINERS", "VOLUMES", "WHAT IS WRONG"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for it in seen {
        let mut problems = it.problems.iter();
        rows.push(vec![
            plain(&it.host),
            it.health.word().to_owned(),
            it.metrics
                .as_ref()
                .map(|metrics| metrics.containers.to_string())
                .unwrap_or_default(),
            plain(&it.metrics.as_ref().map(volumes).unwrap_or_default()),
            problems.next().map(|problem| plain(problem)).unwrap_or_default(),
        ]);
        let further = problems.map(|problem| {
            vec![
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                plain(problem),
            ]
        });
        rows.extend(further);
    }
    if !seen.is_empty() {
        text += &foreign_text::columns(&rows);
    }
    Said {
        json: json!({
            "healthy": healthy,
            "expected": expected,
            "without_module": without,
            "agents": seen.iter().map(Seen::to_json).collect::<Vec<_>>(),
        }),
        text,
    }
}

/// `ebs 3 (2 mounted, 1 stuck)`, by driver.
fn volumes(metrics: &Metrics) -> String {
    let drivers = metrics.drivers.iter().map(|(driver, states)| {
        let total: u64 = states.values().sum();
        let states = states.iter().filter(|(_, count)| **count > 0);
        let states: Vec<String> = states.map(|(state, count)| format!("{count} {state}")).collect();
        if states.is_empty() {
            format!("{driver} {total}")
        } else {
            format!("{driver} {total} ({})", states.join(", "))
        }
    });
    drivers.collect::<Vec<_>>().join("; ")
}

impl Seen {
    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "host": self.host,
            "url": self.url,
            "version": self.version,
            "state": self.health.word().replace(' ', "_"),
            "problems": self.problems,
            "containers": self.metrics.as_ref().map(|metrics| metrics.containers),
            "volumes": self.metrics.as_ref().map(Metrics::volumes),
            "drivers": self.metrics.as_ref().map(|metrics| &metrics.drivers),
        })
    }
}
