//! What a task gets for a volume: labels, claim, zone.

use std::collections::BTreeMap;
use std::fmt;

use clap::ValueEnum;
use serde::Serialize;
use volume_labels::{Slot, VolumeLabels};

use crate::catalogue::{Volume, VolumeId};

/// The SET resource by which agents offer volumes.
pub const EBS_VOLUMES: &str = "ebsvolumes";

/// How the labels spell the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Spelling {
    /// By id. Agents whose driver knows names only translate it with their `name_map` file.
    #[default]
    Id,
    /// By the Name tag, with the id as the claim: for agents without such a file. A volume without
    /// a Name tag is still spelled by its id.
    Name,
}

/// Items of a SET resource that a task must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// The resource's name.
    pub resource: String,
    /// Its items.
    pub items: Vec<VolumeId>,
}

/// As in an agent's `--resources`.
impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{{{}}}",
            self.resource,
            self.items.iter().map(VolumeId::as_str).collect::<Vec<_>>().join(",")
        )
    }
}

/// What a task needs to be given for one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mapped {
    /// The volume.
    pub volume: Volume,
    /// Labels for the task.
    pub labels: BTreeMap<String, String>,
    /// The resource item to take from the offer.
    pub claim: Claim,
    /// The zone the agent must be in.
    pub zone: String,
}

/// The labels, claim and zone of `volume` at `slot`, every attribute at its default.
pub fn mapped(volume: &Volume, slot: Slot, spelling: Spelling) -> Mapped {
    let mut labels = VolumeLabels::new(slot, volume.id.as_str());
    spell(&mut labels, volume, spelling);
    Mapped {
        volume: volume.clone(),
        labels: labels.to_labels().into_iter().collect(),
        claim: Claim {
            resource: EBS_VOLUMES.to_owned(),
            items: vec![volume.id.clone()],
        },
        zone: volume.zone.clone(),
    }
}

/// Puts `volume` in the place of whatever name and claim `labels` had.
pub(crate) fn spell(labels: &mut VolumeLabels, volume: &Volume, spelling: Spelling) {
    let id = volume.id.as_str();
    let name = match spelling {
        Spelling::Id => id,
        Spelling::Name => volume.name.as_deref().unwrap_or(id),
    };
    labels.name = name.to_owned();
    labels.claim = (name != id).then(|| id.to_owned());
}
