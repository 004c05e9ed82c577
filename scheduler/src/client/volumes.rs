//! `scheduler volume`: who holds which volume, as a running scheduler knows it.

use clap::Subcommand;
use serde_json::Value;

use super::connection::ConnectionArgs;
use super::{head, members, text, time};
use crate::{FAILED, Failure, print};

const EXAMPLES: &str = "\
Examples:
  scheduler volume ls
  scheduler volume show vol-0123456789abcdef0
  The same from the state folder, when the scheduler does not run:
    scheduler claims ls --state /var/lib/scheduler";

#[derive(Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum VolumeCommand {
    /// List the volumes with their holders
    #[command(visible_alias = "list", after_help = EXAMPLES)]
    Ls {
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Show one volume and its holders
    #[command(after_help = EXAMPLES)]
    Show {
        /// The volume's id or name
        volume: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
}

pub(crate) fn volume(command: VolumeCommand) -> Result<(), Failure> {
    match command {
        VolumeCommand::Ls { connection } => {
            connection.show("/v1/claims", |response| match members(response, "volumes") {
                [] => "no volume is known or held\n".to_owned(),
                volumes => list(volumes.iter()),
            })
        }
        VolumeCommand::Show { volume, connection } => {
            let all = connection.get("/v1/claims")?;
            let is = |one: &&Value| one["volume"] == *volume || one["name"] == *volume;
            let found: Vec<&Value> = members(&all, "volumes").iter().filter(is).collect();
            if found.is_empty() {
                return Err(Failure(
                    format!(
                        "the scheduler knows no volume '{volume}'; 'scheduler volume ls' lists those that it knows"
                    ),
                    FAILED,
                ));
            }
            match connection.json() {
                true => {
                    let found: Vec<String> = found.iter().map(|one| format!("{one:#}")).collect();
                    print(&(foreign_text::json(&found.join("\n")) + "\n"))
                }
                false => print(&list(found.into_iter())),
            }
        }
    }
}

fn list<'a>(volumes: impl Iterator<Item = &'a Value>) -> String {
    let mut rows = vec![head(&[
        "VOLUME",
        "NAME",
        "ZONE",
        "STATE",
        "SINCE (UTC)",
        "MODE",
        "TASK",
        "AGENT",
        "ATTACHED",
    ])];
    for volume in volumes {
        let attached: Vec<String> = members(volume, "attached").iter().map(text).collect();
        let attached = match volume["attached"].is_null() {
            true => "?".to_owned(),
            false if attached.is_empty() => "-".to_owned(),
            false => attached.join(","),
        };
        let row = |claim: &Value| {
            let state = if claim.is_null() {
                &volume["state"]
            } else {
                &claim["state"]
            };
            vec![
                text(&volume["volume"]),
                text(&volume["name"]),
                text(&volume["zone"]),
                text(state),
                time(&claim["since_ms"]),
                text(&claim["mode"]),
                text(&claim["holder"]["task"]),
                text(&claim["agent"]),
                attached.clone(),
            ]
        };
        match members(volume, "claims") {
            [] => rows.push(row(&Value::Null)),
            claims => rows.extend(claims.iter().map(row)),
        }
    }
    foreign_text::columns(&rows)
}
