//! One library for every release of Mesos from 1.4 to 1.11: the same checks on each, and upgrades with a running task.
//!
//! One test is one release and one cluster, since a cluster takes longer to start than a check. Each prints its checks with
//! their times; `scripts/test --mesos 1.7.3` runs one release and shows them.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mesos_http::types::TaskState;
use serde_json::{Value, json};
use testbed::package::{MesosInstall, Package, inspect};
use testbed::{Agent, AgentSpec, Cluster, Container, Image, Job, LaunchedTask};
use tests::{
    DRIVER, HOOK, MODULE, Site, Tasks, docker_volume, end, finished, module, read_only, running, with_volumes,
};

const LIMIT: Duration = Duration::from_secs(30);

/// The checks of a release, each with the time it took.
struct Checks {
    release: &'static str,
    since: Instant,
}

impl Checks {
    fn of(release: &'static str) -> Self {
        let since = Instant::now();
        Self { release, since }
    }

    /// Says that what was done since the last check holds.
    fn passed(&mut self, what: &str) {
        let took = self.since.elapsed();
        println!("Mesos {:<7} {what:<50} {:>6.2} s", self.release, took.as_secs_f64());
        self.since = Instant::now();
    }
}

fn labelled(command: &str, volume: &str) -> Job {
    Job::shell(command).label("volume.data", volume)
}

/// A task that runs until somebody makes the file `stop` in its volume.
fn until_stopped(volume: &str) -> Job {
    labelled(
        "until [ -e data/stop ]; do sleep 0.05; done; mountpoint -q data",
        volume,
    )
}

fn works(release: &'static str) {
    let mut checks = Checks::of(release);
    let registry = tempfile::tempdir().expect("a folder for images");
    Image::shell().save(registry.path(), "tiny").expect("an image");
    let spec = AgentSpec::default().images(registry.path()).volumes(["vol-held"]);
    let told = module()
        .parameter("log_level", "debug")
        .parameter("health_interval", "200ms")
        .parameter("docker_volume_source", "true")
        .parameter("dvdi_source", "true")
        .hook(HOOK);
    let site = Site::on_mesos(release, &spec.module(told));
    let agent = site.agent(0);
    let version = agent.version().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(version, release);
    checks.passed("the isolator and the hook load");

    let tasks = Tasks::connect(site.cluster());
    tasks.finish(agent, Job::shell("[ ! -e data ]"));
    checks.passed("a task without labels");

    let id = site.volume("data");
    tasks.finish(agent, labelled("echo one > data/file && mountpoint -q data", &id));
    tasks.finish(agent, labelled("grep one data/file", &id));
    site.wait_until_nothing_is_left();
    assert_eq!(site.steps(&id).len() % 4, 0, "{:?}", site.steps(&id));
    checks.passed("a label becomes a volume, its file stays");

    let reader = labelled("grep one data/file && ! touch data/other", &id);
    tasks.finish(agent, reader.label("volume.data.mode", "ro"));
    checks.passed("a read-only volume cannot be written");

    named_otherwise(agent, &tasks, &id);
    checks.passed("volumes of ContainerInfo and of DVDI variables");

    if images_run(release) {
        with_image(agent, &tasks, &id);
        checks.passed("a task with an image, absolute and relative path");
    }

    let nested = Job::shell("echo in > down/inner/file && [ -e down/file ]")
        .label("volume.b", site.volume("inner"))
        .label("volume.b.path", "down/inner")
        .label("volume.a", &id)
        .label("volume.a.path", "down");
    tasks.finish(agent, nested);
    checks.passed("one volume inside another");

    shared(&site, &tasks);
    checks.passed("a shared volume is mounted once");

    nested_container(&site, &tasks);
    checks.passed("a nested container has its parent's volume");

    let message = tasks.fail(agent, labelled("true", "no-such-volume"));
    assert!(message.contains("'no-such-volume'"), "{message}");
    site.wait_until_nothing_is_left();
    checks.passed("a failure reaches the task's status");

    let message = loses_its_volume(&site, &tasks);
    assert!(
        message.contains("'volume.data': [unreachable] ") && message.contains("disappeared"),
        "{message}"
    );
    checks.passed("a lost volume ends its task and is named");

    survives_its_agent(&site, &tasks);
    checks.passed("SIGKILL and recovery, two containers, an orphan");

    refuses_what_it_does_not_know(release);
    checks.passed("an unknown release is refused");
}

