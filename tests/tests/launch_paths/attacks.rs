//! Attacks by other processes of the task's own user, which is not root, and by who fills a volume: nothing is ever mounted outside
//! of the container, and nothing of the host is shown or changed.
//!
//! The races are run with 50 launches on each launch path; `ATTACK_LAUNCHES` says how many instead (`scripts/test --all`: 500).

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::thread;

use ebs_emulator::{Action, FaultRule, Operation};
use mesos_http::operator::ContainerLaunch;
use mesos_http::types::{CommandInfo, TaskState};
use serde_json::json;
use testbed::{Job, LaunchedTask, Pod};
use tests::{end, eventually, finished, module_with_policy, module_without_policy, running};

use crate::inside::{IMAGE, LOOK, Place, contained, nested};

/// An ordinary user of every host.
const USER: &str = "nobody";
/// Containers that are launched at once while an attacker watches.
const AT_ONCE: usize = 10;

/// Replaces each folder `data` below the pattern by a symlink to a folder of the host as fast as it can, puts it back now and then, until
/// there is a file `stop`. Paths are relative, as the folders around the agent's own are closed to the user.
const SWAP: &str = r#"
my ($host, $pattern) = @ARGV;
my $swaps = 0;
until (-e "stop") {
  for my $data (glob $pattern) {
    if (-l $data) { if (rand() < 0.3) { unlink $data; rename "$data.aside", $data; } }
    elsif (-d _ && rename($data, "$data.aside")) { symlink $host, $data; $swaps++; }
  }
  if ($swaps) { open my $file, ">", "swaps"; print $file $swaps; close $file; }
}
"#;

/// How many containers are launched under attack.
fn launches() -> usize {
    let wanted = std::env::var("ATTACK_LAUNCHES").ok();
    wanted.map_or(50, |count| count.parse().expect("ATTACK_LAUNCHES is a number"))
}

/// What became of the containers under attack.
#[derive(Default)]
struct Tally {
    mounted: usize,
    refused: usize,
    outside: Vec<String>,
}

impl Tally {
    /// Takes in one container: whether it ran, what its end says, and its sandbox.
    fn add(&mut self, place: &Place, ran: bool, message: &str, sandbox: &Path) {
        if !ran {
            let said = fs::read_to_string(sandbox.join("stderr")).unwrap_or_default();
            // Replaced before it was checked, before it was mounted on, or before the command.
            let known = ["cannot make path 'data' inside", "replaced part of it"];
            let known = known.iter().any(|words| message.contains(words));
            if !known && !said.contains("Failed to prepare mounts") {
                self.outside.push(format!("{message} {said}"));
            }
            self.refused += 1;
            return;
        }
        let seen = place.seen(sandbox);
        if seen.is_empty() {
            self.outside.push(format!("nothing in {}", sandbox.display()));
        }
        // The folder's name may be another one by now; the folder is still the same.
        for seen in seen {
            if !Path::new(&seen.target).starts_with(sandbox) && !seen.target.starts_with("/mnt/mesos/sandbox/data") {
                self.outside.push(seen.target);
            }
        }
        self.mounted += 1;
    }
}

/// A folder of the host that attackers lead volumes to, and the attacker's command.
struct Attack {
    host: tempfile::TempDir,
    command: String,
}

impl Attack {
    fn on(pattern: &str) -> Self {
        let host = tempfile::tempdir().expect("the test's own files work");
        let command = format!("perl -e '{SWAP}' '{}' '{pattern}'", host.path().display());
        Self { host, command }
    }

    /// Ends the attacker whose sandbox this is, once it has replaced something; how often it did.
    fn end(&self, sandbox: &Path, what: &str, tally: &Tally) {
        let swaps: u64 = eventually("the attacker has replaced a folder", || {
            let told = fs::read_to_string(sandbox.join("swaps")).map_err(|error| error.to_string())?;
            told.parse().map_err(|error| format!("'{told}': {error}"))
        });
        fs::write(sandbox.join("stop"), "").expect("the test's own files work");
        println!(
            "{what}: {} launches, {} mounted in the container, {} refused, {} outside; {swaps} swaps",
            tally.mounted + tally.refused,
            tally.mounted,
            tally.refused,
            tally.outside.len()
        );
        assert_eq!(tally.outside, [""; 0], "{what}");
        assert_eq!(
            fs::read_dir(self.host.path())
                .expect("the test's own files work")
                .count(),
            0,
            "made on the host"
        );
    }
}

