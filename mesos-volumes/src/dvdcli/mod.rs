//! The drop-in for dvdcli 0.2, which Mesos' isolator `docker/volume` calls.
//!
//! Same flags and the same stdout: `mount` and `path` print the path, `get` and `list` names, the
//! others nothing. What differs: a stable mount id, one Mount for any number of `mount`s, a Create
//! only when the driver says that it does not know the volume, no Get before an Unmount, options
//! with `=` and `,`, deadlines, and exit codes that are not 0 when something failed.

mod arguments;
mod mounted;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use volume_driver_client::{CreatePolicy, Driver, Drivers, Error, ErrorKind, MountId};

use crate::failure::Failure;
use crate::settings::Lookup;
use crate::{exit, host};
use arguments::{Call, Command};
use mounted::Mounted;

pub(crate) fn run(words: &[String]) -> ExitCode {
    let command = match Command::parse(words) {
        Ok(command) => command,
        Err(mistake) => {
            eprintln!("dvdcli: {mistake}\n\n{}", arguments::USAGE);
            return exit::with(exit::USAGE);
        }
    };
    match answer(command).and_then(|text| Ok(io::stdout().write_all(text.as_bytes())?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("dvdcli: {failure}");
            exit::with(failure.code())
        }
    }
}

/// What the command prints.
fn answer(command: Command) -> Result<String, Failure> {
    match command {
        Command::Help => Ok(arguments::USAGE.to_owned()),
        Command::Version => Ok(format!("dvdcli 0.2 (mesos-volumes {})\n", env!("CARGO_PKG_VERSION"))),
        Command::List { driver } => {
            let volumes = drivers()?.driver(&driver)?.list()?;
            Ok(volumes.iter().map(|volume| format!("{}\n", volume.name)).collect())
        }
        Command::On {
            call,
            driver,
            volume,
            options,
            explicit_create,
        } => {
            let driver = drivers()?.driver(&driver)?;
            let policy = CreatePolicy::IfMissing(options);
            match call {
                Call::Create => driver
                    .ensure(&volume, &policy)
                    .map(|_| String::new())
                    .map_err(Failure::from),
                Call::Get => Ok(format!("{}\n", driver.get(&volume)?.name)),
                Call::Mount => {
                    let policy = if explicit_create { CreatePolicy::Never } else { policy };
                    Ok(format!("{}\n", mount(&driver, &volume, &policy)?.display()))
                }
                Call::Path => {
                    let path = driver.path(&volume)?;
                    Ok(path.map(|path| format!("{}\n", path.display())).unwrap_or_default())
                }
                Call::Remove => driver.remove(&volume).map(|()| String::new()).map_err(Failure::from),
                Call::Unmount => unmount(&driver, &volume).map(|()| String::new()),
            }
        }
    }
}

fn drivers() -> Result<Drivers, Failure> {
    Lookup::from_environment()?.drivers()
}

/// The same id for every Mount and Unmount of a volume on this host.
fn id(driver: &Driver, volume: &str) -> Result<MountId, Failure> {
    let host = match std::env::var("MESOS_VOLUMES_HOST_ID") {
        Ok(host) if !host.is_empty() => host,
        _ => host::machine_id()?,
    };
    Ok(MountId::derive(&host, driver.name(), volume))
}

/// Mounts once: Mesos calls `mount` for every container and `unmount` after the last, and a driver
/// that counts would be left with the difference.
fn mount(driver: &Driver, volume: &str, policy: &CreatePolicy) -> Result<PathBuf, Failure> {
    let id = id(driver, volume)?;
    let mounted = Mounted::of(&id);
    if let Some(path) = mounted.path() {
        return Ok(path);
    }
    match driver.ensure(volume, policy) {
        // A driver without Get says nothing about the volume: its Mount will.
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        ensured => {
            ensured?;
        }
    }
    let path = match driver.mount(volume, &id) {
        Err(error) if error.kind() == ErrorKind::AlreadyMounted => adopt(driver, volume, error)?,
        mountpoint => mountpoint?,
    };
    mounted.note(&path);
    Ok(path)
}

/// The mountpoint of a volume that this id already holds.
fn adopt(driver: &Driver, volume: &str, held: Error) -> Result<PathBuf, Failure> {
    driver.path(volume)?.ok_or(Failure::Driver(held))
}

/// That nothing is mounted is what was wanted.
fn unmount(driver: &Driver, volume: &str) -> Result<(), Failure> {
    let id = id(driver, volume)?;
    match driver.unmount(volume, &id) {
        Err(error) if error.kind() == ErrorKind::NotMounted => eprintln!("dvdcli: {error}"),
        unmounted => unmounted?,
    }
    Mounted::of(&id).forget();
    Ok(())
}