/// 1.6 and 1.7 protect a file of the kernel in every image, and run none where the kernel has no such file. (Others know
/// nothing of it, or leave it to mesos-containerizer, where the testbed's lets it pass.)
fn images_run(release: &str) -> bool {
    let file = Path::new("/proc/sysrq-trigger");
    let run = file.exists() || !["1.6.2", "1.7.3"].contains(&release);
    if !run {
        println!(
            "Mesos {release:<7} runs no image on a kernel without {}",
            file.display()
        );
    }
    run
}

fn named_otherwise(agent: &Agent, tasks: &Tasks, id: &str) {
    let reader = Job::shell("grep one data/file && ! touch data/other");
    tasks.finish(
        agent,
        with_volumes(reader, [read_only(docker_volume("data", DRIVER, id))]),
    );
    let variables = Job::shell("grep one dvdi1/file").env("DVDI_VOLUME_NAME1", id);
    tasks.finish(agent, variables.env("DVDI_VOLUME_DRIVER1", DRIVER));
}

fn with_image(agent: &Agent, tasks: &Tasks, id: &str) {
    let command = "cat /app/file && echo two >> /app/file && ls /mnt/mesos/sandbox";
    let absolute = labelled(command, id).image("tiny").label("volume.data.path", "/app");
    tasks.finish(agent, absolute);
    tasks.finish(agent, labelled("cat data/file", id).image("tiny"));
    assert!(!Path::new("/app").exists(), "the path is the image's, not the host's");
}

fn shared(site: &Site, tasks: &Tasks) {
    let id = site.volume("shared");
    let both = tasks.launch_all(site.agent(0), [until_stopped(&id), until_stopped(&id)]);
    both.iter().for_each(running);
    // The volume of the tasks before may still be on its way out.
    let mut mounts = site.mounts();
    mounts.retain(|mount| mount.target.ends_with("shared"));
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    tasks.finish(site.agent(0), labelled("touch data/stop", &id));
    both.iter().for_each(finished);
    site.wait_until_nothing_is_left();
    let steps = ["attach", "mount", "unmount", "detach"].map(|step| format!("host-0: {step}"));
    assert_eq!(site.steps(&id), steps);
}

fn nested_container(site: &Site, tasks: &Tasks) {
    let id = site.volume("nested");
    let task = tasks.launch(site.agent(0), until_stopped(&id));
    running(&task);
    assert_eq!(
        run_inside(site, &task, "nested", "mountpoint -q data && touch data/stop"),
        0
    );
    finished(&task);
    site.wait_until_nothing_is_left();
}

/// The exit status of a command in a container inside a running task's, made with the agent's API.
fn run_inside(site: &Site, task: &LaunchedTask, name: &str, command: &str) -> i64 {
    let call = |kind: &str, what: Value| {
        let answer = site.agent(0).call(&json!({"type": kind, kind.to_lowercase(): what}));
        answer.unwrap_or_else(|error| panic!("{error}\n{}", site.cluster().report()))
    };
    let containers = site.agent(0).containers().unwrap_or_else(|error| panic!("{error}"));
    let is_of_task = |container: &&Container| container.executor.as_deref() == Some(task.id().0.as_str());
    let parent = containers
        .iter()
        .find(is_of_task)
        .expect("a running task has a container");
    let container_id = json!({"value": name, "parent": {"value": parent.id}});
    let command = json!({"shell": true, "value": command});
    call(
        "LAUNCH_NESTED_CONTAINER",
        json!({"container_id": container_id, "command": command, "container": {"type": "MESOS"}}),
    );
    let answer = call("WAIT_NESTED_CONTAINER", json!({"container_id": container_id}));
    answer["wait_nested_container"]["exit_status"]
        .as_i64()
        .unwrap_or_else(|| panic!("{answer}\n{}", site.cluster().report()))
}

/// What the task's status says.
fn loses_its_volume(site: &Site, tasks: &Tasks) -> String {
    let task = tasks.launch(site.agent(0), until_stopped(&site.volume("lost")));
    running(&task);
    for mount in site.mounts() {
        rustix::mount::unmount(&mount.target, rustix::mount::UnmountFlags::DETACH).expect("a mount can be detached");
    }
    let status = end(&task);
    site.wait_until_nothing_is_left();
    assert_eq!(status.state, TaskState::Failed, "{status:?}");
    status.message.unwrap_or_default()
}

