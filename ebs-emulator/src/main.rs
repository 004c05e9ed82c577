//! `ebs-emulator`: the emulator's process, and the commands that talk to it.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ebs_emulator::api::CreateVolume;
use ebs_emulator::serve::{ServeOptions, serve};
use ebs_emulator::{Action, Client, FaultRule, HostSpec, Manners, Operation, When, release};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

/// A local EBS: volumes as ext4 on loop devices, attached to emulated hosts, behind the Docker volume plugin
/// protocol. Needs root.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n\
\x20 ebs-emulator serve --state /tmp/ebs --host h0=zone-a,socket=/run/docker/plugins/ebs.sock\n\
\x20 ebs-emulator create --state /tmp/ebs --zone zone-a --name orders\n\
\x20 ebs-emulator describe --state /tmp/ebs"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the emulator until SIGTERM or SIGINT.
    #[command(after_help = "Examples:\n\
\x20 ebs-emulator serve --state /tmp/ebs --host h0=zone-a,socket=/run/docker/plugins/ebs.sock\n\
\x20 ebs-emulator serve --state /tmp/ebs --host h0=zone-a,socket=/tmp/h0.sock --host h1=zone-b,socket=/tmp/h1.sock --manners rexray")]
    Serve {
        #[command(flatten)]
        state: State,
        /// A host: NAME=ZONE[,socket=PATH][,base=DIR][,limit=N][,shared][,manners=NAME+..]; may be given several times.
        #[arg(long = "host", required = true)]
        hosts: Vec<HostSpec>,
        /// How the drivers of hosts without manners of their own behave: rexray, or traits separated by '+'.
        #[arg(long, default_value = "", hide_default_value = true, value_parser = manners)]
        manners: Manners,
        /// Unmount and detach everything at the end.
        #[arg(long)]
        unmount_on_exit: bool,
    },
    /// Make a volume and print its id.
    #[command(after_help = "Examples:\n\
