//! `scheduler claims`: shows the ledger of a folder, and rebuilds it from the state of master and
//! storage.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use mesos_http::endpoint::Endpoint;
use mesos_http::operator::Master;
use mesos_http::tls::Tls;
use scheduler::bounded::Commands;
use scheduler::clock::Clock;
use scheduler::ledger::{Ledger, file, table};
use scheduler::service::listing::Listing;
use scheduler::state::Millis;
use scheduler::store::Store;

use crate::{Failure, REFUSED, STATE, TlsArgs, print, usage};

/// How long a master may take to answer.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Subcommand)]
pub(crate) enum ClaimsCommand {
    /// Show who holds which volume, from a scheduler's state folder
    #[command(after_help = "Examples:\n\
\x20 scheduler claims ls --state /var/lib/scheduler --json")]
    Ls {
        /// The state folder; a scheduler may be using it
        #[arg(long, value_name = "DIR")]
        state: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Rebuild the ledger from the master's tasks and the storage's attachments
    #[command(after_help = "Examples:\n\
\x20 scheduler claims rebuild --master 10.0.0.1:5050 --catalogue volumes.json --state /var/lib/scheduler")]
    Rebuild(RebuildArgs),
}

#[derive(Args)]
pub(crate) struct RebuildArgs {
    /// The masters, of which one leads
    #[arg(long, value_name = "HOST:PORT,...", env = "SCHEDULER_MASTER")]
    master: String,
    #[command(flatten)]
    tls: TlsArgs,
    /// What `aws ec2 describe-volumes` printed, just now, or a catalogue file: a volume that is detached in it, and that no task
    /// uses, is free. May be repeated
    #[arg(long, value_name = "FILE", env = "SCHEDULER_CATALOGUE")]
    catalogue: Vec<PathBuf>,
    /// The state folder to write the ledger to; no scheduler may be using it. What is known there of tasks that the master
    /// has forgotten is kept. Without it the ledger is only shown
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn claims(command: ClaimsCommand) -> Result<(), Failure> {
    match command {
        ClaimsCommand::Ls { state, json } => {
            let ledger = file::load(&state).map_err(usage)?.ok_or_else(|| {
                usage(format!(
                    "{} has no claims; 'scheduler serve' and 'scheduler claims rebuild' write them",
                    state.display()
                ))
            })?;
            show(&ledger, json, Clock::start().now())
        }
        ClaimsCommand::Rebuild(arguments) => rebuild(&arguments),
    }
}

fn rebuild(arguments: &RebuildArgs) -> Result<(), Failure> {
    let clock = Clock::start();
    let store = arguments.state.as_deref().map(Store::open).transpose().map_err(usage)?;
    let listing = Listing {
        files: arguments.catalogue.clone(),
        command: None,
        commands: Commands::of_caller(DEADLINE),
    };
    let source = listing.source();
    let listing = match listing.is_empty() {
        true => None,
        // Files may be old: each says what was true when it was written.
        false => Some(listing.ask(&clock).map_err(usage)?),
    };
    let tasks = tasks(&arguments.master, arguments.tls.load()?)?;
    let known = match &arguments.state {
        None => None,
        Some(folder) => file::load(folder).map_err(usage)?,
    };
    let now = clock.now();
    let names = listing.as_ref().map(|(catalogue, _)| catalogue);
    let ledger = match (known, &listing) {
        (Some(mut ledger), _) => {
            ledger.snapshot(&tasks, names, now);
            if let Some((catalogue, asked_ms)) = &listing {
                ledger.stored(catalogue, *asked_ms, now);
                ledger.complete(&source, catalogue, *asked_ms, now);
            }
            ledger
        }
        (None, Some((catalogue, asked_ms))) => {
            let mut ledger = Ledger::rebuilt(&tasks, Some(catalogue), *asked_ms, now);
            ledger.complete(&source, catalogue, *asked_ms, now);
            ledger
        }
        (None, None) => Ledger::rebuilt(&tasks, None, now, now),
    };
    if let (Some(folder), Some(_lock)) = (&arguments.state, &store) {
        file::save(folder, &ledger).map_err(|error| Failure(error.to_string(), STATE))?;
    }
    show(&ledger, arguments.json, now)
}

/// The tasks, from the leading master.
fn tasks(masters: &str, tls: Option<Tls>) -> Result<mesos_http::operator::Tasks, Failure> {
    let masters = Endpoint::parse_list(masters).map_err(|error| usage(format!("--master: {error}")))?;
    let mut master = Master::any_of(masters, DEADLINE);
    if let Some(tls) = tls {
        master = master.with_tls(tls);
    }
    master.tasks().map_err(|error| Failure(error.to_string(), REFUSED))
}

fn show(ledger: &Ledger, json: bool, now: Millis) -> Result<(), Failure> {
    if !json {
        return print(&table(ledger, now));
    }
    let text = serde_json::to_string_pretty(&ledger.view()).expect("the view has text keys only, so it is JSON");
    print(&format!("{text}\n"))
}
