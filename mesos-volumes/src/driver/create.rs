//! `driver create`: a new volume.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;
use volume_driver_client::{CreatePolicy, Driver, Ensured};

use super::{Said, Target};
use crate::failure::Failure;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// An option for the driver; may be repeated. The value may hold anything
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE", value_parser = option)]
    options: Vec<(String, String)>,
    /// Succeed when the volume exists. Without it an existing volume is a failure
    #[arg(long)]
    if_missing: bool,
}

impl Arguments {
    pub(super) fn driver(&self) -> &str {
        &self.target.driver
    }
}

pub(super) fn option(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("an option is KEY=VALUE".to_owned()),
    }
}

pub(super) fn run(driver: &Driver, arguments: &Arguments) -> Result<Said, Failure> {
    let name = &arguments.target.volume;
    let options: BTreeMap<String, String> = arguments.options.iter().cloned().collect();
    let created = if arguments.if_missing {
        driver.ensure(name, &CreatePolicy::IfMissing(options))? == Ensured::Created
    } else {
        // Asked first all the same: some drivers make a second volume of the same name.
        create_new(driver, name, options)?;
        true
    };
    let text = if created { String::new() } else { "exists\n".to_owned() };
    Ok(Said {
        json: json!({ "name": name, "created": created }),
        text,
    })
}

fn create_new(driver: &Driver, name: &str, options: BTreeMap<String, String>) -> Result<(), Failure> {
    use volume_driver_client::ErrorKind::{NotFound, Unsupported};
    match driver.get(name) {
        Ok(_) => Err(Failure::Refused(format!(
            "driver '{}': the volume '{name}' exists",
            driver.name()
        ))),
        Err(error) if matches!(error.kind(), NotFound | Unsupported) => Ok(driver.create(name, &options)?),
        Err(error) => Err(error.into()),
    }
}
