//! `release`: marks the record of a container that is gone, while the agent is down.
//!
//! While the agent runs it refuses: the agent's memory is the truth then, and what is done behind
//! its back is lost or undone.

use clap::{ArgGroup, Args};
use isolator::records::{Store, Survey, Surveyed};
use serde_json::json;

use super::Common;
use super::running::running;
use crate::failure::Failure;
use crate::print::{Said, plain};

#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["container", "volume"])))]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) common: Common,
    /// The containers, by their whole ids as 'mesos-volumes ls' prints them
    #[arg(value_name = "CONTAINER")]
    container: Vec<String>,
    /// Every container that has this volume
    #[arg(long, value_name = "NAME")]
    volume: Option<String>,
    /// The volume's driver, when two have one of that name
    #[arg(long, value_name = "NAME", conflicts_with = "container")]
    driver: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Said, Failure> {
    let state_dir = &arguments.common.state_dir;
    let survey = Survey::take(state_dir)?;
    let chosen = chosen(arguments, &survey)?;
    if let Some(holder) = &survey.holder {
        return Err(Failure::Refused(format!(
            "the agent ({holder}) runs and knows better than its records: end the container's task, or wait for the next try \
             that 'mesos-volumes ls' shows, and it lets the volumes go by itself; to release a record by hand, stop the agent first"
        )));
    }
    for surveyed in &chosen {
        if let Some(proof) = running(&surveyed.record)? {
            return Err(Failure::Refused(format!(
                "container {} still runs: {proof}; its volumes would be unmounted under it",
                surveyed.record.container
            )));
        }
    }
    // With the lock: an agent that starts now waits for it.
    let store = Store::open(state_dir)?;
    let mut text = String::new();
    let mut released = Vec::new();
    for surveyed in chosen {
        let record = &surveyed.record;
        let volumes: Vec<String> = record
            .volumes
            .iter()
            .map(|volume| volume.request.volume.to_string())
            .collect();
        if !record.released {
            store
                .release(record)
                .map_err(|error| Failure::Refused(error.to_string()))?;
        }
        let done = if record.released {
            "was released before"
        } else {
            "is released"
        };
        text += &plain(&format!(
            "container {} {done}: at its next start the agent settles volume {}",
            record.container,
            volumes.join(", volume ")
        ));
        text.push('\n');
        released.push(json!({
            "container": record.container.to_string(),
            "was_released": record.released,
            "volumes": record.volumes.iter().map(|volume| json!({
                "driver": volume.request.volume.driver,
                "name": volume.request.volume.name,
            })).collect::<Vec<_>>(),
        }));
    }
    Ok(Said {
        json: json!({ "released": released }),
        text,
    })
}

fn chosen<'a>(arguments: &Arguments, survey: &'a Survey) -> Result<Vec<&'a Surveyed>, Failure> {
    let state_dir = arguments.common.state_dir.display();
    if let Some(name) = &arguments.volume {
        let is_wanted = |driver: &str| arguments.driver.as_deref().is_none_or(|wanted| wanted == driver);
        let keys = |surveyed: &'a Surveyed| {
            let volumes = surveyed.record.volumes.iter().map(|volume| &volume.request.volume);
            volumes.filter(|key| key.name == *name && is_wanted(&key.driver))
        };
        let mut drivers: Vec<&str> = survey
            .records
            .iter()
            .flat_map(keys)
            .map(|key| key.driver.as_str())
            .collect();
        drivers.sort_unstable();
        drivers.dedup();
        return match drivers.as_slice() {
            [] => Err(Failure::Unknown(format!(
                "no record in {state_dir} names a volume '{name}'"
            ))),
            [_] => Ok(survey
                .records
                .iter()
                .filter(|surveyed| keys(surveyed).next().is_some())
                .collect()),
            _ => Err(Failure::Refused(format!(
                "drivers {} each have a volume '{name}': choose with --driver",
                drivers.join(", ")
            ))),
        };
    }
    let find = |wanted: &String| {
        survey
            .records
            .iter()
            .find(|surveyed| surveyed.record.container.to_string() == *wanted)
            .ok_or_else(|| Failure::Unknown(format!("there is no record of container '{wanted}' in {state_dir}")))
    };
    arguments.container.iter().map(find).collect()
}
