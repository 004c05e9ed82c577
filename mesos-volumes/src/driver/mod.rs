//! `mesos-volumes driver`: one file per call.

mod capabilities;
mod conformance;
mod create;
mod get;
mod ls;
mod mount;
mod path;
mod rm;
mod unmount;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use volume_driver_client::{Driver, MountId, Volume};

use crate::failure::Failure;
use crate::print::{self, Said};
use crate::settings::Lookup;
use crate::{exit, host};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    lookup: Lookup,
    /// Print JSON, also for a failure
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    call: Call,
}

#[derive(Subcommand)]
enum Call {
    /// Lists the drivers of this host, or the volumes of one driver
    #[command(after_help = "Examples:\n\
\x20 mesos-volumes driver ls\n\
\x20 mesos-volumes driver ls rexray")]
    Ls(ls::Arguments),
    /// Shows one volume
    #[command(after_help = "Examples:\n\
\x20 mesos-volumes driver get rexray orders")]
    Get(Target),
    /// Creates a volume
    #[command(after_help = "Examples:\n\
\x20 mesos-volumes driver create rexray orders --option size=10")]
    Create(create::Arguments),
    /// Removes a volume and its data
    #[command(after_help = "Examples:\n\
\x20 mesos-volumes driver rm rexray orders")]
    Rm(Target),
    /// Mounts a volume on this host and prints its mountpoint
    #[command(after_help = "Examples:\n\
\x20 mesos-volumes driver mount rexray orders")]
    Mount(MountTarget),
    /// Unmounts a volume from this host
    #[command(after_help = "Examples:\n\
\x20 mesos-volumes driver unmount rexray orders\n\
\x20 mesos-volumes driver unmount --unrecorded -- rexray orders")]
    Unmount(UnmountTarget),
    /// Prints where a volume is, or would be, mounted
    #[command(after_help = "Examples:\n\
\x20 mesos-volumes driver path rexray orders")]
    Path(Target),
    /// Tells whether a driver's volumes are local to this host
    #[command(after_help = "Examples:\n\
\x20 mesos-volumes driver capabilities rexray")]
    Capabilities(capabilities::Arguments),
    /// Tries how a driver behaves, with a volume of its own, and prints a profile for the module's parameter `drivers`
    #[command(after_help = "Examples:\n\
\x20 mesos-volumes driver test rclone")]
    Test(conformance::Arguments),
}

/// A volume of a driver.
#[derive(Args)]
pub(crate) struct Target {
    /// The driver's name
    driver: String,
    /// The volume's name
    volume: String,
}

/// A volume of a driver, and the id under which this host mounts it.
#[derive(Args)]
pub(crate) struct MountTarget {
    #[command(flatten)]
    target: Target,
    /// The mount id, 64 hexadecimal digits [default: the one the isolator uses for this volume on this host]
    #[arg(long, value_parser = MountId::from_str)]
    id: Option<MountId>,
    /// The isolator's state folder, which holds the host id of its mounts; without it the machine-id is taken
    #[arg(
        long,
        value_name = "DIR",
        env = "MESOS_VOLUMES_STATE_DIR",
        default_value = "/var/lib/mesos-external-volumes"
    )]
    state_dir: PathBuf,
}

/// A mounted volume.
#[derive(Args)]
pub(crate) struct UnmountTarget {
    #[command(flatten)]
    target: MountTarget,
    /// Unmount also a volume that was mounted under another id, as after the state folder was lost.
    /// This is refused while a record of the state folder names the volume, or a container uses it.
    /// When the driver refuses, the mount is unmounted by hand
    #[arg(long)]
    unrecorded: bool,
}

impl MountTarget {
    fn id(&self) -> Result<MountId, Failure> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let host = host::isolator_id(&self.state_dir)?;
        Ok(MountId::derive(&host, &self.target.driver, &self.target.volume))
    }
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let result = call(&arguments).and_then(|(said, left)| {
        print::said(&said, arguments.json)?;
        left.map_or(Ok(()), Err)
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // A result that was printed is the one object of the output.
            if arguments.json && !matches!(failure, Failure::LeftBehind(_)) {
                print::failure(&failure);
            }
            eprintln!("mesos-volumes: {failure}");
            exit::with(failure.code())
        }
    }
}

/// What to print, and what fails nevertheless: a test of a driver has a result also when something
/// of it was left behind.
fn call(arguments: &Arguments) -> Result<(Said, Option<Failure>), Failure> {
    let drivers = arguments.lookup.drivers()?;
    let driver = |name: &str| -> Result<Driver, Failure> { Ok(drivers.driver(name)?) };
    let said = match &arguments.call {
        Call::Test(it) => {
            let (said, left) = conformance::run(&driver(it.driver())?, it)?;
            return Ok((said, (!left.is_empty()).then(|| left_behind(it.driver(), &left))));
        }
        Call::Ls(it) => match &it.driver {
            Some(name) => ls::volumes(&driver(name)?),
            None => Ok(ls::drivers(&drivers)),
        },
        Call::Get(it) => get::run(&driver(&it.driver)?, &it.volume),
        Call::Create(it) => create::run(&driver(it.driver())?, it),
        Call::Rm(it) => rm::run(&driver(&it.driver)?, &it.volume),
        Call::Mount(it) => mount::run(&driver(&it.target.driver)?, &it.target.volume, &it.id()?),
        Call::Unmount(UnmountTarget {
            target: it,
            unrecorded: true,
        }) => unmount::unrecorded(&driver(&it.target.driver)?, &it.target.volume, &it.id()?, &it.state_dir),
        Call::Unmount(UnmountTarget { target: it, .. }) => {
            unmount::run(&driver(&it.target.driver)?, &it.target.volume, &it.id()?)
        }
        Call::Path(it) => path::run(&driver(&it.driver)?, &it.volume),
        Call::Capabilities(it) => capabilities::run(&driver(it.driver())?),
    };
    Ok((said?, None))
}

fn left_behind(driver: &str, left: &[String]) -> Failure {
    Failure::LeftBehind(format!(
        "driver '{driver}': this is left of the test volume: {}; remove it with 'mesos-volumes driver unmount' and \
         'mesos-volumes driver rm'",
        left.join("; ")
    ))
}

/// A volume for programs.
fn volume_json(volume: &Volume) -> Value {
    json!({
        "name": volume.name,
        "mountpoint": volume.mountpoint.as_ref().map(|path| path.to_string_lossy()),
        "created_at": volume.created_at,
        "status": volume.status,
    })
}
