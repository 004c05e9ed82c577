//! Volumes that are created: for one container each, or by the first task that uses them.

use crate::world::{World, agent};

const OWN: &str = "version: 1\nname: j\ntasks:\n  a: {command: 'true', volumes: {v: {volume: scratch, lifetime: container}}}\n  \
                   b: {command: 'true', volumes: {v: {volume: scratch, lifetime: container}}}\n";

#[test]
fn tasks_that_each_have_their_own_volume_run_beside_each_other_anywhere() {
    for mut world in [World::new(OWN), World::with_catalogue(OWN, "scratch", "vol-1", "za")] {
        world.connect();
        // No agent offers an item, and none has to be in the zone of the volume that has the same
        // name.
        world.offer(&[agent("s1"), agent("s2").zone("zb")]);
        let launches = world.launches();
        assert_eq!(launches.len(), 2);
        for launch in launches {
            let labels: Vec<_> = launch.labels.iter().collect();
            assert_eq!(labels, [("volume.v", "scratch"), ("volume.v.lifetime", "container")]);
            assert!(launch.resources.items("ebsvolumes").is_empty());
        }
        assert!(world.state().tasks["a"].attempts[0].claims.is_empty());
    }
}

#[test]
fn a_volume_that_the_first_task_creates_is_written_by_one_task_at_a_time() {
    let job = OWN.replace("lifetime: container", "create: if-missing");
    let mut world = World::with_catalogue(&job, "orders", "vol-1", "za");
    world.connect();
    world.offer(&[agent("s1"), agent("s2")]);
    let launches = world.launches();
    assert_eq!(launches.len(), 1, "two would both create it");
    assert!(
        launches[0].resources.items("ebsvolumes").is_empty(),
        "no agent lists it yet"
    );

    // The volume is there: it is one like any other.
    let job = job.replace("scratch", "orders");
    let mut world = World::with_catalogue(&job, "orders", "vol-1", "za");
    world.connect();
    world.offer(&[agent("s1").zone("za"), agent("s2").zone("zb").volumes(&["vol-1"])]);
    assert!(
        world.launches().is_empty(),
        "one agent lacks the item, the other is in another zone"
    );
    world.offer(&[agent("s3").zone("za").volumes(&["vol-1"])]);
    assert_eq!(world.launches().len(), 1);
}
