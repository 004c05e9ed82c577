//! `driver mount`: a volume on this host.

use serde_json::json;
use volume_driver_client::{Driver, MountId};

use crate::failure::Failure;
use crate::print::{Said, plain};

pub(super) fn run(driver: &Driver, name: &str, id: &MountId) -> Result<Said, Failure> {
    let path = driver.mount(name, id)?.display().to_string();
    let text = format!("{}\n", plain(&path));
    Ok(Said {
        json: json!({ "name": name, "mountpoint": path, "id": id.as_str() }),
        text,
    })
}