fn attacked_tasks(image: bool) {
    let place = Place::start();
    let agent = place.site.agent(0);
    let volume = place.site.volume("v");
    let attack = Attack::on("../../../*/runs/*/data");
    let attacker = place.tasks.launch(agent, Job::shell(&attack.command).user(USER));
    running(&attacker);
    let mut tally = Tally::default();
    for _ in 0..launches().div_ceil(AT_ONCE) {
        let victim = || {
            let job = Job::shell(LOOK).user(USER).label("volume.data", &volume);
            if image { job.image(IMAGE) } else { job }
        };
        let victims = place.tasks.launch_all(agent, (0..AT_ONCE).map(|_| victim()));
        for victim in victims {
            let status = end(&victim);
            let sandbox = place.sandbox(victim.id().as_str());
            let message = status.message.unwrap_or_default();
            tally.add(&place, status.state == TaskState::Finished, &message, &sandbox);
        }
    }
    let what = if image { "tasks with an image" } else { "tasks" };
    attack.end(&place.sandbox(attacker.id().as_str()), what, &tally);
    finished(&attacker);
    place.host_has_only_the_drivers_mounts();
    place.site.wait_until_nothing_is_left();
}

#[test]
fn attack_a_task_of_the_same_user_replaces_the_target_of_tasks() {
    attacked_tasks(false);
}

#[test]
fn attack_a_task_of_the_same_user_replaces_the_target_of_tasks_with_an_image() {
    attacked_tasks(true);
}

/// The attacker is a member of the pod, and so is each of its victims.
#[test]
fn attack_a_member_of_a_pod_replaces_the_target_of_later_members() {
    let place = Place::start();
    let agent = place.site.agent(0);
    let volume = place.site.volume("v");
    let attack = Attack::on("../*/data");
    let pod = Pod::of([Job::shell(&attack.command).user(USER)]).label("volume.data", &volume);
    let executor = pod.executor_id().to_owned();
    let attackers = place.tasks.launch_pod(agent, pod.clone());
    running(&attackers[0]);
    let own = place.member_sandbox(&executor, &attackers[0]);
    let mut tally = Tally::default();
    for _ in 0..launches().div_ceil(AT_ONCE) {
        let groups: Vec<Vec<LaunchedTask>> = (0..AT_ONCE)
            .map(|_| place.tasks.launch_pod(agent, pod.again([Job::shell(LOOK).user(USER)])))
            .collect();
        for victim in groups.iter().flatten() {
            let status = end(victim);
            let message = status.message.unwrap_or_default();
            let sandbox = place.member_sandbox(&executor, victim);
            tally.add(&place, status.state == TaskState::Finished, &message, &sandbox);
        }
    }
    attack.end(&own, "members of a pod", &tally);
    finished(&attackers[0]);
    place.host_has_only_the_drivers_mounts();
    place.site.wait_until_nothing_is_left();
}

