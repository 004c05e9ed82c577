//! `driver unmount`: a volume off this host.

use serde_json::json;
use volume_driver_client::{Driver, MountId};

use crate::failure::Failure;
use crate::print::Said;

pub(super) fn run(driver: &Driver, name: &str, id: &MountId) -> Result<Said, Failure> {
    driver.unmount(name, id)?;
    Ok(Said {
        json: json!({ "name": name, "id": id.as_str(), "unmounted": true }),
        text: String::new(),
    })
}
