//! Random histories, the same ones every time; and those that once broke a promise.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use simulator::Action::{self, *};
use simulator::Mutant;
use simulator::Work::*;

const HISTORIES: u64 = 10_000;

#[test]
fn ten_thousand_histories_break_no_promise() {
    let next = AtomicU64::new(1);
    let granted = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > HISTORIES {
                        break;
                    }
                    match simulator::run(&Action::history(seed)) {
                        Ok(outcome) => granted.fetch_add(u64::from(outcome.granted), Ordering::Relaxed),
                        Err(violation) => panic!("seed {seed}, step {}: {}", violation.step, violation.what),
                    };
                }
            });
        }
    });
    // Histories in which nobody ever gets a volume would prove nothing.
    assert!(granted.into_inner() > HISTORIES);
}

/// An Unmount whose answer was lost may have been carried out. After a retry was refused and a
/// third one queued, taking the third one back once counted as proof that the volume is mounted.
#[test]
fn taking_back_a_retry_does_not_prove_that_the_volume_is_mounted() {
    let history = [
        Prepare {
            container: 2,
            volumes: 7,
            exclusive: false,
        },
        Disk {
            orders: 1,
            fails: false,
        },
        Begin { call: 158 },
        Answer { call: 242 },
        Begin { call: 74 },
        Prepare {
            container: 4,
            volumes: 2,
            exclusive: false,
        },
        NotSent { call: 204 },
        Disk {
            orders: 2,
            fails: false,
        },
        Disk {
            orders: 1,
            fails: false,
        },
        Begin { call: 161 },
        Lose { call: 132, work: Done },
        Begin { call: 213 },
        Answer { call: 227 },
        Retry { nth: 248 },
        Begin { call: 130 },
        Refuse { call: 36 },
        Disk {
            orders: 2,
            fails: false,
        },
        Retry { nth: 118 },
        Prepare {
            container: 1,
            volumes: 5,
            exclusive: false,
        },
        Disk {
            orders: 3,
            fails: false,
        },
        Begin { call: 95 },
        Answer { call: 151 },
        Disk {
            orders: 1,
            fails: false,
        },
    ];
    simulator::run(&history).unwrap();
}

/// After a reboot the mounts are gone but an attachment may not be: a driver that refuses the
/// Unmount once (its storage's API was not to be reached, say) is asked again.
#[test]
fn an_attachment_left_by_a_reboot_is_not_forgotten_at_the_first_refusal() {
    let history = [
        Prepare {
            container: 0,
            volumes: 6,
            exclusive: false,
        },
        Prepare {
            container: 8,
            volumes: 7,
            exclusive: false,
        },
        Disk {
            orders: 3,
            fails: false,
        },
        Begin { call: 213 },
        Answer { call: 95 },
        Reboot {
            lost: 0,
            orders: 0,
            operations: 0,
        },
        Begin { call: 134 },
        Begin { call: 5 },
        Refuse { call: 118 },
    ];
    simulator::run(&history).unwrap();
}

/// A volume made for a container was removed and the agent killed before its record was. The
/// Unmount that the next agent sent was refused, and a new user once took over the mount that there
/// was no more, of a volume that there was no more.
#[test]
fn what_was_made_for_another_container_is_never_taken_over() {
    let history = [
        Prepare {
            container: 10,
            volumes: 3,
            exclusive: false,
        },
        Disk {
            orders: 3,
            fails: false,
        },
        Begin { call: 34 },
        Prepare {
            container: 5,
            volumes: 12,
            exclusive: false,
        },
        Begin { call: 107 },
        Disk {
            orders: 1,
            fails: false,
        },
        Begin { call: 37 },
        Begin { call: 151 },
        Refuse { call: 92 },
        Answer { call: 212 },
        Answer { call: 253 },
        Answer { call: 23 },
        Prepare {
            container: 4,
            volumes: 6,
            exclusive: false,
        },
        Begin { call: 141 },
        Answer { call: 42 },
        Disk {
            orders: 3,
            fails: false,
        },
        Crash {
            known: 1669587952,
            orders: 2,
            operations: 3,
        },
        Begin { call: 131 },
        Answer { call: 111 },
        Begin { call: 245 },
        Crash {
            known: 3982612931,
            orders: 2,
            operations: 11,
        },
        Begin { call: 73 },
        Refuse { call: 144 },
        Prepare {
            container: 1,
            volumes: 11,
            exclusive: false,
        },
        Disk {
            orders: 3,
            fails: false,
        },
        Begin { call: 233 },
    ];
    simulator::run(&history).unwrap();
}