/// The attacker is a task; its victims are made inside its container by a caller of the agent's API.
#[test]
fn attack_a_task_replaces_the_target_of_containers_nested_in_it() {
    let place = Place::start();
    let agent = place.site.agent(0);
    let volume = place.site.volume("v");
    for image in [false, true] {
        let attack = Attack::on("containers/*/data");
        let job = Job::shell(&attack.command).user(USER).label("volume.data", &volume);
        let attacker = place.tasks.launch(agent, job);
        running(&attacker);
        let own = place.sandbox(attacker.id().as_str());
        let mut tally = Tally::default();
        let parent = place.container_of(attacker.id().as_str());
        let victim = |name: &str| {
            let id = nested(parent.clone(), name);
            let mut launch = ContainerLaunch::new(id, CommandInfo::shell(LOOK).as_user(USER));
            launch.container = Some(contained(image));
            let api = place.api();
            let ran = api
                .launch_container(&launch)
                .and_then(|()| api.wait_container(&launch.container_id));
            match ran {
                Ok(end) => (end.exit_status == Some(0), String::new()),
                Err(error) => (false, error.to_string()),
            }
        };
        let names: Vec<String> = (0..launches()).map(|number| format!("victim-{number}")).collect();
        for names in names.chunks(AT_ONCE) {
            let ends: Vec<(bool, String)> = thread::scope(|scope| {
                let launched: Vec<_> = names.iter().map(|name| scope.spawn(|| victim(name))).collect();
                let ended = launched
                    .into_iter()
                    .map(|launched| launched.join().expect("no victim panics"));
                ended.collect()
            });
            for (name, (ran, message)) in names.iter().zip(ends) {
                tally.add(&place, ran, &message, &own.join("containers").join(name));
            }
        }
        attack.end(&own, if image { "nested with an image" } else { "nested" }, &tally);
        finished(&attacker);
    }
    place.host_has_only_the_drivers_mounts();
    place.site.wait_until_nothing_is_left();
}

/// The driver's mountpoint is a folder inside the mounted file system. Whoever fills the volume can put a symlink there.
struct Filled {
    place: Place,
    volume: String,
    host: tempfile::TempDir,
}

impl Filled {
    /// Has a volume whose file system was changed, as somebody else's computer or snapshot can.
    fn by(change: impl FnOnce(&Path, &Path)) -> Self {
        let place = Place::start();
        let volume = place.site.volume("v");
        let host = tempfile::tempdir().expect("the test's own files work");
        fs::write(host.path().join("secret"), "of the host\n").expect("the test's own files work");
        let agent = place.site.agent(0);
        let job = Job::shell("until [ -e stop ]; do sleep 0.05; done").label("volume.data", &volume);
        let task = place.tasks.launch(agent, job);
        running(&task);
        let mounts = place.site.mounts();
        change(&mounts[0].target, host.path());
        fs::write(place.sandbox(task.id().as_str()).join("stop"), "").expect("the test's own files work");
        finished(&task);
        place.site.wait_until_nothing_is_left();
        Self { place, volume, host }
    }

    fn is_refused(&self, job: Job, words: &[&str]) {
        let before = owner(self.host.path());
        let message = self
            .place
            .tasks
            .fail(self.place.site.agent(0), job.label("volume.data", &self.volume));
        for words in ["label 'volume.data'"].iter().chain(words) {
            assert!(message.contains(words), "'{words}' is not in: {message}");
        }
        assert_eq!(owner(self.host.path()), before, "the host's folder has another owner");
        self.place.site.wait_until_nothing_is_left();
    }
}

fn owner(path: &Path) -> (u32, u32) {
    let found = fs::metadata(path).expect("the test's own files work");
    (found.uid(), found.gid())
}

fn replaced_by_link(folder: &Path, to: &Path) {
    fs::rename(folder, folder.with_extension("aside")).expect("the test's own files work");
    symlink(to, folder).expect("the test's own files work");
}

#[test]
fn attack_a_symlink_in_a_volume_shows_no_folder_of_the_host() {
    let filled = Filled::by(|mount, host| replaced_by_link(&mount.join("data"), host));
    let words = ["this agent sees no mount"];
    filled.is_refused(Job::shell("cat data/secret"), &words);
    filled.is_refused(Job::shell("cat data/secret").label("volume.data.mode", "ro"), &words);
}

#[test]
fn attack_a_symlink_in_a_volume_and_an_owner_give_away_no_folder_of_the_host() {
    let filled = Filled::by(|mount, host| replaced_by_link(&mount.join("data"), host));
    let job = Job::shell("true").label("volume.data.owner", "65534:65534");
    filled.is_refused(job, &["this agent sees no mount"]);
}

#[test]
fn attack_a_volume_without_its_folder_is_told() {
    let filled = Filled::by(|mount, _| {
        fs::rename(mount.join("data"), mount.join("aside")).unwrap();
        fs::write(mount.join("data"), "a file").unwrap();
    });
    filled.is_refused(Job::shell("true"), &["Not a directory"]);
}

