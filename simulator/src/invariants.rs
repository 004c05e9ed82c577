//! The promises, each a sentence. All of them are checked after every step, the last one when
//! everything is over.
//!
//! Four more are checked where they can break: no Unmount while a container uses the volume, no
//! Remove of what we did not make or before it is unmounted, one call a volume, and every promise
//! answered once (`world.rs`).

use std::collections::BTreeSet;

use isolator::VolumeKey;
use isolator::ledger::VolumeState;

use crate::spelling::{has_unknown_name, spellings};
use crate::world::World;

pub(crate) fn check(world: &World) -> Result<(), String> {
    every_mount_has_a_record(world)?;
    exclusive_means_exclusive(world)?;
    a_volume_in_use_is_mounted_or_in_doubt(world)
}

/// Whatever is mounted or made for a container, or may become so, is named by a record that
/// survives whatever happens now: a crash loses nothing, and a power cut neither. The record of
/// what was made says that it is to be removed.
fn every_mount_has_a_record(world: &World) -> Result<(), String> {
    for (volume, backing) in &world.driver {
        let is_up = backing.attached || backing.exists || world.may_come_up(volume);
        if is_up && !world.disk.names(volume) {
            return Err(format!(
                "{volume} is there or mounted, or may be, and no record certain to survive names it"
            ));
        }
    }
    Ok(())
}

/// A container that wants a volume for itself shares it with no other running container.
fn exclusive_means_exclusive(world: &World) -> Result<(), String> {
    let running = || world.containers.iter().filter(|(_, life)| life.running);
    for (id, life) in running().filter(|(_, life)| life.exclusive) {
        // Whoever used it had lost it to the hand before, and with it the only sign that both names
        // are one volume.
        let is_lost = |volume: &VolumeKey| {
            let backing = world.driver.get(volume);
            has_unknown_name(volume) && backing.is_some_and(|backing| backing.unmounted_by_hand)
        };
        let kept: BTreeSet<_> = life.volumes.iter().filter(|volume| !is_lost(volume)).cloned().collect();
        if let Some((other, _)) = running().find(|(o, l)| *o != id && !l.volumes.is_disjoint(&kept)) {
            return Err(format!(
                "container {id} has a volume exclusively that container {other} uses too"
            ));
        }
    }
    Ok(())
}

/// The ledger never takes a volume for absent, or lets go of it, while a container uses it.
fn a_volume_in_use_is_mounted_or_in_doubt(world: &World) -> Result<(), String> {
    for (id, life) in world.containers.iter().filter(|(_, life)| life.running) {
        for volume in &life.volumes {
            let has_it = |spelling| matches!(world.state(spelling), VolumeState::Mounted | VolumeState::Uncertain);
            if !spellings(volume).iter().any(has_it) {
                return Err(format!(
                    "container {id} uses {volume}, which the ledger has as {}",
                    world.state(volume)
                ));
            }
        }
    }
    Ok(())
}

/// When every container has left and the driver works, nothing is mounted, attached, recorded or
/// waited for.
pub(crate) fn nothing_is_left(world: &World) -> Result<(), String> {
    if let Some((volume, _)) = world
        .driver
        .iter()
        .find(|(_, backing)| backing.mounted || backing.attached)
    {
        return Err(format!("{volume} is left mounted or attached"));
    }
    if let Some((volume, _)) = world.driver.iter().find(|(_, backing)| backing.exists) {
        return Err(format!("{volume} was made for a container and is left behind"));
    }
    if let Some(record) = world.disk.any() {
        return Err(format!("the record {} is left", record.display()));
    }
    if let Some((container, _)) = world
        .containers
        .iter()
        .find(|(_, life)| life.preparing || life.cleaning)
    {
        return Err(format!("container {container} still waits for an answer"));
    }
    if let Some((volume, state)) = world.ledger.volumes().next() {
        return Err(format!("the ledger still has {volume} as {state}"));
    }
    Ok(())
}