/// The record of an earlier user, which could not be rewritten, told of a volume that was mounted
/// and is gone since. A new one was being created for a later user when the agent died, and once
/// was not looked for.
#[test]
fn a_create_that_one_record_tells_of_is_looked_for_whatever_older_records_say() {
    let history = [
        Prepare {
            container: 10,
            volumes: 15,
            exclusive: false,
        },
        Disk {
            orders: 1,
            fails: false,
        },
        Begin { call: 251 },
        Answer { call: 55 },
        Begin { call: 82 },
        Answer { call: 191 },
        Prepare {
            container: 5,
            volumes: 15,
            exclusive: false,
        },
        Begin { call: 89 },
        Answer { call: 65 },
        Begin { call: 165 },
        Disk {
            orders: 2,
            fails: false,
        },
        Refuse { call: 221 },
        Disk {
            orders: 2,
            fails: false,
        },
        Disk {
            orders: 2,
            fails: false,
        },
        Begin { call: 105 },
        Answer { call: 29 },
        Begin { call: 105 },
        Prepare {
            container: 7,
            volumes: 9,
            exclusive: false,
        },
        Begin { call: 159 },
        Refuse { call: 250 },
        Disk {
            orders: 2,
            fails: false,
        },
        Begin { call: 142 },
        DiskBreaks { orders: 3, after: 6 },
        Elsewhere { call: 63 },
        Answer { call: 113 },
        Begin { call: 231 },
        Crash {
            known: 3030205914,
            orders: 2,
            operations: 4,
        },
    ];
    simulator::run(&history).unwrap();
}

/// One volume is mounted under two names, and both of its containers leave. The Unmount under the
/// first name cannot be sent, and the Unmount under the second name takes the mount away. The next
/// container's arrival takes back the retry under the first name, which once counted as proof that
/// the volume is still mounted.
#[test]
fn an_unmount_that_was_never_sent_does_not_prove_a_mount_that_went_with_the_volumes_other_name() {
    let history = [
        Prepare {
            container: 0,
            volumes: 4,
            exclusive: false,
        },
        Prepare {
            container: 1,
            volumes: 36,
            exclusive: false,
        },
        Disk {
            orders: 2,
            fails: false,
        },
        Begin { call: 0 },
        Begin { call: 0 },
        Answer { call: 0 },
        Answer { call: 0 },
        Disk {
            orders: 2,
            fails: false,
        },
        Cleanup { container: 1 },
        Cleanup { container: 0 },
        Disk {
            orders: 2,
            fails: false,
        },
        Begin { call: 0 },
        NotSent { call: 0 },
        Begin { call: 0 },
        Answer { call: 0 },
        Retry { nth: 0 },
        Prepare {
            container: 2,
            volumes: 4,
            exclusive: false,
        },
        Disk {
            orders: 3,
            fails: false,
        },
        Disk {
            orders: 3,
            fails: false,
        },
        Begin { call: 0 },
        Answer { call: 0 },
        Begin { call: 0 },
        Answer { call: 0 },
        Disk {
            orders: 1,
            fails: false,
        },
    ];
    let outcome = simulator::run(&history).unwrap();
    assert_eq!(outcome.granted, 3, "both containers and the next one get the volume");
}

/// The same, as a random history came to it: between the two Unmounts other volumes fail, and the
/// containers share them.
#[test]
fn a_container_that_was_refused_another_volume_leaves_no_false_proof_of_a_mount() {
    let history = [
        Prepare {
            container: 6,
            volumes: 5,
            exclusive: false,
        },
        Prepare {
            container: 7,
            volumes: 37,
            exclusive: false,
        },
        Disk {
            orders: 1,
            fails: false,
        },
        Begin { call: 99 },
        Begin { call: 145 },
        Disk {
            orders: 1,
            fails: false,
        },
        Begin { call: 52 },
        Prepare {
            container: 3,
            volumes: 12,
            exclusive: false,
        },
        Answer { call: 19 },
        Lose { call: 100, work: Late },
        Answer { call: 52 },
        Disk {
            orders: 2,
            fails: false,
        },
        Disk {
            orders: 1,
            fails: false,
        },
        Disk {
            orders: 1,
            fails: false,
        },
        Begin { call: 22 },
        Begin { call: 134 },
        PrepareDeadline { container: 3 },
        Answer { call: 91 },
        Begin { call: 157 },
        Disk {
            orders: 3,
            fails: false,
        },
        Prepare {
            container: 4,
            volumes: 46,
            exclusive: false,
        },
        Disk {
            orders: 1,
            fails: false,
        },
        Disk {
            orders: 2,
            fails: false,
        },
        Elsewhere { call: 172 },
        NotSent { call: 39 },
        Begin { call: 54 },
        Prepare {
            container: 11,
            volumes: 52,
            exclusive: false,
        },
        Answer { call: 129 },
        Retry { nth: 63 },
        Prepare {
            container: 9,
            volumes: 47,
            exclusive: false,
        },
        Disk {
            orders: 3,
            fails: false,
        },
        Disk {
            orders: 1,
            fails: false,
        },
        Disk {
            orders: 3,
            fails: false,
        },
    ];
    simulator::run(&history).unwrap();
}