\x20 ebs-emulator create --state /tmp/ebs --zone zone-a --name orders --size 10")]
    Create {
        #[command(flatten)]
        state: State,
        /// Its Name tag.
        #[arg(long)]
        name: Option<String>,
        /// Its size in GiB. The file is sparse: it takes what is written to it.
        #[arg(long, default_value_t = 1)]
        size: u64,
        /// Its availability zone.
        #[arg(long)]
        zone: String,
        /// Its EBS type.
        #[arg(long = "type", default_value = "gp3")]
        volume_type: String,
        /// Print the volume as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print all volumes as `aws ec2 describe-volumes` does: JSON.
    #[command(after_help = "Examples:\n\
\x20 ebs-emulator describe --state /tmp/ebs > volumes.json")]
    Describe {
        #[command(flatten)]
        state: State,
    },
    /// Delete a volume that nobody holds.
    #[command(after_help = "Examples:\n\
\x20 ebs-emulator delete --state /tmp/ebs orders")]
    Delete {
        #[command(flatten)]
        state: State,
        /// Its id or Name tag.
        volume: String,
    },
    /// Let an instance outside the emulator take a volume.
    #[command(after_help = "Examples:\n\
\x20 ebs-emulator attach-foreign --state /tmp/ebs orders --instance i-0123456789abcdef0")]
    AttachForeign {
        #[command(flatten)]
        state: State,
        /// Its id or Name tag.
        volume: String,
        /// The instance id.
        #[arg(long, default_value = "i-0f0f0f0f0f0f0f0f0")]
        instance: String,
    },
    /// Detach a volume that is not mounted, or any by force.
    #[command(after_help = "Examples:\n\
\x20 ebs-emulator detach --state /tmp/ebs orders\n\
\x20 ebs-emulator detach --state /tmp/ebs --force orders")]
    Detach {
        #[command(flatten)]
        state: State,
        /// Its id or Name tag.
        volume: String,
        /// Also when it is mounted: whoever works in it gets EIO, and what was not yet written is lost.
        #[arg(long)]
        force: bool,
    },
    /// List the hosts with their driver sockets.
    #[command(after_help = "Examples:\n\
\x20 ebs-emulator hosts --state /tmp/ebs")]
    Hosts {
        #[command(flatten)]
        state: State,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print what happened, oldest first.
    #[command(after_help = "Examples:\n\
\x20 ebs-emulator log --state /tmp/ebs")]
    Log {
        #[command(flatten)]
        state: State,
        /// Print JSON, one event a line.
        #[arg(long)]
        json: bool,
        /// Leave out driver calls: only what happened to volumes.
        #[arg(long)]
        steps: bool,
        /// Go on printing as things happen.
        #[arg(long, short)]
        follow: bool,
    },
    /// Make things go wrong.
    #[command(subcommand)]
    #[command(after_help = "Examples:\n\
\x20 ebs-emulator fault set --state /tmp/ebs attach delay --ms 5000 --times 1\n\
\x20 ebs-emulator fault list --state /tmp/ebs")]
    Fault(Fault),
    /// Unmount and free what a killed emulator has left; the volumes stay.
    #[command(after_help = "Examples:\n\
\x20 ebs-emulator release --state /tmp/ebs")]
    Release {
        #[command(flatten)]
        state: State,
    },
}

#[derive(Debug, Subcommand)]
enum Fault {
    /// Put a rule in force and print its number.
    #[command(after_help = "Examples:\n\
\x20 ebs-emulator fault set --state /tmp/ebs attach fail --volume orders --times 2\n\
\x20 ebs-emulator fault set --state /tmp/ebs unmount hang --host h0")]
    Set {
        #[command(flatten)]
        state: State,
        /// The operation it strikes.
        #[arg(value_enum)]
        operation: Operation,
        /// What it does.
        #[arg(value_enum)]
        action: ActionName,
        /// Only this volume: id, or name as the call spells it.
        #[arg(long)]
        volume: Option<String>,
        /// Only on this host.
        #[arg(long)]
        host: Option<String>,
        /// Strike when the work is done, not before.
        #[arg(long)]
        after: bool,
        /// Strike so often; always, if absent.
        #[arg(long)]
        times: Option<u32>,
        /// The delay, for `delay`.
        #[arg(long, default_value_t = 1000)]
        ms: u64,
        /// The driver's words, for `fail`.
        #[arg(long, default_value = "InternalError: An internal error has occurred")]
        message: String,
        /// The path that a Mount is answered with, for `mislead`.
        #[arg(long, default_value = "/")]
        mountpoint: PathBuf,
    },
    /// List the rules in force as JSON.
    #[command(after_help = "Examples:\n\
\x20 ebs-emulator fault list --state /tmp/ebs")]
    List {
        #[command(flatten)]
        state: State,
    },
    /// Take one rule, or all, out of force; what hangs goes on.
    #[command(after_help = "Examples:\n\
\x20 ebs-emulator fault clear --state /tmp/ebs")]
    Clear {
        #[command(flatten)]
        state: State,
        /// The rule's number.
        id: Option<u64>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ActionName {
    /// Wait, then go on.
    Delay,
    /// Answer with an error.
    Fail,
    /// Wait until the rule is cleared.
    Hang,
    /// Answer with success and do nothing.
    Pretend,
    /// Answer a Mount with another mountpoint and do nothing.
    Mislead,
    /// Close the connection without an answer.
    Drop,
    /// End the emulator, as SIGKILL does.
    Crash,
}

/// Manners, or none.
fn manners(text: &str) -> Result<Manners, String> {
    if text.is_empty() {
        return Ok(Manners::default());
    }
    text.parse()
}

#[derive(Debug, Args)]
struct State {
    /// The emulator's state folder.
    #[arg(long = "state", env = "EBS_EMULATOR_STATE", value_name = "DIR")]
    folder: PathBuf,
}

impl State {
    fn client(&self) -> Client {
        Client::of_state(&self.folder)
    }
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("EBS_EMULATOR_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ebs-emulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match command {
        Command::Serve {
            state,
            mut hosts,
            manners,
            unmount_on_exit,
        } => {
            drop(out);
            for host in hosts.iter_mut().filter(|host| host.manners.is_empty()) {
                host.manners.clone_from(&manners);
            }
            let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
            let served = runtime.block_on(serve(ServeOptions {
                state: state.folder,
                hosts,
                unmount_on_exit,
            }));
            // What still hangs must not hold up the end.
            runtime.shutdown_background();
            return Ok(served?);
        }
        Command::Create {
            state,
            name,
            size,
            zone,
            volume_type,
            json,
        } => {
            let request = CreateVolume {
                name,
                size,
                zone,
                volume_type: Some(volume_type),
            };
            let volume = state.client().create_volume(&request)?;
            if json {
                print_json(&mut out, &volume)?;
            } else {
                writeln!(out, "{}", volume.volume_id)?;
            }
        }
        Command::Describe { state } => print_json(&mut out, &state.client().describe()?)?,
        Command::Delete { state, volume } => state.client().delete(&volume)?,
        Command::AttachForeign {
            state,
            volume,
            instance,
        } => {
            state.client().attach_foreign(&volume, &instance)?;
        }
        Command::Detach { state, volume, force } => match force {
            true => state.client().force_detach(&volume)?,
            false => state.client().detach(&volume)?,
        },
        Command::Hosts { state, json } => {
            let hosts = state.client().hosts()?;
            if json {
                print_json(&mut out, &hosts)?;
            } else {
                for host in hosts {
                    let socket = host.socket.display();
                    writeln!(
                        out,
                        "{:<16} {:<14} {:<20} {socket}",
                        host.name, host.zone, host.instance
                    )?;
                }
            }
        }
        Command::Log {
            state,
            json,
            steps,
            follow,
        } => log(&mut out, &state.client(), json, steps, follow)?,
        Command::Fault(fault) => run_fault(&mut out, fault)?,
        Command::Release { state } => {
            let released = release::release(&state.folder)?;
            writeln!(
                out,
                "{} mounts and {} loop devices let go",
                released.mounts.len(),
                released.devices.len()
            )?;
        }
    }
    Ok(())
}

fn run_fault(out: &mut impl Write, fault: Fault) -> anyhow::Result<()> {
    match fault {
        Fault::Set {
            state,
            operation,
            action,
            volume,
            host,
            after,
            times,
            ms,
            message,
            mountpoint,
        } => {
            let action = match action {
                ActionName::Delay => Action::Delay { ms },
                ActionName::Fail => Action::Fail { message },
                ActionName::Hang => Action::Hang,
                ActionName::Pretend => Action::Pretend,
                ActionName::Mislead => Action::Mislead { mountpoint },
                ActionName::Drop => Action::Drop,
                ActionName::Crash => Action::Crash,
            };
            let when = if after { When::After } else { When::Before };
            let rule = FaultRule {
                operation,
                volume,
                host,
                when,
                action,
                times,
            };
            writeln!(out, "{}", state.client().fault(&rule)?)?;
        }
        Fault::List { state } => print_json(out, &state.client().faults()?)?,
        Fault::Clear { state, id } => {
            let cleared = state.client().clear_faults(id)?;
            anyhow::ensure!(
                id.is_none() || cleared > 0,
                "there is no rule {}",
                id.unwrap_or_default()
            );
        }
    }
    Ok(())
}

fn log(out: &mut impl Write, client: &Client, json: bool, steps: bool, follow: bool) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        for event in client.log_after(after)? {
            after = event.seq;
            if steps && event.operation.is_some() {
                continue;
            }
            if json {
                writeln!(out, "{}", serde_json::to_string(&event)?)?;
            } else {
                writeln!(out, "{}", event.human())?;
            }
        }
        out.flush()?;
        if !follow {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(250));
    }
}

fn print_json(out: &mut impl Write, value: &impl Serialize) -> anyhow::Result<()> {
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// True when the reader of our output went away, as `head` does.
fn closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
