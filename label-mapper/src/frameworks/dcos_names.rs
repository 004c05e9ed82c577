//! The names that dcos-commons gives the driver, from its release 0.58 on: see its classes
//! `ExternalVolumeProviderFactory`, `PortworxVolumeProvider`, `GenericDockerVolumeProvider`, and
//! `SchedulerUtils.withEscapedSlashes`.

use std::collections::BTreeMap;

use super::GeneratedName;

/// The driver that has rules of its own.
pub(super) const PORTWORX: &str = "pxd";

/// The name for a volume with a `volume-name`.
///
/// # Errors
/// One line: dcos-commons refuses the name.
pub(super) fn given(name: &str, driver: &str, options: &BTreeMap<String, String>) -> Result<GeneratedName, String> {
    let escaped = escaped(name)?;
    let is_shared = driver == PORTWORX && options.get("shared").is_some_and(|shared| shared == "true");
    if is_shared {
        return Ok(GeneratedName::fixed(escaped));
    }
    let parts = vec![format!("{escaped}{}", separator(driver)), String::new()];
    Ok(GeneratedName::numbered(name, parts, 0))
}

/// The name for a volume without one: service, separator, pod. The container's path is no part of
/// it.
///
/// # Errors
/// As [`given`].
pub(super) fn made(
    service: &str,
    pod: &str,
    driver: &str,
    options: &BTreeMap<String, String>,
) -> Result<GeneratedName, String> {
    given(&format!("{service}{}{pod}", separator(driver)), driver, options)
}

fn separator(driver: &str) -> char {
    if driver == PORTWORX { '-' } else { '_' }
}

/// A leading slash goes, other slashes become two underscores, and two underscores are refused.
fn escaped(name: &str) -> Result<String, String> {
    if name.contains("__") {
        return Err(format!(
            "dcos-commons refuses the name '{}', for '__' is what it makes of '/': give the volume another name",
            volume_labels::cleaned(name)
        ));
    }
    Ok(name.strip_prefix('/').unwrap_or(name).replace('/', "__"))
}
