//! Names that a driver cannot handle, or takes for another volume's, by the profiles of the
//! drivers.

use std::sync::LazyLock;

use volume_driver_client::{Profile, Profiles, UnsupportedName};

use crate::catalogue::{Catalogue, Volume, VolumeId};
use crate::placement::VolumeProblem;

/// The driver of EBS volumes, which is assumed where no driver is named.
pub(crate) const EBS_DRIVER: &str = "rexray";

static PROFILES: LazyLock<Profiles> = LazyLock::new(Profiles::builtin);

/// The profile of a driver; of none it is that of [`EBS_DRIVER`].
fn profile(driver: Option<&str>) -> Profile {
    PROFILES.for_driver(driver.unwrap_or(EBS_DRIVER))
}

/// Whether the driver handles a volume of this name.
///
/// # Errors
/// The first character that it does not handle.
pub(crate) fn check_characters(name: &str, driver: &str) -> Result<(), UnsupportedName> {
    profile(Some(driver)).check_name(name)
}

impl Volume {
    /// Whether it is a volume of EBS, by its id.
    fn is_of_ebs(&self) -> bool {
        self.id.as_str().starts_with("vol-")
    }
}

impl Catalogue {
    /// Whether a driver that is given the volume's Name tag handles that name, and finds this
    /// volume by it and no other. Without a driver it is the one of EBS, for volumes of EBS.
    ///
    /// # Errors
    /// [`VolumeProblem::Unsupported`], and [`VolumeProblem::Twins`] when other living volumes have
    /// the name, upper and lower case aside, and the driver does not look at case.
    pub fn check_name(&self, volume: &Volume, driver: Option<&str>) -> Result<(), VolumeProblem> {
        let Some(name) = &volume.name else { return Ok(()) };
        let profile = profile(driver);
        if driver.is_some() || volume.is_of_ebs() {
            profile.check_name(name).map_err(|problem| VolumeProblem::Unsupported {
                name: volume_labels::cleaned(name),
                problem,
            })?;
        }
        let folded = name.to_lowercase();
        let same = |other: &&Volume| {
            other.state.is_alive()
                && other
                    .name
                    .as_ref()
                    .is_some_and(|other| match profile.names_ignore_case {
                        true => other.to_lowercase() == folded,
                        false => other == name,
                    })
        };
        let ids: Vec<VolumeId> = self.volumes().filter(same).map(|volume| volume.id.clone()).collect();
        match ids.len() > 1 {
            true => Err(VolumeProblem::Twins {
                name: volume_labels::cleaned(name),
                ids,
            }),
            false => Ok(()),
        }
    }
}
