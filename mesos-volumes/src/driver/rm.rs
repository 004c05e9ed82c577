//! `driver rm`: a volume and its data.

use serde_json::json;
use volume_driver_client::Driver;

use crate::failure::Failure;
use crate::print::Said;

pub(super) fn run(driver: &Driver, name: &str) -> Result<Said, Failure> {
    driver.remove(name)?;
    Ok(Said {
        json: json!({ "name": name, "removed": true }),
        text: String::new(),
    })
}
