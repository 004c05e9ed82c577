//! What a driver says of a volume is held against the mount table, whatever file system its folder
//! lies on. The drivers here say what the test wants, and mount real file systems or none; real
//! drivers on a real agent are in the workspace's end-to-end tests.

mod scripted;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use scripted::{Agent, Driver, eventually};
use tempfile::TempDir;

/// A tmpfs, as a separate `/run`, `/var` or `/tmp` is, for the driver's folder to lie on.
struct Around(TempDir);

impl Around {
    fn new() -> Self {
        let around = Self(tempfile::tempdir().expect("a folder"));
        mount("around", around.0.path(), "tmpfs", MountFlags::empty(), None).expect("root may mount");
        around
    }

    /// The driver's folder for a volume.
    fn place(&self, volume: &str) -> PathBuf {
        let place = self.0.path().join("base").join(volume);
        fs::create_dir_all(&place).expect("a folder");
        place
    }
}

impl Drop for Around {
    fn drop(&mut self) {
        while unmount(self.0.path(), UnmountFlags::DETACH).is_ok() {}
    }
}

fn mount_volume(place: &Path) {
    mount("volume", place, "tmpfs", MountFlags::empty(), None).expect("root may mount");
}

fn unmount_volume(place: &Path) {
    unmount(place, UnmountFlags::DETACH).expect("it is mounted");
}

#[test]
fn a_driver_that_mounts_out_of_sight_is_refused_although_its_folder_lies_on_a_file_system_of_its_own() {
    let around = Around::new();
    let place = around.place("v");
    let driver = Driver::start("fake", &place);
    let agent = Agent::start(&driver, &[]);
    let refusal = agent.prepare("a", "v").unwrap_err();
    assert!(
        refusal.contains("sees no mount but") && refusal.contains("around (tmpfs)"),
        "{refusal}"
    );
    agent.cleanup("a");
    assert_eq!(driver.calls("Unmount"), 1, "what the driver did is undone");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
}

#[test]
fn a_mount_that_comes_with_the_call_is_the_volume_whichever_folder_in_it_the_driver_names() {
    let around = Around::new();
    for (name, folder) in [("exact", ""), ("inner", "data"), ("deep", "a/b/c")] {
        let place = around.place(name);
        let driver = Driver::start("fake", &place.join(folder));
        let mounted = place.clone();
        let inner = folder.to_owned();
        driver.on("Mount", move || {
            mount_volume(&mounted);
            fs::create_dir_all(mounted.join(&inner)).expect("a folder in the volume");
        });
        let gone = place.clone();
        driver.on("Unmount", move || unmount_volume(&gone));
        let agent = Agent::start(&driver, &[]);
        assert_eq!(agent.prepare("a", "v"), Ok(place.join(folder)), "{name}");
        agent.cleanup("a");
        eventually(|| agent.nothing_is_recorded());
    }
}

#[test]
fn a_driver_that_has_the_volume_mounted_already_need_not_mount_it_again() {
    let around = Around::new();
    let place = around.place("v");
    mount_volume(&place);
    let driver = Driver::start("fake", &place);
    let gone = place.clone();
    driver.on("Unmount", move || unmount_volume(&gone));
    let agent = Agent::start(&driver, &[]);
    assert_eq!(agent.prepare("a", "v"), Ok(place));
    agent.cleanup("a");
    eventually(|| agent.nothing_is_recorded());
}

#[test]
fn a_folder_in_a_mount_that_was_there_before_is_the_volume_only_if_the_profile_says_so() {
    let around = Around::new();
    for (driver, proven) in [("rexray", true), ("fake", false)] {
        let place = around.place(driver);
        mount_volume(&place);
        fs::create_dir(place.join("data")).unwrap();
        let driver = Driver::start(driver, &place.join("data"));
        let gone = place.clone();
        driver.on("Unmount", move || unmount_volume(&gone));
        let agent = Agent::start(&driver, &[]);
        assert_eq!(agent.prepare("a", "v").is_ok(), proven, "{}", driver.name());
        agent.cleanup("a");
    }
}

