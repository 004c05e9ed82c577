//! What an emulator knows after it was killed, and what its fault rules do.

use std::fs;
use std::time::{Duration, Instant};

use crate::rig::{self, Rig, wait_until};
use ebs_emulator::{Action, EventKind, FaultRule, Operation};
use serde_json::json;

#[test]
fn a_mounted_volume_survives_the_death_of_the_emulator_with_its_users() {
    let mut rig = Rig::new();
    rig.client().create("kept", 1, "z1").unwrap();
    let folder = rig.driver("a").mount("kept", "one").unwrap();
    rig.driver("a").mount("kept", "two").unwrap();
    fs::write(folder.join("file"), "data").unwrap();
    rig.emulator.kill().unwrap();
    assert_eq!(rig.mounts().len(), 1);
    rig.emulator.restart().unwrap();

    assert_eq!(rig.driver("a").mount("kept", "one").unwrap(), folder);
    assert!(
        rig.driver("b")
            .mount("kept", "three")
            .unwrap_err()
            .starts_with("VolumeInUse")
    );
    rig.driver("a").unmount("kept", "one").unwrap();
    assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "data");
    rig.driver("a").unmount("kept", "two").unwrap();
    rig.assert_nothing_left();
    assert!(rig.steps().contains(&"a:recover".to_owned()));
}

