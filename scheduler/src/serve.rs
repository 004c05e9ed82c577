//! `scheduler serve`.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use label_mapper::Spelling;
use rustix::process::getuid;
use scheduler::access::{self, Limits};
use scheduler::bounded::{CommandUser, Commands};
use scheduler::clock::Clock;
use scheduler::framework::{RunError, subscribe};
use scheduler::notification::{self, Notifier};
use scheduler::service::listing::Listing;
use scheduler::service::logs::AgentAccess;
use scheduler::service::serve::Running;
use scheduler::service::storage::{Folder, framework_id};
use scheduler::service::{Service, Settings, api};
use scheduler::store::StoreError;

use crate::framework_args::FrameworkArgs;
use crate::listen::ListenArgs;
use crate::{Failure, REFUSED, STATE, print, print_run_progress, usage};

/// How long an instance that was taken over may take to end.
const STEP_BACK: Duration = Duration::from_secs(30);
/// How often the folder's lock is tried.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// What `scheduler serve --help` ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  For this host only; every user of the host can add jobs:
    scheduler serve --master 10.0.0.1:5050 --state /var/lib/scheduler
  For other hosts, with a token and TLS:
    (umask 077; openssl rand -hex 32 > /etc/scheduler/token)
    scheduler serve --master 10.0.0.1:5050 --state /var/lib/scheduler --listen 0.0.0.0:8180 \\
      --allow-host scheduler.example.org --token-file /etc/scheduler/token --tls-cert cert.pem --tls-key key.pem
    curl -H \"Authorization: Bearer $(cat /etc/scheduler/token)\" --data-binary @job.yml https://scheduler.example.org:8180/v1/jobs
  Behind a proxy on this host that asks for credentials and keeps the Host header:
    scheduler serve --master 10.0.0.1:5050 --state /var/lib/scheduler --allow-host jobs.example.org
  With commands of job files, which run as the user 'notify':
    scheduler serve --master 10.0.0.1:5050 --state /var/lib/scheduler --allow-commands --commands-user notify";

#[derive(Args)]
pub(crate) struct ServeArgs {
    /// The masters, of which one leads; `https://HOST:PORT` for TLS
    #[arg(long, value_name = "HOST:PORT,...", env = "SCHEDULER_MASTER")]
    master: String,
    /// The folder that keeps jobs, runs and claims, made when missing
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    #[command(flatten)]
    listen: ListenArgs,
    /// Write the address that is served to this file, once it is
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
    /// Let job files name commands that run on this host when a run ends (`notify: {failure: {command: ...}}`); without it
    /// such a job is refused
    #[arg(long)]
    allow_commands: bool,
    /// The user that these commands run as [default: nobody when the scheduler is root, and otherwise its own user]
    #[arg(long, value_name = "USER", requires = "allow_commands")]
    commands_user: Option<String>,
    /// When another instance uses the folder: take its framework over, wait until that instance has
    /// ended, and continue
    #[arg(long)]
    take_over: bool,
    /// What `aws ec2 describe-volumes` printed, or a catalogue file with volumes and aliases; read again and again. May be
    /// repeated
    #[arg(long, value_name = "FILE", env = "SCHEDULER_CATALOGUE")]
    catalogue: Vec<PathBuf>,
    /// A command that prints a catalogue, such as `aws ec2 describe-volumes`
    #[arg(long, value_name = "COMMAND")]
    catalogue_command: Option<String>,
    /// How often the catalogue is read or the command run, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    catalogue_every: f64,
    /// How long the catalogue command may take, in seconds; then it and everything it has started
    /// are killed
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    catalogue_timeout: f64,
    /// How labels spell the volumes of the catalogue: `id`, or `name` for agents without a `name_map` file
    #[arg(long, value_enum, default_value_t)]
    spelling: Spelling,
    #[command(flatten)]
    framework: FrameworkArgs,
    /// Report a claim that has been RELEASING, SUSPECT or FENCED for this many seconds, and again
    /// each time after as many
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    release_alarm: u64,
    /// How many ended runs of each job are kept
    #[arg(long, value_name = "N", default_value_t = 20)]
    keep: usize,
    /// Print what happens as JSON, one object a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn serve(arguments: ServeArgs) -> Result<(), Failure> {
    let framework = arguments.framework.framework("scheduler", arguments.master.clone())?;
    let every = Duration::try_from_secs_f64(arguments.catalogue_every)
        .ok()
        .filter(|every| *every >= Duration::from_millis(100))
        .ok_or_else(|| usage("--catalogue-every is at least 0.1"))?;
    let timeout = Duration::try_from_secs_f64(arguments.catalogue_timeout)
        .ok()
        .filter(|timeout| *timeout >= Duration::from_millis(100))
        .ok_or_else(|| usage("--catalogue-timeout is at least 0.1"))?;
    let listing = Listing {
        files: arguments.catalogue.clone(),
        command: arguments.catalogue_command.clone(),
        commands: Commands::of_caller(timeout),
    };
    let listing = (!listing.is_empty()).then_some(listing);
    let settings = Settings {
        rules: framework.rules.clone(),
        storage: listing.is_some(),
        source: listing.as_ref().map(Listing::source).unwrap_or_default(),
        spelling: arguments.spelling,
        keep: arguments.keep,
        release_alarm: arguments.release_alarm.saturating_mul(1000),
        commands: arguments.allow_commands,
    };
    let notifier = Notifier::new(commands(&arguments)?);
    let entrance = arguments.listen.entrance()?;
    let refused = |error: RunError| match error {
        RunError::Address(_) => usage(error),
        RunError::Store(_) => Failure(error.to_string(), STATE),
        RunError::Master { .. } | RunError::Credentials { .. } => Failure(error.to_string(), REFUSED),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| usage(format!("cannot begin to serve: {error}")))?;
    let listener = runtime.block_on(arguments.listen.bind())?;
    let address = listener.local_addr().map_err(usage)?;