/// Nobody may get the file system around a driver's folder by the name of a volume.
#[test]
fn a_volume_called_like_the_drivers_folder_gets_no_other_place() {
    let around = Around::new();
    let place = around.place("base");
    let driver = Driver::start("rexray", &place);
    let agent = Agent::start(&driver, &[]);
    assert!(agent.prepare("a", "base").unwrap_err().contains("sees no mount"));
    agent.cleanup("a");
}

#[test]
fn a_path_with_a_symlink_leads_to_the_mount() {
    let around = Around::new();
    let place = around.place("v");
    let link = around.0.path().join("link");
    std::os::unix::fs::symlink(around.0.path().join("base"), &link).unwrap();
    let driver = Driver::start("fake", &link.join("v"));
    let (mounted, gone) = (place.clone(), place);
    driver.on("Mount", move || mount_volume(&mounted));
    driver.on("Unmount", move || unmount_volume(&gone));
    let agent = Agent::start(&driver, &[]);
    assert_eq!(agent.prepare("a", "v"), Ok(around.place("v")), "without the symlink");
    agent.cleanup("a");
    eventually(|| agent.nothing_is_recorded());
}

#[test]
fn of_a_driver_that_mounts_once_for_all_its_volumes_the_second_one_is_refused_with_the_remedy() {
    let around = Around::new();
    let base = around.0.path().join("base");
    fs::create_dir(&base).unwrap();
    let driver = Driver::start("fake", &base.join("v"));
    let all = base.clone();
    driver.on("Mount", move || {
        if !all.join("v").exists() {
            mount_volume(&all);
            fs::create_dir(all.join("v")).unwrap();
            fs::create_dir(all.join("w")).unwrap();
        }
    });
    let agent = Agent::start(&driver, &[]);
    assert_eq!(agent.prepare("a", "v"), Ok(base.join("v")));
    driver.answer_mountpoint(&base.join("w"));
    let refusal = agent.prepare("b", "w").unwrap_err();
    assert!(refusal.contains("directory_backed_drivers"), "{refusal}");
    agent.cleanup("b");
    agent.cleanup("a");
}

#[test]
fn volumes_that_are_mounted_at_the_same_time_are_each_proven_by_their_own_mount() {
    let around = Around::new();
    let names: Vec<String> = (0..8).map(|number| format!("v{number}")).collect();
    let places: Vec<PathBuf> = names.iter().map(|name| around.place(name)).collect();
    let driver = Driver::start("fake", &places[0]);
    let base = places[0].parent().unwrap().to_owned();
    driver.by_name(&base);
    let (mounted, gone) = (base.clone(), base.clone());
    driver.on_named("Mount", move |name| mount_volume(&mounted.join(name)));
    driver.on_named("Unmount", move |name| unmount_volume(&gone.join(name)));
    let agent = Agent::start(&driver, &[]);
    std::thread::scope(|threads| {
        for name in &names {
            let (agent, base) = (&agent, &base);
            threads.spawn(move || assert_eq!(agent.prepare(name, name), Ok(base.join(name))));
        }
    });
    names.iter().for_each(|name| agent.cleanup(name));
    eventually(|| agent.nothing_is_recorded());
}

#[test]
fn a_volume_that_is_still_mounted_after_a_successful_unmount_stays_recorded_until_it_is_gone() {
    let around = Around::new();
    let place = around.place("v");
    let driver = Driver::start("fake", &place);
    let mounted = place.clone();
    driver.on("Mount", move || mount_volume(&mounted));
    let agent = Agent::start(&driver, &[]);
    agent.prepare("a", "v").unwrap();
    agent.cleanup("a");
    eventually(|| agent.status().contains("still mounted"));
    assert!(!agent.nothing_is_recorded());
    // The driver is asked again, and this time it does what it says.
    let gone = place.clone();
    driver.on("Unmount", move || unmount_volume(&gone));
    eventually(|| agent.nothing_is_recorded());
    assert!(driver.calls("Unmount") > 1);
}