#[test]
fn members_of_pods_are_told_in_their_status_what_kept_their_volume_away() {
    let filled = Filled::by(|mount, host| replaced_by_link(&mount.join("data"), host));
    let pod = Pod::of([Job::shell("true")]).label("volume.data", &filled.volume);
    let members = filled.place.tasks.launch_pod(filled.place.site.agent(0), pod);
    let message = end(&members[0]).message.unwrap_or_default();
    assert!(message.contains("this agent sees no mount"), "{message}");
    filled.place.site.wait_until_nothing_is_left();
}

/// Mesos makes its own mounts by path, as root, after volumes are bound: what is in a volume must not lead it.
#[test]
fn attack_mounts_of_mesos_are_not_led_to_the_host_by_what_is_in_a_volume() {
    let place = Place::start();
    let volume = place.site.volume("v");
    let agent = place.site.agent(0);
    let link = "ln -s /etc data/way && mkdir data/deep";
    place
        .tasks
        .finish(agent, Job::shell(link).label("volume.data", &volume));
    let shown = place.host_folder("shown").display().to_string();
    let host = |path: &str| volume_of(path, &json!({"type": "HOST_PATH", "host_path": {"path": shown}}));
    let own = |folder: &str| {
        let source = json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": "SELF", "path": folder}});
        volume_of("/srv/seen", &source)
    };
    for (image, mount, words) in [
        (false, host("data"), "'data'"),
        (false, host("data/way"), "'data/way'"),
        (false, host("data/deep"), "'data/deep'"),
        (true, host("data/way"), "'data/way'"),
        (
            true,
            host("/mnt/mesos/sandbox/data/way"),
            "'/mnt/mesos/sandbox/data/way'",
        ),
        (true, own("data/way"), "which lies in the volume"),
    ] {
        let mut container = contained(image);
        container.volumes.push(mount);
        let job = Job::shell("true").label("volume.data", &volume);
        let message = place
            .tasks
            .fail(agent, job.with(|task| task.container = Some(container)));
        println!("{message}");
        for words in ["label 'volume.data'", "ContainerInfo.volumes[0]", words] {
            assert!(message.contains(words), "'{words}' is not in: {message}");
        }
    }
    place.host_has_only_the_drivers_mounts();
    place.site.wait_until_nothing_is_left();
}

pub(crate) fn volume_of(path: &str, source: &serde_json::Value) -> mesos_http::types::Volume {
    let volume = json!({"container_path": path, "mode": "RW", "source": source});
    serde_json::from_value(volume).expect("a volume of Mesos")
}

/// Leaves a set-user-id program and a device on a volume, and says what a task of an ordinary user can do with them.
fn left_behind(module: testbed::Module, flags: Option<&str>, mode: &str) -> Vec<String> {
    let place = Place::with(&testbed::Image::shell(), module);
    let volume = place.site.volume("v");
    let agent = place.site.agent(0);
    let leave = "cp $(which id) data/id && chmod 4755 data/id && mknod -m 666 data/zero c 1 5 && chmod 755 data";
    place
        .tasks
        .finish(agent, Job::shell(leave).label("volume.data", &volume));
    let look = "if user=$(data/id -u 2>&1); then echo \"runs as $user\"; else echo 'does not run'; fi > seen; \
                if head -c 1 data/zero > /dev/null 2>&1; then echo 'is a device'; else echo 'is no device'; fi >> seen";
    let job = Job::shell(look).user(USER).label("volume.data", &volume);
    let job = job.label("volume.data.mode", mode);
    let task = place.tasks.launch(
        agent,
        match flags {
            Some(flags) => job.label("volume.data.flags", flags),
            None => job,
        },
    );
    finished(&task);
    let seen = fs::read_to_string(place.sandbox(task.id().as_str()).join("seen")).expect("the test's own files work");
    place.site.wait_until_nothing_is_left();
    seen.lines().map(str::to_owned).collect()
}

