//! Runs one command as a Mesos task, prints what becomes of it, and ends as it ends.
//!
//! ```text
//! cargo run -p mesos-http --example run_task -- --master 127.0.0.1:5050 \
//!     --label volume.data=vol-7bca078f --set ebsvolumes=vol-7bca078f --command 'date > data/now'
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use mesos_http::resources::{Demand, Resources};
use mesos_http::scheduler::{Call, Config, Connection, Event, Notice};
use mesos_http::tls::{Tls, TlsFiles};
use mesos_http::types::{CommandInfo, ContainerInfo, FrameworkInfo, Offer, TaskId, TaskInfo, TaskState, TaskStatus};

/// Runs one command as a Mesos task. Exit code: 0 finished, 1 the task ended otherwise, 2 it could
/// not be run.
#[derive(Debug, Parser)]
struct Options {
    /// The masters, HOST:PORT or https://HOST:PORT, separated by commas.
    #[arg(long, default_value = "127.0.0.1:5050")]
    master: String,
    /// The certificate authorities to believe masters with https:// by, in PEM.
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// The command, for the shell.
    #[arg(long)]
    command: String,
    /// A label of the task, KEY=VALUE. May be given several times.
    #[arg(long = "label", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// An environment variable, NAME=VALUE. May be given several times.
    #[arg(long = "env", value_parser = pair)]
    environment: Vec<(String, String)>,
    /// Cpus of the task.
    #[arg(long, default_value_t = 0.1)]
    cpus: f64,
    /// Memory of the task in MiB.
    #[arg(long, default_value_t = 32.0)]
    mem: f64,
    /// Items of a set the task needs, NAME=ITEM[,ITEM...]. May be given several times.
    #[arg(long = "set", value_parser = pair)]
    sets: Vec<(String, String)>,
    /// The user to run as.
    #[arg(long, default_value = "root")]
    user: String,
    /// The role to use resources of.
    #[arg(long, default_value = "*")]
    role: String,
    /// A Docker image to run in.
    #[arg(long)]
    image: Option<String>,
    /// Only on an agent with this attribute, NAME=TEXT. May be given several times.
    #[arg(long = "agent-attribute", value_parser = pair)]
    attributes: Vec<(String, String)>,
    /// Only on this host.
    #[arg(long)]
    host: Option<String>,
    /// The task's id; made from the time when absent.
    #[arg(long)]
    task_id: Option<String>,
    /// Without checkpointing: the task ends with its agent.
    #[arg(long)]
    no_checkpoint: bool,
    /// Seconds to wait for the task's end; then it is killed.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Only the last line.
    #[arg(long, short)]
    quiet: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_string(), value.to_string()))
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(status) => {
            let message = status.message.as_deref().unwrap_or_default();
            println!(
                "{} {}{}{message}",
                status.task_id,
                status.state,
                if message.is_empty() { "" } else { ": " }
            );
            if status.state == TaskState::Finished {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(1)
            }
        }
        Err(error) => {
            eprintln!("run_task: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<TaskStatus, Box<dyn std::error::Error>> {
    let framework = FrameworkInfo {
        checkpoint: !options.no_checkpoint,
        failover_timeout: 0.0,
        ..FrameworkInfo::new("run_task", &options.user).with_roles([&options.role])
    };
    let mut config = Config::new(&options.master, framework)?;
    if let Some(ca_file) = &options.ca_file {
        config.tls = Some(Tls::load(&TlsFiles {
            ca_file: Some(ca_file.clone()),
            ..TlsFiles::default()
        })?);
    }
    let connection = Connection::open(config);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let task_id: TaskId = options
        .task_id
        .clone()
        .unwrap_or_else(|| format!("run-task-{}", now.as_millis()))
        .into();
    let deadline = Instant::now() + Duration::from_secs(options.timeout);
    let mut launched = false;
    let mut killed = false;
    let mut shortage = String::from("no offer came");
    loop {
        let notice = match connection.notices().recv_deadline(deadline) {
            Ok(notice) => notice,
            Err(_) if launched && !killed => {
                connection.call(&Call::kill(task_id.clone(), None))?;
                killed = true;
                connection.notices().recv_timeout(Duration::from_secs(60))?
            }
            Err(_) => return Err(format!("nothing launched in {} s: {shortage}", options.timeout).into()),
        };
        match notice {
            Notice::Connected(subscribed) if !options.quiet => println!("subscribed as {}", subscribed.framework_id),
            Notice::Event(Event::Offers(offers)) => {
                for mut offer in offers {
                    let share = if launched {
                        Err("already launched".into())
                    } else {
                        fits(options, &mut offer)
                    };
                    match share {
                        Ok(share) => {
                            let (offer_id, hostname) = (offer.id.clone(), offer.hostname.clone());
                            let task = task(options, task_id.clone(), offer, share);
                            connection.call(&Call::launch(offer_id, vec![task]))?;
                            connection.call(&Call::Suppress { roles: vec![] })?;
                            launched = true;
                            if !options.quiet {
                                println!("{task_id} launched on {hostname}");
                            }
                        }
                        Err(reason) => {
                            connection.call(&Call::decline([offer.id], 1.0))?;
                            shortage = format!("{}: {reason}", offer.hostname);
                        }
                    }
                }
            }
            Notice::Event(Event::Update(status)) => {
                if let Some(acknowledge) = Call::acknowledge(&status) {
                    connection.call(&acknowledge)?;
                }
                if status.state.is_terminal() || status.state == TaskState::Lost {
                    connection.call(&Call::Teardown)?;
                    return Ok(status);
                }
                if !options.quiet {
                    println!("{} {}", status.task_id, status.state);
                }
            }
            Notice::Disconnected { error, .. } => eprintln!("run_task: {error}; trying again"),
            Notice::Failed(error) => return Err(error.into()),
            _ => {}
        }
    }
}

/// Takes the task's share of an offer, or says what is missing.
fn fits(options: &Options, offer: &mut Offer) -> Result<Resources, String> {
    if let Some((name, _)) = options
        .attributes
        .iter()
        .find(|(n, v)| offer.attribute(n) != Some(v.as_str()))
    {
        return Err(format!("attribute {name} is {:?}", offer.attribute(name)));
    }
    if options.host.as_ref().is_some_and(|host| *host != offer.hostname) {
        return Err("another host".to_string());
    }
    let demand = Demand::new().scalar("cpus", options.cpus).scalar("mem", options.mem);
    let demand = options
        .sets
        .iter()
        .fold(demand, |demand, (name, items)| demand.items(name, items.split(',')));
    offer.resources.take(&demand).map_err(|shortage| shortage.to_string())
}

fn task(options: &Options, task_id: TaskId, offer: Offer, share: Resources) -> TaskInfo {
    let command = CommandInfo::shell(&options.command);
    let command = options
        .environment
        .iter()
        .fold(command, |command, (name, value)| command.env(name, value));
    let mut task = TaskInfo::command(task_id, offer.agent_id, command, share);
    task.labels = options.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    match &options.image {
        Some(image) => task.with_container(ContainerInfo::mesos().with_docker_image(image)),
        None => task,
    }
}
