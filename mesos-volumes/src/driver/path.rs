//! `driver path`: where a volume is, or would be, mounted.

use serde_json::json;
use volume_driver_client::Driver;

use crate::failure::Failure;
use crate::print::{Said, plain};

pub(super) fn run(driver: &Driver, name: &str) -> Result<Said, Failure> {
    let path = driver.path(name)?.map(|path| path.display().to_string());
    let text = path
        .as_deref()
        .map(|path| format!("{}\n", plain(path)))
        .unwrap_or_default();
    Ok(Said {
        json: json!({ "name": name, "mountpoint": path }),
        text,
    })
}
