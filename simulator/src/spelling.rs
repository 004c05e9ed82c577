//! The ways in which containers spell volumes, and what is behind each spelling.

use std::collections::BTreeSet;
use std::path::PathBuf;

use isolator::{Identity, MountIdentity, Mountpoint, VolumeKey};

use crate::action::{MADE, VOLUMES};

/// The volume whose driver ignores the letter case.
const ANY_CASE: u8 = 0;
/// The volume that has an id beside its name, of which only the mount table tells that they are
/// one.
const BY_ID: u8 = 2;

/// The volumes of a container's bit set, as it spells them.
pub(crate) fn spelled(bits: u8) -> BTreeSet<VolumeKey> {
    let other = |volume| match volume {
        ANY_CASE => bits >> VOLUMES & 1 == 1,
        BY_ID => bits >> (VOLUMES + 1) & 1 == 1,
        _ => false,
    };
    let wanted = (0..VOLUMES).filter(|volume| bits & (1 << volume) != 0);
    wanted.map(|volume| key(volume, other(volume))).collect()
}

/// A spelling of a volume.
pub(crate) fn key(volume: u8, other: bool) -> VolumeKey {
    let name = match (volume, other) {
        (MADE, _) => format!("v{volume}-mev-0123456789abcdef"),
        (ANY_CASE, true) => format!("V{volume}"),
        (BY_ID, true) => format!("vol-{volume}"),
        _ => format!("v{volume}"),
    };
    VolumeKey::new("driver", name)
}

/// The first spelling of the volume, by which the driver knows it.
pub(crate) fn real(volume: &VolumeKey) -> VolumeKey {
    spellings_of_all()
        .find(|(_, spelling)| spelling == volume)
        .map_or_else(|| volume.clone(), |(number, _)| key(number, false))
}

/// Every spelling of the volume.
pub(crate) fn spellings(volume: &VolumeKey) -> BTreeSet<VolumeKey> {
    let wanted = real(volume);
    spellings_of_all()
        .filter(|(number, _)| key(*number, false) == wanted)
        .map(|(_, spelling)| spelling)
        .collect()
}

fn spellings_of_all() -> impl Iterator<Item = (u8, VolumeKey)> {
    (0..VOLUMES).flat_map(|number| [false, true].map(|other| (number, key(number, other))))
}

/// What is known of a spelling before anything is mounted.
pub(crate) fn identities(volume: &VolumeKey) -> BTreeSet<Identity> {
    let is_any_case = real(volume) == key(ANY_CASE, false);
    let name = if is_any_case {
        volume.name.to_lowercase()
    } else {
        volume.name.clone()
    };
    [Identity::new("driver", name)].into()
}

/// Whether only the mount table tells that two spellings are this volume.
pub(crate) fn has_unknown_name(volume: &VolumeKey) -> bool {
    real(volume) == key(BY_ID, false)
}

/// Where a volume is mounted when it is mounted by this spelling.
pub(crate) fn mountpoint(volume: &VolumeKey) -> Mountpoint {
    let path = PathBuf::from("/volumes").join(&volume.name);
    let mount = MountIdentity {
        id: 1,
        namespace: None,
        device: format!("7:{}", real(volume).name),
        root: "/".to_owned(),
        kind: "ext4".to_owned(),
        source: "/dev/loop".to_owned(),
        target: path.clone(),
    };
    Mountpoint {
        path,
        mount: Some(mount),
    }
}