/// Two containers, so that recover() gets more than one, and a third that does not outlive its agent.
fn survives_its_agent(site: &Site, tasks: &Tasks) {
    let (first, second, orphaned) = (site.volume("first"), site.volume("second"), site.volume("orphaned"));
    let both = [
        tasks.launch(site.agent(0), until_stopped(&first)),
        tasks.launch(site.agent(0), until_stopped(&second).items("ebsvolumes", ["vol-held"])),
    ];
    both.iter().for_each(running);
    let forgetful = Tasks::connect_without_checkpoint(site.cluster());
    let orphan = forgetful.launch(site.agent(0), until_stopped(&orphaned));
    running(&orphan);
    assert_eq!(site.mounts().len(), 3);

    site.agent(0)
        .restart()
        .unwrap_or_else(|error| panic!("{error}\n{}", site.cluster().report()));
    assert_eq!(site.steps(&first).len(), 2, "{:?}", site.steps(&first));
    // update() carries the resources as a C++ class, not as a message; here they are, read by the isolator.
    let words = r#"set_resources=[("ebsvolumes", {"vol-held"})]"#;
    site.agent(0)
        .wait_for_log(words, LIMIT)
        .unwrap_or_else(|error| panic!("{error}\n{}", site.cluster().report()));
    // 1.4 does not tell a restarted agent's isolators what a new container is nested in; the module remembers.
    assert_eq!(run_inside(site, &both[0], "late", "mountpoint -q data"), 0);
    for (task, id) in both.iter().zip([&first, &second]) {
        tasks.finish(site.agent(0), labelled("touch data/stop", id));
        finished(task);
    }
    site.wait_until_nothing_is_left();
    for id in [first, second, orphaned] {
        assert_eq!(site.steps(&id).len(), 4, "{:?}", site.steps(&id));
    }
}

/// A Mesos whose library says that it is another release than it is: its programs, and a copy of the library with the
/// text changed.
fn posing_as(release: &str, other: &str, folder: &Path) -> MesosInstall {
    assert_eq!(release.len(), other.len(), "the library knows the length of the text");
    let install = MesosInstall::ensure(release).unwrap_or_else(|error| panic!("{error}"));
    for entry in fs::read_dir(install.programs()).expect("the programs' folder can be read") {
        let entry = entry.expect("the programs' folder can be read");
        fs::copy(entry.path(), folder.join(entry.file_name())).expect("a program can be copied");
    }
    let path = folder.join("libmesos.so");
    fs::copy(install.library(), &path).expect("the library can be copied");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("the copy can be made writable");
    let library = File::options()
        .write(true)
        .open(&path)
        .expect("the copy can be written");
    for place in places_of(release, &path) {
        library
            .write_all_at(other.as_bytes(), place)
            .expect("the copy can be written");
    }
    MesosInstall::in_folder(other, folder)
}

/// Where the library's own name of its release is: a text of its own, or the end of the package's name. By grep(1), which
/// takes a moment for the 120 MB.
fn places_of(release: &str, library: &Path) -> Vec<u64> {
    let pattern = format!(r"(\x00|mesos-)\K{}(?=\x00)", release.replace('.', r"\."));
    let mut grep = Command::new("grep");
    grep.args(["--text", "--only-matching", "--byte-offset", "--perl-regexp", &pattern]);
    let output = grep.arg(library).env("LC_ALL", "C").output().expect("grep can be run");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let places: Vec<u64> = lines
        .lines()
        .filter_map(|line| line.split_once(':')?.0.parse().ok())
        .collect();
    assert!(!places.is_empty(), "the library says its release: {output:?}");
    places
}

/// What an agent says that refuses to start with the module.
fn refused(install: MesosInstall) -> String {
    let cluster = Cluster::builder()
        .install(install)
        .agent(AgentSpec::default().module(module()))
        .create()
        .unwrap_or_else(|error| panic!("{error}"));
    let agent = cluster.agent(0);
    agent.start().unwrap_or_else(|error| panic!("{error}"));
    let status = agent
        .wait_for_exit(LIMIT)
        .unwrap_or_else(|error| panic!("{error}\n{}", cluster.report()));
    assert_eq!(status.code(), Some(1), "{}", agent.log());
    agent.log()
}

/// The only line with these words.
fn line<'a>(log: &'a str, words: &str) -> &'a str {
    let mut lines = log.lines().filter(|line| line.contains(words));
    match (lines.next(), lines.next()) {
        (Some(line), None) => line,
        _ => panic!("not one line with '{words}':\n{log}"),
    }
}

