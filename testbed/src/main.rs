//! The testbed's command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::json;
use testbed::package::{DEFAULT_VERSION, Finding, MesosInstall, Package, PythonPrograms};
use testbed::{AgentSpec, Cluster, ClusterError, MasterSpec, Module, Process};

/// Real Mesos masters and agents on one machine.
#[derive(Parser)]
#[command(
    name = "testbed",
    version,
    after_help = "Examples:\n\
\x20 testbed up --agents 3 --zone zone-a,zone-b\n\
\x20 testbed fetch --mesos all\n\
\x20 testbed sweep"
)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Run a master and agents until Ctrl-C, then take everything away
    #[command(after_help = "Examples:\n\
\x20 testbed up --agents 3 --zone zone-a,zone-b\n\
\x20 testbed up --json --volumes vol-1,vol-2 --module target/debug/libmesos_external_volumes.so --module-name mesos_external_volumes --module-param 'state_dir={state}'")]
    Up(Box<Up>),
    /// Download the official Mesos library and compile the programs, without running anything
    #[command(after_help = "Examples:\n\
\x20 testbed fetch\n\
\x20 testbed fetch --mesos all")]
    Fetch {
        /// The Mesos release, or `all` of them
        #[arg(long, default_value = DEFAULT_VERSION)]
        mesos: String,
        /// Install the programs of others that tests run instead
        #[arg(long, conflicts_with = "mesos")]
        third_party: bool,
        /// Print the paths as JSON
        #[arg(long)]
        json: bool,
    },
    /// Clean away what clusters left whose processes were killed
    #[command(after_help = "Examples:\n\
\x20 testbed sweep")]
    Sweep,
    /// Compare a Mesos library with what the isolator module expects of it
    #[command(after_help = "Examples:\n\