/// A driver that counts its users takes a second Unmount for that of another client.
#[test]
fn a_volume_that_another_namespace_uses_is_not_unmounted_under_it_and_settled_when_that_has_ended() {
    let around = Around::new();
    let place = around.place("v");
    let driver = Driver::start("fake", &place);
    let mounted = place.clone();
    driver.on("Mount", move || mount_volume(&mounted));
    let agent = Agent::start(&driver, &[]);
    agent.prepare("a", "v").unwrap();
    // As dockerd does for its own container.
    let elsewhere = around.0.path().join("container");
    fs::create_dir(&elsewhere).unwrap();
    let script = format!(
        "mount --make-rprivate / && mount --bind {} {} && echo ready && exec sleep 1000",
        place.display(),
        elsewhere.display()
    );
    let mut other = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("util-linux is installed");
    let mut ready = [0; 5];
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut ready).unwrap();
    agent.cleanup("a");
    eventually(|| agent.status().contains("(sleep) uses it"));
    assert_eq!(driver.calls("Unmount"), 1, "it was told once, and is not asked again");
    other.kill().and_then(|()| other.wait()).unwrap();
    unmount_volume(&place);
    eventually(|| agent.nothing_is_recorded());
    assert_eq!(driver.calls("Unmount"), 1);
}

#[test]
fn a_driver_whose_count_an_unmount_too_many_breaks_is_not_asked_again_for_what_another_client_has_mounted() {
    let around = Around::new();
    let place = around.place("v");
    let driver = Driver::start("fake", &place);
    let mounted = place.clone();
    driver.on("Mount", move || mount_volume(&mounted));
    let settings = r#"{"profiles": {"fake": {"unmount_when_not_mounted": "poisons"}}}"#;
    let agent = Agent::start(&driver, &[("drivers", settings)]);
    agent.prepare("a", "v").unwrap();
    // The other client is in the host's mount namespace, so no process gives it away.
    agent.cleanup("a");
    eventually(|| agent.status().contains("the driver counts its users"));
    assert_eq!(
        driver.calls("Unmount"),
        1,
        "the second Unmount would be that of the other client"
    );
    unmount_volume(&place);
    eventually(|| agent.nothing_is_recorded());
    assert_eq!(driver.calls("Unmount"), 1);
}

/// As docker-volume-s3 does, which hands on what umount(8) says. That the ledger settles it is
/// tested beside the ledger.
#[test]
fn a_driver_that_refuses_to_unmount_what_is_not_mounted_mounts_it_for_the_next_container() {
    let around = Around::new();
    let place = around.place("v");
    let driver = Driver::start("fake", &place);
    let (mounted, gone) = (place.clone(), place.clone());
    driver.on("Mount", move || mount_volume(&mounted));
    driver.on("Unmount", move || unmount_volume(&gone));
    driver.refuse("Unmount", "umount: exit status 32");
    let agent = Agent::start(&driver, &[]);
    agent.prepare("a", "v").unwrap();
    unmount_volume(&place);
    agent.cleanup("a");
    eventually(|| agent.status().contains("exit status 32"));
    assert!(
        !agent.status().contains("mount_bases"),
        "no other container is to blame"
    );
    assert_eq!(agent.prepare("b", "v"), Ok(place));
    assert_eq!(driver.calls("Mount"), 2);
    driver.accept("Unmount");
    agent.cleanup("b");
    eventually(|| agent.nothing_is_recorded());
}

#[test]
fn a_driver_that_refuses_to_unmount_what_is_mounted_is_asked_until_it_does() {
    let around = Around::new();
    let place = around.place("v");
    let driver = Driver::start("fake", &place);
    let mounted = place.clone();
    driver.on("Mount", move || mount_volume(&mounted));
    driver.refuse("Unmount", "busy");
    let agent = Agent::start(&driver, &[]);
    agent.prepare("a", "v").unwrap();
    agent.cleanup("a");
    eventually(|| driver.calls("Unmount") > 3);
    assert!(!agent.nothing_is_recorded());
    let gone = place.clone();
    driver.on("Unmount", move || unmount_volume(&gone));
    driver.accept("Unmount");
    eventually(|| agent.nothing_is_recorded());
}