    let (mut folder, connection) = match Folder::open(&arguments.state) {
        Ok(folder) => {
            let id = framework_id(&arguments.state).map_err(usage)?;
            (folder, subscribe(&framework, id).map_err(refused)?)
        }
        Err(StoreError::InUse { .. }) if arguments.take_over => {
            let id = framework_id(&arguments.state)
                .map_err(usage)?
                .ok_or_else(|| usage("the instance that has the folder has no framework yet; end it first"))?;
            // The master ends the subscription of the other instance, which then releases the
            // folder.
            let connection = subscribe(&framework, Some(id)).map_err(refused)?;
            (wait_for(&arguments.state)?, connection)
        }
        Err(error) => return Err(usage(error)),
    };
    let json = arguments.json;
    let report = Box::new(move |now, run: Option<&String>, progress: &_| print_run_progress(json, now, run, progress));
    let clock = Clock::start();
    let saved = folder.load().map_err(usage)?;
    let service = Service::new(settings, saved.service, saved.ledger, saved.runs, clock.now()).map_err(usage)?;
    let running = Running::start(service, Box::new(folder), connection, &clock, notifier, report);
    if let Some(listing) = listing {
        running.list(listing, every).map_err(usage)?;
    }
    running.watch(&framework).map_err(refused)?;
    let agents = AgentAccess {
        https: framework.masters.starts_with("https://"),
        tls: framework.tls.clone(),
    };
    let router = entrance.access(address).protect(api::router(running.shared(), agents));
    let scheme = if entrance.tls.is_some() { "https" } else { "http" };
    runtime.spawn(access::serve(listener, entrance.tls, router, Limits::default()));
    if let Some(file) = &arguments.address_file {
        std::fs::write(file, address.to_string()).map_err(|error| usage(format!("{}: {error}", file.display())))?;
    }
    if !json {
        let known_as = arguments
            .listen
            .advertise
            .clone()
            .unwrap_or_else(|| address.to_string());
        print(&format!("serving {scheme}://{known_as}\n"))?;
    }
    running.run().map_err(|error| refused(error.about(&framework)))
}

/// How commands of job files are run; `None`: not at all.
fn commands(arguments: &ServeArgs) -> Result<Option<Commands>, Failure> {
    if !arguments.allow_commands {
        return Ok(None);
    }
    let is_root = getuid().is_root();
    let name = match &arguments.commands_user {
        Some(name) => name.as_str(),
        None if is_root => "nobody",
        None => return Ok(Some(Commands::apart(None, notification::LIMIT))),
    };
    let user = CommandUser::find(name).map_err(|error| usage(format!("--commands-user {name}: {error}")))?;
    if !is_root && user.uid != getuid().as_raw() {
        return Err(usage(format!(
            "--commands-user {name}: only root can run commands as another user; leave it out, or run the scheduler as root"
        )));
    }
    let user = is_root.then_some(user);
    Ok(Some(Commands::apart(user, notification::LIMIT)))
}

/// Waits until the instance that had the folder has ended, and opens the folder.
fn wait_for(path: &std::path::Path) -> Result<Folder, Failure> {
    let begin = Instant::now();
    loop {
        match Folder::open(path) {
            Ok(folder) => return Ok(folder),
            Err(StoreError::InUse { .. }) if begin.elapsed() < STEP_BACK => thread::sleep(TRY_EVERY),
            Err(error) => return Err(usage(error)),
        }
    }
}
