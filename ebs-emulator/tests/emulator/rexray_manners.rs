//! What REX-Ray with EBS was seen to do, as the project's own client meets it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ebs_emulator::{Action, FaultRule, Operation};
use volume_driver_client::{CreatePolicy, Discovery, Driver, Drivers, ErrorKind, ExplicitDriver, MountId, Profiles};

use crate::rig::Rig;

/// A client of a host's driver under the name `rexray`, whose profile it gets.
fn rexray(rig: &Rig, host: &str, profiles: Profiles) -> Driver {
    let explicit = ExplicitDriver {
        address: rig.emulator.driver(host).unwrap().display().to_string(),
        ..ExplicitDriver::default()
    };
    let discovery = Discovery {
        explicit: [("rexray".to_owned(), explicit)].into(),
        ..Discovery::default()
    };
    Drivers::new(discovery, profiles).driver("rexray").unwrap()
}

fn with_host(manners: &str) -> (Rig, Driver) {
    let host = format!("a=z1,shared,manners={manners}");
    let rig = Rig::with_hosts([host.as_str(), "b=z1,shared", "c=z2,shared"]);
    let driver = rexray(&rig, "a", Profiles::builtin());
    (rig, driver)
}

fn id(volume: &str) -> MountId {
    MountId::derive("host", "rexray", volume)
}

fn mount(driver: &Driver, volume: &str) -> Result<PathBuf, ErrorKind> {
    driver.mount(volume, &id(volume)).map_err(|error| error.kind())
}

fn unmount(driver: &Driver, volume: &str) -> Result<(), ErrorKind> {
    driver.unmount(volume, &id(volume)).map_err(|error| error.kind())
}

/// The state that the storage shows of a volume.
fn state(rig: &Rig, volume: &str) -> String {
    let described = rig.client().describe().unwrap();
    let found = described.volumes.iter().find(|it| it.name() == Some(volume));
    found.unwrap().state.clone()
}

