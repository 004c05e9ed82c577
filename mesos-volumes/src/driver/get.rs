//! `driver get`: one volume.

use serde_json::Value;
use volume_driver_client::Driver;

use super::volume_json;
use crate::failure::Failure;
use crate::print::{Said, plain};

pub(super) fn run(driver: &Driver, name: &str) -> Result<Said, Failure> {
    let volume = driver.get(name)?;
    let mut text = format!("name: {}\n", plain(&volume.name));
    if let Some(path) = &volume.mountpoint {
        text.push_str(&format!("mountpoint: {}\n", plain(&path.display().to_string())));
    }
    if let Some(created) = &volume.created_at {
        text.push_str(&format!("created: {}\n", plain(created)));
    }
    if volume.status != Value::Null {
        text.push_str(&format!("status: {}\n", volume.status));
    }
    Ok(Said {
        json: volume_json(&volume),
        text,
    })
}