/// A container's record says that its volume is mounted. The container is gone when the agent
/// starts, so the agent sends an Unmount, and is killed before the driver carries it out. The next
/// agent finds the same record and the mount. A new container joined that mount once, and lost it
/// to the late Unmount.
#[test]
fn an_unmount_that_an_earlier_agent_sent_takes_no_volume_from_a_later_container() {
    let all_gone = u32::MAX;
    let disk = Disk {
        orders: 3,
        fails: false,
    };
    let prepare = |container| Prepare {
        container,
        volumes: 4,
        exclusive: false,
    };
    let crash = Crash {
        known: all_gone,
        orders: 0,
        operations: 0,
    };
    let (begin, answer) = (Begin { call: 0 }, Answer { call: 0 });
    let history = [
        prepare(0),
        disk,
        begin,
        answer,
        disk,
        crash,
        begin,
        crash,
        prepare(1),
        disk,
        LateWork { volume: 2 },
        begin,
        answer,
        begin,
        answer,
        disk,
    ];
    let outcome = simulator::run(&history).unwrap();
    assert_eq!(outcome.granted, 2, "both containers get the volume");
}

/// The disk refuses the record that a container has left. An Unmount that was sent all the same, and that
/// was carried out only after the agent had been killed, took the volume from the container that the next
/// agent let join the earlier one.
#[test]
fn nothing_is_unmounted_before_the_disk_knows_that_the_container_has_left() {
    let disk = |fails| Disk { orders: 3, fails };
    let prepare = |container| Prepare {
        container,
        volumes: 4,
        exclusive: false,
    };
    let all_known = 0;
    let crash = Crash {
        known: all_known,
        orders: 0,
        operations: 0,
    };
    let (begin, answer) = (Begin { call: 0 }, Answer { call: 0 });
    let history = [
        prepare(0),
        disk(false),
        begin,
        answer,
        disk(false),
        Cleanup { container: 0 },
        disk(true),
        begin,
        crash,
        prepare(1),
        disk(false),
        disk(false),
        LateWork { volume: 2 },
        begin,
        answer,
        begin,
        answer,
        disk(false),
    ];
    let outcome = simulator::run(&history).unwrap();
    assert_eq!(outcome.granted, 2, "both containers get the volume");
    let violation = simulator::run_mutated(Mutant::DepartureErrorIsSuccess, &history).unwrap_err();
    assert!(
        violation.what.contains("was unmounted while container c1 used it"),
        "{}",
        violation.what
    );
}

/// A container was being prepared when the agent was killed, and its record says that it has a volume
/// which others had mounted. The next agent sent an Unmount and was killed as well, and the agent after
/// that took the record for that of a container that has the volume.
#[test]
fn a_container_that_is_gone_is_gone_on_disk_before_its_volume_is_unmounted() {
    let prepare = |container, volumes, exclusive| Prepare {
        container,
        volumes,
        exclusive,
    };
    let disk = |orders| Disk { orders, fails: false };
    let history = [
        prepare(6, 27, false),
        disk(2),
        Begin { call: 10 },
        Answer { call: 157 },
        prepare(5, 52, true),
        prepare(0, 19, false),
        disk(3),
        Crash {
            known: 150_244_940,
            orders: 1,
            operations: 0,
        },
        Begin { call: 189 },
        Crash {
            known: 2_706_279_016,
            orders: 2,
            operations: 13,
        },
        prepare(8, 50, false),
        disk(2),
        disk(1),
        LateWork { volume: 1 },
    ];
    simulator::run(&history).unwrap();
}

/// Somebody unmounts a volume while the agent is down. The container that had it lives on, and no
/// other container is given the volume until the driver has mounted it again.
#[test]
fn a_volume_that_was_unmounted_by_hand_before_the_agent_started_is_mounted_again_for_the_next_container() {
    let disk = Disk {
        orders: 3,
        fails: false,
    };
    let prepare = |container| Prepare {
        container,
        volumes: 2,
        exclusive: false,
    };
    let (begin, answer) = (Begin { call: 0 }, Answer { call: 0 });
    let history = [
        prepare(0),
        disk,
        begin,
        answer,
        disk,
        Umount { volume: 1 },
        Crash {
            known: 0,
            orders: 0,
            operations: 0,
        },
        prepare(1),
        disk,
        Cleanup { container: 0 },
        disk,
        begin,
        answer,
        disk,
        begin,
        answer,
        disk,
    ];
    let outcome = simulator::run(&history).unwrap();
    assert_eq!(outcome.granted, 2, "both containers get the volume");
    let violation = simulator::run_mutated(simulator::Mutant::MountTableIgnored, &history).unwrap_err();
    assert!(
        violation.what.contains("was not mounted when the agent started"),
        "{violation:?}"
    );
}

#[test]
fn one_seed_is_always_the_same_history() {
    assert_eq!(Action::history(7), Action::history(7));
    assert_ne!(Action::history(7), Action::history(8));
}