#[track_caller]
fn eventually(what: &str, check: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !check() {
        assert!(Instant::now() < end, "{what}: not in a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_spellings_of_a_name_are_one_volume() {
    let (rig, driver) = with_host("ignores-case");
    rig.client().create("Data", 1, "z1").unwrap();
    assert_eq!(driver.get("data").unwrap().name, "Data");
    let first = mount(&driver, "data").unwrap();
    assert_eq!(mount(&driver, "DATA").unwrap(), first);
    unmount(&driver, "data").unwrap();
    unmount(&driver, "DATA").unwrap();
    driver.create("data", &BTreeMap::new()).unwrap();
    assert_eq!(
        rig.client().describe().unwrap().volumes.len(),
        2,
        "a Create compares exactly"
    );
    rig.assert_nothing_left();
}

#[test]
fn a_volume_of_another_zone_is_not_found_and_a_create_makes_a_second_one() {
    let (rig, driver) = with_host("other-zones-unknown");
    rig.client().create("data", 1, "z2").unwrap();
    assert_eq!(driver.get("data").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(mount(&driver, "data"), Err(ErrorKind::NotFound));
    driver
        .ensure("data", &CreatePolicy::IfMissing(BTreeMap::new()))
        .unwrap();
    assert_eq!(rig.client().describe().unwrap().volumes.len(), 2);
}

#[test]
fn an_id_is_no_name() {
    let (rig, driver) = with_host("names-only");
    let volume = rig.client().create("data", 1, "z1").unwrap().volume_id.to_string();
    assert!(driver.get("data").is_ok());
    assert_eq!(driver.get(&volume).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_volume_that_another_host_has_is_not_found_by_mount_and_found_by_get() {
    let (rig, driver) = with_host("foreign-unknown");
    rig.client().create("data", 1, "z1").unwrap();
    rig.driver("b").mount("data", "x").unwrap();
    assert_eq!(mount(&driver, "data"), Err(ErrorKind::AttachedElsewhere));
    rig.driver("b").unmount("data", "x").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn a_slow_attach_is_refused_without_a_cause_and_completes_later() {
    let (rig, driver) = with_host("time-limit:50");
    rig.client().create("data", 1, "z1").unwrap();
    let slow = FaultRule::new(Operation::Attach, Action::Hang).times(1);
    let rule = rig.client().fault(&slow).unwrap();
    let refused = driver.mount("data", &id("data")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Uncertain, "{refused}");
    assert!(refused.words().ends_with("failed:"), "{refused}");
    rig.client().clear_faults(Some(rule)).unwrap();
    eventually("the attach completes", || state(&rig, "data") == "in-use");
    assert_eq!(rig.mounts(), Vec::<String>::new());
    // What settles an uncertain Mount: one Unmount.
    unmount(&driver, "data").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn a_refused_mount_leaves_the_volume_attached_until_an_unmount() {
    for (manners, stays) in [("refused-mount-stays", true), ("ignores-case", false)] {
        let (rig, driver) = with_host(manners);
        rig.client().create("data", 1, "z1").unwrap();
        let broken = Action::Fail {
            message: "error mounting directory".into(),
        };
        rig.client()
            .fault(&FaultRule::new(Operation::Format, broken).times(1))
            .unwrap();
        assert_eq!(mount(&driver, "data"), Err(ErrorKind::Rejected));
        assert_eq!(state(&rig, "data") == "in-use", stays, "{manners}");
        if stays {
            assert_eq!(driver.remove("data").unwrap_err().kind(), ErrorKind::Busy);
            unmount(&driver, "data").unwrap();
        }
        rig.assert_nothing_left();
    }
}

#[test]
fn an_unmount_that_only_pretends_leaves_the_mount() {
    let (rig, driver) = with_host("rexray");
    rig.client().create("data", 1, "z1").unwrap();
    let mountpoint = mount(&driver, "data").unwrap();
    rig.client()
        .fault(&FaultRule::new(Operation::Unmount, Action::Pretend).times(1))
        .unwrap();
    unmount(&driver, "data").unwrap();
    assert_eq!(rig.mounts().len(), 1, "{}", mountpoint.display());
    unmount(&driver, "data").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn a_create_that_is_turned_off_is_told_at_once() {
    let (rig, driver) = with_host("rexray");
    rig.client()
        .fault(&FaultRule::new(Operation::Create, Action::Pretend))
        .unwrap();
    let error = driver
        .ensure("data", &CreatePolicy::IfMissing(BTreeMap::new()))
        .unwrap_err();
    assert!(error.to_string().contains("create.disable"), "{error}");
    assert_eq!(rig.client().describe().unwrap().volumes.len(), 0);
}

#[test]
fn two_attaches_at_once_choose_one_device_and_one_call_at_a_time_does_not() {
    for (max_in_flight, collides) in [(2, true), (1, false)] {
        let (rig, _) = with_host("devices-collide");
        rig.client().create("one", 1, "z1").unwrap();
        rig.client().create("two", 1, "z1").unwrap();
        let profiles = format!(r#"{{"rexray": {{"max_in_flight": {max_in_flight}}}}}"#);
        let driver = rexray(&rig, "a", Profiles::from_json(&profiles).unwrap());
        // The first attach waits until the second Mount was refused, or, one at a time, a moment.
        let hold = match collides {
            true => Action::Hang,
            false => Action::Delay { ms: 100 },
        };
        let rule = rig
            .client()
            .fault(&FaultRule::new(Operation::Attach, hold).times(1))
            .unwrap();
        let first = std::thread::spawn({
            let driver = driver.clone();
            move || mount(&driver, "one")
        });
        eventually("the first attach begins", || {
            let begun = rig.client().describe().unwrap();
            begun.volumes.iter().any(|volume| !volume.attachments.is_empty())
        });
        let second = mount(&driver, "two");
        if collides {
            assert_eq!(second, Err(ErrorKind::Rejected));
            rig.client().clear_faults(Some(rule)).unwrap();
        } else {
            second.unwrap();
            unmount(&driver, "two").unwrap();
        }
        first.join().unwrap().unwrap();
        unmount(&driver, "one").unwrap();
        rig.assert_nothing_left();
    }
}

/// REX-Ray chooses device names at random, so that attaches at once collide now and then.
#[test]
fn of_many_attaches_at_once_that_choose_among_a_few_devices_some_collide_and_some_do_not() {
    let (rig, _) = with_host("devices-collide+device-names:2");
    let profiles = Profiles::from_json(r#"{"rexray": {"max_in_flight": 4}}"#).unwrap();
    let driver = rexray(&rig, "a", profiles);
    rig.client().create("held", 1, "z1").unwrap();
    // One attach stays under way with the device that it has chosen.
    let rule = rig
        .client()
        .fault(&FaultRule::new(Operation::Attach, Action::Hang).times(1))
        .unwrap();
    let held = std::thread::spawn({
        let driver = driver.clone();
        move || mount(&driver, "held")
    });
    eventually("the first attach begins", || {
        let begun = rig.client().describe().unwrap();
        begun.volumes.iter().any(|volume| !volume.attachments.is_empty())
    });
    // That 40 choices of one of two devices are all the same happens once in 2^40 runs.
    let mut outcomes = std::collections::BTreeSet::new();
    for number in 0..40 {
        let name = format!("other-{number}");
        rig.client().create(&name, 1, "z1").unwrap();
        let mounted = mount(&driver, &name);
        if mounted.is_ok() {
            unmount(&driver, &name).unwrap();
        }
        outcomes.insert(mounted.is_ok());
        if outcomes.len() == 2 {
            break;
        }
    }
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
    rig.client().clear_faults(Some(rule)).unwrap();
    held.join().unwrap().unwrap();
    unmount(&driver, "held").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn names_that_it_breaks_on_are_refused_by_the_profile_and_break_without_it() {
    let (rig, driver) = with_host("breaks-on-names");
    rig.client().create("my data", 1, "z1").unwrap();
    rig.client().create("50%", 1, "z1").unwrap();
    assert_eq!(mount(&driver, "my data"), Err(ErrorKind::UnsupportedName));
    assert_eq!(mount(&driver, "50%"), Err(ErrorKind::UnsupportedName));

    let unaware = Profiles::from_json(r#"{"rexray": {"unsupported_in_names": ""}}"#).unwrap();
    let driver = rexray(&rig, "a", unaware);
    assert_eq!(driver.get("50%").unwrap_err().kind(), ErrorKind::NotFound);
    mount(&driver, "my data").unwrap();
    assert_eq!(unmount(&driver, "my data"), Err(ErrorKind::Rejected));
    assert_eq!(rig.mounts().len(), 1, "it stays mounted");
}
