//! Which volumes the labels of one task mean, and in which zone the task has to run: the one
//! planner of label-mapper and scheduler.

use std::collections::BTreeSet;

use thiserror::Error;
use volume_driver_client::UnsupportedName;
use volume_labels::{Create, Lifetime, VolumeLabels};

use crate::catalogue::{Catalogue, ResolveError, Volume, VolumeId, joined};
use crate::driver_names::check_characters;
use crate::mapping::{Spelling, spell};

/// Why a task cannot have one of its volumes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VolumeProblem {
    /// The name means no volume.
    #[error(transparent)]
    Unresolved(#[from] ResolveError),
    /// The claim in the definition is another volume's.
    #[error("the claim '{given}' is not the id of '{name}', {id}: leave the claim to the catalogue")]
    Claim {
        /// The claim.
        given: String,
        /// The volume's name in the definition.
        name: String,
        /// The id by the catalogue.
        id: VolumeId,
    },
    /// The driver cannot handle the name that it is given.
    #[error("'{name}': {problem}")]
    Unsupported {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: UnsupportedName,
    },
    /// The driver compares names without case and would take either volume for the other.
    #[error(
        "the driver is given the name '{name}', which {} have but for upper and lower case: rename all but one",
        joined(ids)
    )]
    Twins {
        /// The name.
        name: String,
        /// The volumes.
        ids: Vec<VolumeId>,
    },
}

/// Why a task cannot have its volumes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlacementError {
    /// One of them.
    #[error("'volume.{slot}': {problem}")]
    Volume {
        /// Its slot.
        slot: String,
        /// What is wrong with it.
        problem: VolumeProblem,
    },
    /// Volumes that no one agent can have: `'name' (id) in zone`, each.
    #[error("its volumes are in different zones, and an agent is in one: {}", .0.join(", "))]
    Zones(Vec<String>),
}

/// One volume of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedVolume {
    /// The name in the definition.
    pub name: String,
    /// The volume that it means. There is none without a catalogue, for a volume that lives as long
    /// as its container, and for one that is created when the task first runs.
    pub volume: Option<Volume>,
    /// What the labels say with the name looked up.
    pub labels: VolumeLabels,
}

/// A task's volumes and where it can run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The volumes, in the order of the labels.
    pub volumes: Vec<PlacedVolume>,
    /// The zone of the volumes that are there.
    pub zone: Option<String>,
}

/// Looks up the volumes of one task. Without a catalogue names stay as they are, and no zone is
/// known.
///
/// # Errors
/// A name that means no volume and is not to be created, a claim of another volume, names that
/// differ in case alone where the driver is given the name, and volumes in different zones.
pub fn placement(
    labels: &[VolumeLabels],
    catalogue: Option<&Catalogue>,
    spelling: Spelling,
) -> Result<Placement, PlacementError> {
    let place = |labels: &VolumeLabels| {
        let name = labels.name.clone();
        place(labels, labels.driver.as_deref(), catalogue, spelling)
            .map(|(volume, labels)| PlacedVolume { name, volume, labels })
            .map_err(|problem| PlacementError::Volume {
                slot: labels.slot.to_string(),
                problem,
            })
    };
    let volumes = labels.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let found = volumes
        .iter()
        .filter_map(|placed| Some((placed.name.as_str(), placed.volume.as_ref()?)));
    Ok(Placement {
        zone: one_zone(found)?,
        volumes,
    })
}

/// One volume, and its labels with the name looked up.
pub(crate) fn place(
    labels: &VolumeLabels,
    driver: Option<&str>,
    catalogue: Option<&Catalogue>,
    spelling: Spelling,
) -> Result<(Option<Volume>, VolumeLabels), VolumeProblem> {
    let Some(volume) = find(labels, &labels.name, catalogue)? else {
        // The driver is given the name as it stands.
        if let Some(driver) = driver {
            check_characters(&labels.name, driver).map_err(|problem| VolumeProblem::Unsupported {
                name: volume_labels::cleaned(&labels.name),
                problem,
            })?;
        }
        return Ok((None, labels.clone()));
    };
    if let Some(given) = labels.claim.clone().filter(|given| given != volume.id.as_str()) {
        return Err(VolumeProblem::Claim {
            given,
            name: volume_labels::cleaned(&labels.name),
            id: volume.id.clone(),
        });
    }
    let mut spelled = labels.clone();
    spell(&mut spelled, volume, spelling);
    if let Some(catalogue) = catalogue.filter(|_| spelling == Spelling::Name) {
        catalogue.check_name(volume, driver)?;
    }
    Ok((Some(volume.clone()), spelled))
}

/// The volume of this name, unless it is not looked up, or is yet to be created.
pub(crate) fn find<'a>(
    labels: &VolumeLabels,
    name: &str,
    catalogue: Option<&'a Catalogue>,
) -> Result<Option<&'a Volume>, ResolveError> {
    // A volume that is made for its container has nothing to do with one of that name in the
    // storage.
    let Some(catalogue) = catalogue.filter(|_| labels.lifetime == Lifetime::Persistent) else {
        return Ok(None);
    };
    match catalogue.resolve(name) {
        Err(ResolveError::Unknown { .. }) if labels.create == Create::IfMissing => Ok(None),
        found => found.map(Some),
    }
}

/// The zone of all of them.
pub(crate) fn one_zone<'a>(
    volumes: impl Iterator<Item = (&'a str, &'a Volume)>,
) -> Result<Option<String>, PlacementError> {
    let volumes: Vec<(&str, &Volume)> = volumes.collect();
    let zones: BTreeSet<&str> = volumes.iter().map(|(_, volume)| volume.zone.as_str()).collect();
    if zones.len() > 1 {
        let line = |(name, volume): &(&str, &Volume)| {
            format!("'{}' ({}) in {}", volume_labels::cleaned(name), volume.id, volume.zone)
        };
        return Err(PlacementError::Zones(volumes.iter().map(line).collect()));
    }
    Ok(zones.into_iter().next().map(str::to_owned))
}