#[test]
fn what_was_unmounted_behind_its_back_is_found_out() {
    let mut rig = Rig::new();
    rig.client().create("pulled", 1, "z1").unwrap();
    let folder = rig.driver("a").mount("pulled", "x").unwrap();
    rig.emulator.kill().unwrap();
    ebs_emulator::release::release(rig.emulator.state()).unwrap();
    rig.emulator.restart().unwrap();
    rig.assert_nothing_left();
    assert_eq!(
        rig.driver("b").mount("pulled", "x").unwrap().file_name(),
        folder.file_name()
    );
    rig.driver("b").unmount("pulled", "x").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn an_attachment_without_a_mount_is_let_go_by_the_next_unmount() {
    let mut rig = Rig::new();
    rig.client().create("half", 1, "z1").unwrap();
    rig.client()
        .fault(&FaultRule::new(Operation::Format, Action::Crash).times(1))
        .unwrap();
    assert_eq!(rig.driver("a").mount("half", "x").unwrap_err(), "no answer");
    rig.emulator.wait_for_end(Duration::from_secs(10)).unwrap();
    rig.emulator.restart().unwrap();
    assert_eq!(rig.loop_devices().len(), 1);
    assert_eq!(rig.mounts().len(), 0);
    rig.driver("a").unmount("half", "whatever").unwrap();
    rig.assert_nothing_left();
    // The format that was cut short is made again.
    rig.driver("b").mount("half", "x").unwrap();
    rig.driver("b").unmount("half", "x").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn an_orderly_end_leaves_mounts_and_takes_the_sockets() {
    let mut rig = Rig::new();
    rig.client().create("stays", 1, "z1").unwrap();
    rig.driver("a").mount("stays", "x").unwrap();
    let socket = rig.driver("a").socket;
    assert!(rig.emulator.stop().unwrap().unwrap().success());
    assert!(!socket.exists());
    assert_eq!(rig.mounts().len(), 1);
    rig.emulator.restart().unwrap();
    rig.driver("a").unmount("stays", "x").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn dropping_an_emulator_leaves_no_mount_and_no_device() {
    let Rig { emulator, folder } = Rig::new();
    emulator.client().create("dropped", 1, "z1").unwrap();
    rig::Driver {
        socket: emulator.driver("a").unwrap(),
    }
    .mount("dropped", "x")
    .unwrap();
    drop(emulator);
    let path = folder.path().canonicalize().unwrap().display().to_string();
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&path));
    for entry in fs::read_dir("/sys/block").unwrap().flatten() {
        let file = fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        assert!(!file.contains(&path), "{file}");
    }
}

#[test]
fn a_second_emulator_on_the_same_folder_is_refused() {
    let rig = Rig::new();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_ebs-emulator"))
        .args(["serve", "--host", "a=z1", "--state"])
        .arg(rig.emulator.state())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(words.contains("is another emulator running on this folder?"), "{words}");
}

#[test]
fn a_failing_mount_fails_as_often_as_told_and_leaves_nothing() {
    let rig = Rig::new();
    rig.client().create("flaky", 1, "z1").unwrap();
    let rule = FaultRule::new(
        Operation::Mount,
        Action::Fail {
            message: "RequestLimitExceeded".into(),
        },
    );
    rig.client().fault(&rule.on("flaky").times(2)).unwrap();
    let driver = rig.driver("a");
    assert_eq!(driver.mount("flaky", "x").unwrap_err(), "RequestLimitExceeded");
    assert_eq!(driver.mount("flaky", "x").unwrap_err(), "RequestLimitExceeded");
    rig.assert_nothing_left();
    driver.mount("flaky", "x").unwrap();
    driver.unmount("flaky", "x").unwrap();
}

#[test]
fn a_failing_attach_is_undone() {
    let rig = Rig::new();
    rig.client().create("undone", 1, "z1").unwrap();
    for operation in [Operation::Attach, Operation::Format] {
        let rule = FaultRule::new(
            operation,
            Action::Fail {
                message: "no luck".into(),
            },
        )
        .times(1);
        rig.client().fault(&rule).unwrap();
        assert_eq!(rig.driver("a").mount("undone", "x").unwrap_err(), "no luck");
        rig.assert_nothing_left();
    }
}

#[test]
fn a_refused_detach_keeps_the_volume_attached_until_it_is_repeated() {
    let rig = Rig::new();
    rig.client().create("stuck", 1, "z1").unwrap();
    let driver = rig.driver("a");
    driver.mount("stuck", "x").unwrap();
    let refuse = Action::Fail {
        message: "IncorrectState: try again".into(),
    };
    rig.client()
        .fault(&FaultRule::new(Operation::Detach, refuse).times(1))
        .unwrap();
    assert_eq!(driver.unmount("stuck", "x").unwrap_err(), "IncorrectState: try again");
    assert_eq!((rig.mounts().len(), rig.loop_devices().len()), (0, 1));
    assert!(
        rig.driver("b")
            .mount("stuck", "y")
            .unwrap_err()
            .starts_with("VolumeInUse")
    );
    driver.unmount("stuck", "x").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn a_dropped_answer_comes_after_the_work_is_done() {
    let rig = Rig::new();
    rig.client().create("silent", 1, "z1").unwrap();
    rig.client()
        .fault(&FaultRule::new(Operation::Mount, Action::Drop).after().times(1))
        .unwrap();
    let driver = rig.driver("a");
    assert_eq!(driver.mount("silent", "x").unwrap_err(), "no answer");
    assert_eq!(rig.mounts().len(), 1);
    driver.unmount("silent", "x").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn a_hanging_mount_delays_no_other_volume_and_goes_on_when_cleared() {
    let rig = Rig::new();
    for name in ["hung", "healthy"] {
        rig.client().create(name, 1, "z1").unwrap();
    }
    let rule = rig
        .client()
        .fault(&FaultRule::new(Operation::Attach, Action::Hang).on("hung"))
        .unwrap();
    let driver = rig.driver("a");
    let hanging = std::thread::spawn({
        let driver = driver.clone();
        move || driver.mount("hung", "x")
    });
    wait_until("the fault strikes", || rig.client().faults().unwrap()[0].struck == 1);
    driver.mount("healthy", "x").unwrap();
    driver.unmount("healthy", "x").unwrap();
    assert_eq!(
        driver.call("Get", json!({"Name": "hung"})).unwrap()["Volume"]["Status"]["attachmentState"],
        "attaching"
    );
    assert!(!hanging.is_finished());
    rig.client().clear_faults(Some(rule)).unwrap();
    hanging.join().unwrap().unwrap();
    driver.unmount("hung", "x").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn a_caller_that_hangs_up_does_not_stop_the_work() {
    let rig = Rig::new();
    rig.client().create("left", 1, "z1").unwrap();
    rig.client()
        .fault(&FaultRule::new(Operation::Attach, Action::Delay { ms: 300 }))
        .unwrap();
    let driver = rig.driver("a");
    let mut stream = std::os::unix::net::UnixStream::connect(&driver.socket).unwrap();
    let body = json!({"Name": "left", "ID": "x"}).to_string();
    let head = format!(
        "POST /VolumeDriver.Mount HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    std::io::Write::write_all(&mut stream, format!("{head}{body}").as_bytes()).unwrap();
    wait_until("the fault strikes", || rig.client().faults().unwrap()[0].struck == 1);
    drop(stream);
    wait_until("the mount is there", || rig.mounts().len() == 1);
    driver.unmount("left", "x").unwrap();
    rig.assert_nothing_left();
}

#[test]
fn a_delay_is_seen_in_the_history() {
    let rig = Rig::new();
    rig.client().create("slow", 1, "z1").unwrap();
    rig.client()
        .fault(
            &FaultRule::new(Operation::Attach, Action::Delay { ms: 200 })
                .at("a")
                .times(1),
        )
        .unwrap();
    let began = Instant::now();
    rig.driver("a").mount("slow", "one-id").unwrap();
    assert!(began.elapsed() >= Duration::from_millis(200));
    rig.driver("a").unmount("slow", "one-id").unwrap();
    let events = rig.client().log().unwrap();
    let attach = events.iter().find(|event| event.kind == EventKind::Attach).unwrap();
    assert!(attach.took_ms.unwrap() >= 200.0);
    let calls: Vec<_> = events.iter().filter(|event| event.kind == EventKind::Answer).collect();
    assert!(
        calls.iter().all(|call| call.mount_id.as_deref() == Some("one-id")),
        "{calls:?}"
    );
    assert_eq!(calls.len(), 2);
}
