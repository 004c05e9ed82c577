//! Where drivers are looked for and how they are treated: options, environment and the operator's
//! file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use volume_driver_client::{Discovery, DriverSettings, Drivers};

use crate::failure::Failure;

/// A file of drivers that a person writes is smaller.
const MAX_BYTES: u64 = 1 << 20;
/// The operator's file on drivers, read when it is there.
const DRIVERS_FILE: &str = "/etc/mesos-external-volumes/drivers.json";
/// Where this program keeps what a boot may forget, unless `MESOS_VOLUMES_RUN_DIR` names another
/// folder.
const RUN_DIR: &str = "/run/mesos-volumes";

/// The folder for what a boot may forget.
pub(crate) fn run_dir() -> PathBuf {
    std::env::var_os("MESOS_VOLUMES_RUN_DIR").map_or_else(|| RUN_DIR.into(), PathBuf::from)
}

/// The names are those of the module's parameters.
#[derive(Args, Debug, Default)]
pub(crate) struct Lookup {
    /// Folders of driver sockets, separated by ':' [default: /run/docker/plugins]
    #[arg(long, global = true, value_name = "DIRS", env = "MESOS_VOLUMES_DRIVER_SOCKETS")]
    driver_sockets: Option<String>,
    /// Folders of .spec and .json files, separated by ':' [default:
    /// /etc/docker/plugins:/usr/lib/docker/plugins]
    #[arg(long, global = true, value_name = "DIRS", env = "MESOS_VOLUMES_DRIVER_SPECS")]
    driver_specs: Option<String>,
    /// A JSON file of addresses and profiles, as the module's parameter `drivers` takes it
    /// [default: /etc/mesos-external-volumes/drivers.json, when it is there]
    #[arg(long, global = true, value_name = "FILE", env = "MESOS_VOLUMES_DRIVERS")]
    drivers: Option<PathBuf>,
    /// Seconds to wait for a driver that is not up yet [default: 0]
    #[arg(long, global = true, value_name = "SECONDS", env = "MESOS_VOLUMES_DRIVER_WAIT")]
    driver_wait: Option<f64>,
}

impl Lookup {
    /// From the environment alone, for a command line that has no room for options.
    pub(crate) fn from_environment() -> Result<Lookup, Failure> {
        let text = |name: &str| std::env::var(name).ok();
        let wait = match text("MESOS_VOLUMES_DRIVER_WAIT") {
            None => None,
            Some(wait) => Some(wait.parse().map_err(|_| {
                Failure::Settings(format!("MESOS_VOLUMES_DRIVER_WAIT: '{wait}' is no number of seconds"))
            })?),
        };
        Ok(Lookup {
            driver_sockets: text("MESOS_VOLUMES_DRIVER_SOCKETS"),
            driver_specs: text("MESOS_VOLUMES_DRIVER_SPECS"),
            drivers: text("MESOS_VOLUMES_DRIVERS").map(PathBuf::from),
            driver_wait: wait,
        })
    }

    /// The lookup that results.
    pub(crate) fn drivers(&self) -> Result<Drivers, Failure> {
        let mut discovery = Discovery::default();
        if let Some(folders) = &self.driver_sockets {
            discovery.socket_dirs = folders.split(':').map(PathBuf::from).collect();
        }
        if let Some(folders) = &self.driver_specs {
            discovery.spec_dirs = folders.split(':').map(PathBuf::from).collect();
        }
        if let Some(wait) = self.driver_wait {
            discovery.wait = Duration::try_from_secs_f64(wait)
                .map_err(|error| Failure::Settings(format!("the wait of {wait} seconds: {error}")))?;
        }
        // By lock files all processes of this program together keep to the calls a driver bears.
        // Whoever may not write to /run may not talk to a driver's socket, either.
        if rustix::process::geteuid().is_root() {
            discovery.lock_dir = Some(run_dir().join("calls"));
        }
        let profiles = self
            .settings()?
            .apply(&mut discovery)
            .map_err(|error| Failure::Settings(error.to_string()))?;
        Ok(Drivers::new(discovery, profiles))
    }

    /// The file that was named for it.
    pub(crate) fn drivers_file(&self) -> Option<&Path> {
        self.drivers.as_deref()
    }

    fn settings(&self) -> Result<DriverSettings, Failure> {
        let default = PathBuf::from(DRIVERS_FILE);
        let file = match &self.drivers {
            Some(file) => file,
            None if default.exists() => &default,
            None => return Ok(DriverSettings::default()),
        };
        let failed = |error: String| Failure::Settings(format!("{}: {error}", file.display()));
        let text = operator_files::read(file, MAX_BYTES).map_err(|error| Failure::Settings(error.to_string()))?;
        DriverSettings::from_json(&text).map_err(|error| failed(error.to_string()))
    }
}