\x20 testbed abi /usr/lib/libmesos-1.11.0.so")]
    Abi {
        /// The library: a libmesos, or `_scheduler.so` of the package mesos.scheduler
        library: PathBuf,
        /// The isolator module, whose symbols must be found in the library [default: this workspace's]
        #[arg(long, value_name = "PATH.so")]
        module: Option<PathBuf>,
        /// Print the findings as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct Up {
    /// How many agents
    #[arg(long, default_value_t = 1)]
    agents: usize,
    /// The Mesos release
    #[arg(long, default_value = DEFAULT_VERSION)]
    mesos: String,
    /// Zones of the agents, in turn: attribute `zone` and fault domain
    #[arg(long, value_delimiter = ',')]
    zone: Vec<String>,
    /// Resources of each agent
    #[arg(long, default_value_t = AgentSpec::default().resources)]
    resources: String,
    /// Ids in each agent's SET resource `ebsvolumes`
    #[arg(long, value_delimiter = ',')]
    volumes: Vec<String>,
    /// Attribute of each agent, as NAME=VALUE
    #[arg(long, value_parser = pair, value_name = "NAME=VALUE")]
    attribute: Vec<(String, String)>,
    /// Built-in isolators
    #[arg(long, value_delimiter = ',', default_value = "filesystem/linux")]
    isolation: Vec<String>,
    /// Shared library of an isolator module to load
    #[arg(long, value_name = "PATH.so", requires = "module_name")]
    module: Option<PathBuf>,
    /// The module's name in the library
    #[arg(long, value_name = "NAME")]
    module_name: Option<String>,
    /// Parameter of the module; {agent}, {state}, {drivers} and {index} stand for the agent's folders and number
    #[arg(long, value_parser = pair, value_name = "KEY=VALUE")]
    module_param: Vec<(String, String)>,
    /// The program that runs command tasks [default: this workspace's mesos-executor]
    #[arg(long, value_name = "PROGRAM")]
    executor: Option<PathBuf>,
    /// Another flag of mesos-agent, without dashes; the same places as in --module-param
    #[arg(long, value_parser = pair, value_name = "FLAG=VALUE")]
    agent_flag: Vec<(String, String)>,
    /// Another flag of mesos-master, without dashes
    #[arg(long, value_parser = pair, value_name = "FLAG=VALUE")]
    master_flag: Vec<(String, String)>,
    /// Print the endpoints as one line of JSON
    #[arg(long)]
    json: bool,
    /// Keep the cluster's folder
    #[arg(long)]
    keep: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Installs the programs of others, each once.
fn third_party() -> Result<(), ClusterError> {
    for section in PythonPrograms::sections() {
        PythonPrograms::ensure(section)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        What::Up(up) => run(*up),
        What::Fetch { third_party: true, .. } => third_party(),
        What::Fetch { mesos, json, .. } => match mesos.as_str() {
            "all" => Package::all()
                .iter()
                .try_for_each(|package| fetch(&package.version, json)),
            version => fetch(version, json),
        },
        What::Abi { library, module, json } => return abi(&library, module, json),
        What::Sweep => sweep(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testbed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn fetch(version: &str, as_json: bool) -> Result<(), ClusterError> {
    let install = MesosInstall::ensure(version)?;
    if as_json {
        println!(
            "{}",
            json!({"version": version, "library": install.library(), "programs": install.programs()})
        );
    } else {
        println!(
            "Mesos {version}\n  library   {}\n  programs  {}",
            install.library().display(),
            install.programs().display()
        );
    }
    Ok(())
}

/// Fails when something is not as expected.
fn abi(library: &Path, module: Option<PathBuf>, as_json: bool) -> ExitCode {
    let module = module.map_or_else(|| testbed::built("libmesos_external_volumes.so", "mesos-module"), Ok);
    let findings = match module.and_then(|module| Ok(testbed::package::inspect(library, &module)?)) {
        Ok(findings) => findings,
        Err(error) => {
            eprintln!("testbed: {error}");
            return ExitCode::from(2);
        }
    };
    for finding in &findings {
        let Finding { what, found, expected } = finding;
        let as_expected = finding.is_as_expected();
        if as_json {
            let finding = json!({"what": what, "found": found, "expected": expected, "as_expected": as_expected});
            println!("{finding}");
        } else if !as_expected {
            println!("! {what}: {found}\n      expected: {expected}");
        } else if !is_symbol(finding) {
            println!("  {what}: {found}");
        }
    }
    let good: Vec<&Finding> = findings.iter().filter(|finding| finding.is_as_expected()).collect();
    if !as_json {
        let symbols = findings.iter().filter(|finding| is_symbol(finding)).count();
        let there = good.iter().filter(|finding| is_symbol(finding)).count();
        println!("  symbols the module needs: {there} of {symbols} are there");
        println!("{} of {} as the module expects", good.len(), findings.len());
    }
    if good.len() == findings.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn is_symbol(finding: &Finding) -> bool {
    finding.what.starts_with("symbol ")
}

fn sweep() -> Result<(), ClusterError> {
    let swept = testbed::sweep()?;
    let mut left = Vec::new();
    for dead in &swept {
        println!("cleaned away {}", dead.folder.display());
        left.extend(dead.problems.iter().cloned());
    }
    if swept.is_empty() {
        println!("nothing to clean away");
    }
    if left.is_empty() {
        Ok(())
    } else {
        Err(ClusterError::LeftOver(left))
    }
}

fn run(up: Up) -> Result<(), ClusterError> {
    // Before anything is started: a signal that comes during the start is not lost.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(|source| ClusterError::Signal {
            name: "this process".to_owned(),
            source,
        })?;
    }
    let as_json = up.json;
    let zones = up.zone.clone();
    let cluster = specify(up).start()?;
    if as_json {
        println!("{}", as_line(&cluster)?);
    } else {
        print_for_people(&cluster, &zones)?;
    }

    let mut ended = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for process in processes(&cluster).filter(|process| process.pid().is_none()) {
            if !ended.contains(&process.name().to_owned()) {
                eprintln!(
                    "{} has ended; its log is {}",
                    process.name(),
                    process.log_path().display()
                );
                ended.push(process.name().to_owned());
            }
        }
        thread::sleep(Duration::from_millis(100));
    }
    eprintln!("taking the cluster away");
    cluster.tear_down()
}

fn specify(up: Up) -> testbed::ClusterBuilder {
    let module = up.module.zip(up.module_name).map(|(library, name)| Module {
        parameters: up.module_param,
        ..Module::new(library, name)
    });
    let agent = AgentSpec {
        resources: up.resources,
        volumes: up.volumes,
        attributes: up.attribute.into_iter().collect(),
        isolation: up.isolation,
        module,
        flags: up.agent_flag.into_iter().collect(),
        ..AgentSpec::default()
    };
    let master = MasterSpec {
        flags: up.master_flag.into_iter().collect(),
        ..MasterSpec::default()
    };
    let mut builder = Cluster::builder().mesos(up.mesos).master(master);
    if let Some(program) = up.executor {
        builder = builder.executor(program);
    }
    for index in 0..up.agents {
        let zone = (!up.zone.is_empty()).then(|| up.zone[index % up.zone.len()].clone());
        builder = builder.agent(AgentSpec { zone, ..agent.clone() });
    }
    if up.keep { builder.keep_folder() } else { builder }
}

fn processes(cluster: &Cluster) -> impl Iterator<Item = &Process> {
    cluster
        .agents()
        .iter()
        .map(|agent| &**agent)
        .chain([&**cluster.master()])
}

fn as_line(cluster: &Cluster) -> Result<serde_json::Value, ClusterError> {
    let agents = cluster
        .agents()
        .iter()
        .map(|agent| {
            Ok(json!({
                "url": agent.url(), "id": agent.id()?, "pid": agent.pid(), "folder": agent.folder(),
                "drivers": agent.drivers(), "log": agent.log_path(),
            }))
        })
        .collect::<Result<Vec<_>, ClusterError>>()?;
    let master = cluster.master();
    Ok(json!({
        "mesos": cluster.install().version(),
        "folder": cluster.folder(),
        "master": {"url": master.url(), "pid": master.pid(), "log": master.log_path()},
        "agents": agents,
    }))
}

fn print_for_people(cluster: &Cluster, zones: &[String]) -> Result<(), ClusterError> {
    let master = cluster.master();
    println!(
        "Mesos {} in {}",
        cluster.install().version(),
        cluster.folder().display()
    );
    println!("master   {}   log {}", master.url(), master.log_path().display());
    for agent in cluster.agents() {
        let zone = if zones.is_empty() {
            String::new()
        } else {
            format!("   zone {}", zones[agent.index() % zones.len()])
        };
        println!("agent {}  {}   id {}{zone}", agent.index(), agent.url(), agent.id()?);
        println!(
            "         drivers {}   log {}",
            agent.drivers().display(),
            agent.log_path().display()
        );
    }
    println!("Ctrl-C ends it");
    Ok(())
}