#[test]
fn attack_a_program_or_a_device_that_root_left_on_a_volume_is_of_no_use_to_others() {
    for mode in ["rw", "ro"] {
        let seen = left_behind(module_without_policy(), None, mode);
        assert_eq!(seen, ["runs as 65534", "is no device"], "{mode}");
    }
    let seen = left_behind(module_without_policy(), Some("noexec"), "rw");
    assert_eq!(seen, ["does not run", "is no device"]);
}

#[test]
fn an_operator_can_allow_programs_and_devices_of_root_and_a_label_can_only_forbid_more() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    let allow = r#"{"version": 1, "default": "allow", "mount_flags": []}"#;
    fs::write(policy.path(), allow).unwrap();
    let module = || module_with_policy(policy.path());
    assert_eq!(left_behind(module(), None, "rw"), ["runs as 0", "is a device"]);
    assert_eq!(
        left_behind(module(), Some("nodev"), "rw"),
        ["runs as 0", "is no device"]
    );
}

#[test]
fn a_container_gets_a_folder_of_a_volume_and_nothing_around_it() {
    let place = Place::start();
    let (volume, agent) = (place.site.volume("v"), place.site.agent(0));
    let with = |command: &str, subpath: &str| {
        let job = Job::shell(command).label("volume.data", &volume);
        job.label("volume.data.subpath", subpath)
    };
    for image in [false, true] {
        let job = with("echo one > data/file && [ ! -e data/../db/file ]", "db/main");
        place.tasks.finish(agent, if image { job.image(IMAGE) } else { job });
    }
    let whole = Job::shell("grep one data/db/main/file && ln -s .. data/up && ln -s /etc data/away");
    place.tasks.finish(agent, whole.label("volume.data", &volume));
    for (subpath, words) in [
        ("up", "a symlink"),
        ("away", "a symlink"),
        ("db/main/file", "not a folder"),
    ] {
        let message = place.tasks.fail(agent, with("true", subpath));
        assert!(
            message.contains("label 'volume.data'") && message.contains(words),
            "{subpath}: {message}"
        );
    }
    let message = place
        .tasks
        .fail(agent, with("true", "nowhere").label("volume.data.mode", "ro"));
    assert!(message.contains("'nowhere' is not there"), "{message}");
    place.site.wait_until_nothing_is_left();
}

/// A tenant who may have the volumes of one driver gets none of another driver's.
#[test]
fn attack_a_driver_that_names_the_mountpoint_of_another_drivers_volume_gives_it_to_nobody() {
    let place = Place::start();
    let agent = place.site.agent(0);
    let secret = place.site.volume("secret");
    let other = place.site.second_driver(agent, "other");
    other.client().create("mine", 1, "zone-a").unwrap();
    let job = Job::shell("echo of-the-first-tenant > data/secret; until [ -e data/stop ]; do sleep 0.1; done");
    let victim = place.tasks.launch(agent, job.label("volume.data", &secret));
    running(&victim);
    let mount = place.site.mounts().pop().expect("the volume is mounted").target;
    for (mountpoint, words) in [
        (mount.join("data"), "which was there before"),
        (mount.clone(), "of another driver"),
    ] {
        let misled = Action::Mislead { mountpoint };
        let rule = FaultRule::new(Operation::Mount, misled);
        let rule = other.client().fault(&rule).unwrap();
        let job = Job::shell("cat data/secret data/data/secret")
            .label("volume.data", "mine")
            .label("volume.data.driver", "other");
        let message = place.tasks.fail(agent, job);
        assert!(
            message.contains("label 'volume.data'") && message.contains(words),
            "{message}"
        );
        other.client().clear_faults(Some(rule)).unwrap();
    }
    fs::write(mount.join("data/stop"), "").unwrap();
    finished(&victim);
    place.site.wait_until_nothing_is_left();
    // The driver that is right again gives its own volume.
    let job = Job::shell("! test -e data/secret").label("volume.data", "mine");
    place.tasks.finish(agent, job.label("volume.data.driver", "other"));
    place.site.wait_until_nothing_is_left();
}