#[test]
fn a_container_that_joins_after_the_volume_was_unmounted_by_hand_does_not_get_the_hosts_folder() {
    let around = Around::new();
    let place = around.place("v");
    let driver = Driver::start("fake", &place);
    let mounted = place.clone();
    driver.on("Mount", move || mount_volume(&mounted));
    let agent = Agent::start(&driver, &[("health_interval", "1hrs")]);
    agent.prepare("a", "v").unwrap();
    unmount_volume(&place);
    let refusal = agent.prepare("b", "v").unwrap_err();
    assert!(refusal.contains("disappeared"), "{refusal}");
    agent.cleanup("b");
    agent.cleanup("a");
    eventually(|| agent.nothing_is_recorded());
    agent.prepare("c", "v").unwrap();
    assert_eq!(driver.calls("Mount"), 2);
    unmount_volume(&place);
    agent.cleanup("c");
}

#[test]
fn a_restarted_agent_notices_that_a_volume_was_unmounted_by_hand_or_mounted_again() {
    let around = Around::new();
    for again in [false, true] {
        let place = around.place(if again { "again" } else { "gone" });
        let driver = Driver::start("fake", &place);
        let mounted = place.clone();
        driver.on("Mount", move || mount_volume(&mounted));
        let agent = Agent::start(&driver, &[]);
        agent.prepare("a", "v").unwrap();
        let agent = agent.restart(&["a"], &[]);
        eventually(|| agent.status().contains(r#""mounted""#));
        let agent = agent.restart_after(&["a"], || {
            unmount_volume(&place);
            if again {
                // The kernel gives the id that has become free again.
                mount_volume(&around.place("another"));
                mount_volume(&place);
            }
        });
        eventually(|| agent.status().contains("disappeared"));
        let gone = place.clone();
        driver.on("Unmount", move || while unmount(&gone, UnmountFlags::DETACH).is_ok() {});
        agent.cleanup("a");
        eventually(|| agent.nothing_is_recorded());
    }
}

/// The table cannot be read when the agent is out of file descriptors.
#[test]
fn a_mount_table_that_cannot_be_read_is_no_proof_that_nothing_is_mounted() {
    let around = Around::new();
    let place = around.place("v");
    // Of sshfs an Unmount too many breaks the count, so that none is sent when nothing is mounted.
    let driver = Driver::start("sshfs", &place);
    let (mounted, gone) = (place.clone(), place.clone());
    driver.on("Mount", move || mount_volume(&mounted));
    driver.on("Unmount", move || unmount_volume(&gone));
    let agent = Agent::start(&driver, &[]);
    agent.prepare("a", "v").unwrap();
    let limits = getrlimit(Resource::Nofile);
    let none = Rlimit {
        current: Some(3),
        maximum: limits.maximum,
    };
    setrlimit(Resource::Nofile, none).unwrap();
    agent.cleanup_without_waiting("a");
    std::thread::sleep(std::time::Duration::from_secs(1));
    setrlimit(Resource::Nofile, limits).unwrap();
    eventually(|| agent.nothing_is_recorded());
    assert_eq!(driver.calls("Unmount"), 1);
}

/// sshfs takes its count below zero when it is asked to unmount what it did not mount, and then
/// mounts nothing any more.
#[test]
fn after_a_refused_mount_an_unmount_is_sent_unless_the_drivers_profile_forbids_it() {
    let folder = tempfile::tempdir().unwrap();
    for (name, settings, unmounts) in [
        ("fake", "{}", 1),
        ("sshfs", "{}", 0),
        (
            "fake",
            r#"{"profiles": {"fake": {"unmount_after_failed_mount_is_safe": false}}}"#,
            0,
        ),
    ] {
        let driver = Driver::start(name, folder.path());
        driver.refuse("Mount", "no such server");
        let agent = Agent::start(&driver, &[("drivers", settings)]);
        let refusal = agent.prepare("a", "v").unwrap_err();
        assert!(refusal.contains("no such server"), "{refusal}");
        agent.cleanup("a");
        eventually(|| agent.nothing_is_recorded());
        assert_eq!(driver.calls("Unmount"), unmounts, "{name} {settings}");
    }
}

/// REX-Ray bears one call at a time, by whatever names it is called.
#[test]
fn two_names_of_one_driver_share_its_limit_of_calls() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap();
    let driver = Driver::start("rexray", &base);
    driver.by_name(&base);
    let calls: Arc<(AtomicUsize, AtomicUsize)> = Arc::default();
    let (counted, mounted, gone) = (Arc::clone(&calls), base.clone(), base.clone());
    driver.on_named("Mount", move |name| {
        let (now, most) = &*counted;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(300));
        fs::create_dir_all(mounted.join(name)).expect("a folder");
        mount_volume(&mounted.join(name));
        now.fetch_sub(1, Ordering::SeqCst);
    });
    driver.on_named("Unmount", move |name| {
        unmount(gone.join(name), UnmountFlags::DETACH).expect("it is mounted");
    });
    let socket = driver.socket().display().to_string();
    let drivers = format!(r#"{{"addresses": {{"fast": {{"address": "{socket}"}}}}}}"#);
    let agent = Agent::start(&driver, &[("drivers", &drivers)]);
    let volumes = [("a", "rexray"), ("b", "fast"), ("c", "rexray"), ("d", "fast")];
    thread::scope(|threads| {
        for (volume, name) in volumes {
            let (agent, base) = (&agent, &base);
            let labels = [("volume.data", volume), ("volume.data.driver", name)];
            threads.spawn(move || assert_eq!(agent.prepare_labelled(volume, &labels), Ok(base.join(volume))));
        }
    });
    volumes.iter().for_each(|(volume, _)| agent.cleanup(volume));
    eventually(|| agent.nothing_is_recorded());
    assert_eq!(calls.1.load(Ordering::SeqCst), 1, "calls at once");
}

/// Its own spellings a driver may show at one place; another driver that names that place is not
/// believed.
#[test]
fn a_place_on_the_mount_of_another_drivers_volume_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let driver = Driver::start("fake", &place);
    let (mounted, gone) = (place.clone(), place.clone());
    driver.on("Mount", move || {
        if !mounted.join("data").exists() {
            mount_volume(&mounted);
            fs::create_dir(mounted.join("data")).expect("a folder in the volume");
        }
    });
    driver.on("Unmount", move || {
        // The second Unmount of two finds nothing.
        unmount(&gone, UnmountFlags::DETACH).ok();
    });
    let others = [
        Driver::start("other", &place),
        Driver::start("plain", &place.join("data")),
    ];
    let [other, plain] = others.each_ref().map(|driver| driver.socket().display().to_string());
    let drivers = format!(
        r#"{{"addresses": {{"other": {{"address": "{other}"}}, "plain": {{"address": "{plain}"}}}},
             "profiles": {{"plain": {{"directory_backed": true}}}}}}"#
    );
    let agent = Agent::start(&driver, &[("drivers", &drivers)]);
    assert_eq!(agent.prepare("a", "v"), Ok(place.clone()));
    for (id, name) in [("b", "other"), ("c", "plain")] {
        let labels = [("volume.data", "w"), ("volume.data.driver", name)];
        let refusal = agent.prepare_labelled(id, &labels).unwrap_err();
        assert!(
            refusal.contains("'v'") && refusal.contains("of another driver"),
            "{name}: {refusal}"
        );
        agent.cleanup_without_waiting(id);
    }
    assert_eq!(agent.prepare("d", "spelled-otherwise"), Ok(place));
    ["a", "d"].iter().for_each(|id| agent.cleanup(id));
    eventually(|| agent.nothing_is_recorded());
}