fn refuses_what_it_does_not_know(release: &str) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let unknown = release.replacen('1', "2", 1);
    let log = refused(posing_as(release, &unknown, folder.path()));
    let ours = line(&log, "Refused to load");
    assert!(
        ours.starts_with('E') && ours.contains("knows Mesos 1.4 to 1.11"),
        "{ours}"
    );
    assert!(ours.contains(&format!("the agent is Mesos {unknown}")), "{ours}");
    let theirs = line(&log, "Error loading modules");
    assert!(theirs.contains(MODULE) && theirs.contains(&unknown), "{theirs}");
    println!("{ours}\n{theirs}");
}

#[test]
fn a_library_that_is_laid_out_as_another_release_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = refused(posing_as("1.9.0", "1.5.3", folder.path()));
    let ours = line(&log, "Refused to start");
    for words in ["MesosIsolator7recover", "Mesos 1.5.3 is not built as the official one"] {
        assert!(ours.contains(words), "{ours}");
    }
    println!("{ours}");
}

#[test]
fn testbed_abi_finds_what_the_module_expects_and_says_what_a_library_lacks() {
    for release in ["1.4.3", "1.11.0"] {
        let install = MesosInstall::ensure(release).unwrap();
        let findings = inspect(install.library(), &module().library).unwrap();
        assert!(findings.len() > 50, "{findings:?}");
        for finding in findings {
            assert!(finding.is_as_expected(), "Mesos {release}: {finding:?}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let other = posing_as("1.9.0", "1.5.3", folder.path());
    let findings = inspect(other.library(), &module().library).unwrap();
    let unexpected: Vec<&str> = findings
        .iter()
        .filter(|finding| !finding.is_as_expected())
        .map(|finding| finding.what.as_str())
        .collect();
    assert_eq!(unexpected, ["virtual function 4", "size of ContainerState"]);
}

/// The agent is stopped under a running task and started as the next release, and so on; its master is the newest from the
/// start, since masters are upgraded first.
fn upgrade(releases: &[&str]) {
    let (from, newer) = releases.split_first().expect("a release to start from");
    let to = releases.last().expect("a release to end with");
    let spec = AgentSpec::default().mesos(*from).module(module());
    let site = Site::on_mesos(to, &spec);
    let agent = site.agent(0);
    let runs = |release: &str| {
        let version = agent.version().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(version, release);
    };
    runs(from);
    let tasks = Tasks::connect(site.cluster());
    let id = site.volume("kept");
    let command =
        "echo from the old release > data/file; until [ -e data/stop ]; do sleep 0.05; done; grep new data/file";
    let task = tasks.launch(agent, labelled(command, &id));
    running(&task);

    for release in newer {
        agent.terminate().unwrap_or_else(|error| panic!("{error}"));
        agent.respecify(|spec| spec.mesos = Some((*release).to_owned()));
        agent
            .restart()
            .unwrap_or_else(|error| panic!("{error}\n{}", site.cluster().report()));
        runs(release);
    }
    assert_eq!(site.steps(&id), ["host-0: attach", "host-0: mount"]);

    let joining = "grep old data/file && echo and the new one >> data/file && touch data/stop";
    tasks.finish(agent, labelled(joining, &id));
    finished(&task);
    site.wait_until_nothing_is_left();
    assert_eq!(site.steps(&id).len(), 4, "{:?}", site.steps(&id));
}

#[test]
fn a_task_keeps_its_volume_while_its_agent_goes_from_1_10_0_to_1_11_0() {
    upgrade(&["1.10.0", "1.11.0"]);
}

#[test]
fn a_task_keeps_its_volume_while_its_agent_goes_from_1_8_1_to_1_9_0() {
    upgrade(&["1.8.1", "1.9.0"]);
}

#[test]
fn a_task_keeps_its_volume_while_its_agent_goes_through_every_release() {
    let packages = Package::all();
    let releases: Vec<&str> = packages.iter().map(|package| package.version.as_str()).collect();
    upgrade(&releases);
}

macro_rules! releases {
    ($($name:ident: $release:literal,)*) => {
        $(
            #[test]
            fn $name() {
                works($release);
            }
        )*
    };
}

releases! {
    mesos_1_4_3: "1.4.3",
    mesos_1_5_3: "1.5.3",
    mesos_1_6_2: "1.6.2",
    mesos_1_7_3: "1.7.3",
    mesos_1_8_1: "1.8.1",
    mesos_1_9_0: "1.9.0",
    mesos_1_10_0: "1.10.0",
    mesos_1_11_0: "1.11.0",
}
