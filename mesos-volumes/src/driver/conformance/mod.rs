//! `driver test`: how a driver behaves in the situations of the volume-driver-client's
//! `drivers.md`, and the profile that follows.
//!
//! * [`trial`] makes the calls on a volume of its own, and takes away what it made.
//! * [`situations`] is what is tried, in which order.
//! * [`observed`] is what came of it, for people and for programs.
//! * [`profile`] is what an operator writes into the settings because of it.
//! * [`place`] looks at the mount table.

mod observed;
mod place;
mod profile;
mod situations;
mod trial;

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;
use serde_json::json;
use volume_driver_client::{Driver, Profile};

use super::create::option;
use crate::failure::Failure;
use crate::print::{Said, plain};
use observed::Observed;
use trial::Trial;

#[derive(Args)]
pub(super) struct Arguments {
    /// The driver's name
    driver: String,
    /// An option for the driver's Create, as its test volume needs it; may be repeated
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE", value_parser = option)]
    options: Vec<(String, String)>,
    /// Do not ask before the test volume is created
    #[arg(long)]
    yes: bool,
    /// Also create a volume for each character that drivers are known to mishandle in names
    #[arg(long)]
    names: bool,
    /// Also send several calls at once. Some drivers hang after it until they are restarted
    #[arg(long)]
    concurrent: bool,
    /// Also restart the driver with this shell command while the test volume is mounted
    #[arg(long, value_name = "COMMAND")]
    restart: Option<String>,
}

/// What is tried in addition to the situations that harm no driver.
pub(super) struct Extent {
    names: bool,
    concurrent: bool,
    restart: Option<String>,
}

impl Arguments {
    pub(super) fn driver(&self) -> &str {
        &self.driver
    }
}

/// Runs the test, and describes its result and what is left of it.
///
/// # Errors
/// The driver cannot be reached or makes no volume, or the operator does not agree.
pub(super) fn run(driver: &Driver, arguments: &Arguments) -> Result<(Said, Vec<String>), Failure> {
    let options: BTreeMap<String, String> = arguments.options.iter().cloned().collect();
    let mut trial = Trial::new(driver, options)?;
    match arguments.yes {
        // A program that is killed cannot take anything away: its volumes are known by this line.
        true => eprintln!(
            "mesos-volumes: the test volume is '{name}', and the names of all others begin with it",
            name = trial.name()
        ),
        false => ask(driver, trial.name(), arguments)?,
    }
    let extent = Extent {
        names: arguments.names,
        concurrent: arguments.concurrent,
        restart: arguments.restart.clone(),
    };
    let tried = situations::all(&mut trial, &extent);
    // Also after a failure and after a signal nothing of the test stays.
    let left = trial.take_away();
    match tried {
        Ok(observed) => Ok((said(driver, &observed, driver.profile(), &left), left)),
        Err(failure) if left.is_empty() => Err(failure),
        Err(failure) => Err(Failure::Refused(format!("{failure}; left behind: {}", left.join("; ")))),
    }
}

/// Asks on the terminal.
///
/// # Errors
/// The operator does not agree, or there is no terminal to ask on.
fn ask(driver: &Driver, name: &str, arguments: &Arguments) -> Result<(), Failure> {
    let mut plan = format!(
        "This creates the volume '{name}' with driver '{}' at {}, mounts and unmounts it about a dozen times, and removes it \
         with its data. No other volume is touched.",
        plain(driver.name()),
        plain(&driver.endpoint().to_string())
    );
    if arguments.names {
        plan += &format!(" It does the same with volumes whose names begin with '{name}'.");
    }
    if arguments.concurrent {
        plan += " It sends four calls at once, after which some drivers answer no call until they are restarted.";
    }
    if let Some(command) = &arguments.restart {
        plan += &format!(
            " It restarts the driver with '{}'; calls of others that are under way then fail.",
            plain(command)
        );
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::Refused(format!(
            "{plan} Nothing was sent, because there is no terminal to ask on: agree with --yes"
        )));
    }
    let mut words = io::stderr().lock();
    write!(words, "{plan}\nGo on? [y/N] ")?;
    words.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Refused(
            "nothing was sent, because the answer was not 'y'".to_owned(),
        )),
    }
}

fn said(driver: &Driver, observed: &Observed, known: &Profile, left: &[String]) -> Said {
    let profile = profile::suggested(observed, known);
    let differs = profile::differing(&profile, known);
    let pasted = json!({ "profiles": { driver.name(): &profile } });
    let mut text = format!(
        "driver: {} at {}\n\n",
        plain(driver.name()),
        plain(&driver.endpoint().to_string())
    );
    for (question, answer) in observed.lines() {
        text.push_str(&format!("{question}: {}\n", plain(&answer)));
    }
    for problem in &observed.problems {
        text.push_str(&format!("PROBLEM: {}\n", plain(problem)));
    }
    text.push_str(&match differs.as_slice() {
        [] => "\nThe profile in force agrees with all that was observed.\n".to_owned(),
        differs => format!(
            "\nThe profile in force differs in: {}. For the file of the module's parameter 'drivers':\n{}\n",
            differs.join(", "),
            crate::print::json(&pasted)
        ),
    });
    Said {
        json: json!({
            "driver": driver.name(),
            "address": driver.endpoint().to_string(),
            "observed": observed.json(),
            "problems": observed.problems,
            "left_behind": left,
            "differs": differs,
            "profile": pasted,
        }),
        text,
    }
}
