//! One library for every release of Mesos from 1.4 to 1.11: the same checks on each, and upgrades with a running task.
//!
//! One test is one release and one cluster, since a cluster takes longer to start than a check. Each prints its checks with
//! their times; `scripts/test --mesos 1.7.3` runs one release and shows them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use testbed::{Agent, AgentSpec, Cluster, Job, LaunchedTask};
use tests::{MODULE, Site, Tasks, end, finished, module, running};

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
    labelled("until [ -e data/stop ]; do sleep 0.05; done; mountpoint -q data", volume)
}

fn works(release: &'static str) {
    let mut checks = Checks::of(release);
    let spec = AgentSpec::default().volumes(["vol-held"]).module(module());
    let site = Site::on_mesos(release, &spec);
    let agent = site.agent(0);
    assert!(
        agent.log().contains(&format!("Version: {release}")) || site.cluster().install().version() == release,
        "the agent is another release"
    );
    checks.passed("the module loads");

    let tasks = Tasks::connect(site.cluster());
    tasks.finish(agent, Job::shell("[ ! -e data ]"));
    checks.passed("a task without labels");

    let id = site.volume("data");
    tasks.finish(agent, labelled("mountpoint -q data && echo one > data/file", &id));
    tasks.finish(agent, labelled("grep one data/file", &id));
    site.wait_until_nothing_is_left();
    assert_eq!(site.steps(&id).len() % 4, 0, "{:?}", site.steps(&id));
    checks.passed("a label becomes a volume, its file stays");

    let read_only = |command: &str| labelled(command, &id).label("volume.data.mode", "ro");
    tasks.finish(agent, read_only("grep one data/file && ! touch data/other"));
    checks.passed("a read-only volume cannot be written");

    let nested = Job::shell("echo in > down/inner/file && [ -e down/file ]")
        .label("volume.b", site.volume("inner"))
        .label("volume.b.path", "down/inner")
        .label("volume.a", &id)
        .label("volume.a.path", "down");
    tasks.finish(agent, nested);
    checks.passed("one volume inside another");

    shared(&site, &tasks);
    checks.passed("a shared volume is mounted once");

    let message = tasks.fail(agent, labelled("true", "no-such-volume"));
    assert!(message.contains("'no-such-volume'"), "{message}");
    site.wait_until_nothing_is_left();
    checks.passed("a failure reaches the task's status");

    survives_its_agent(&site, &tasks, release);
    checks.passed("SIGKILL and recovery, two containers and an orphan");
}

fn shared(site: &Site, tasks: &Tasks) {
    let id = site.volume("shared");
    let both = tasks.launch_all(site.agent(0), [until_stopped(&id), until_stopped(&id)]);
    both.iter().for_each(running);
    assert_eq!(site.mounts().len(), 1, "{:?}", site.mounts());
    tasks.finish(site.agent(0), labelled("touch data/stop", &id));
    both.iter().for_each(finished);
    site.wait_until_nothing_is_left();
    let steps = ["attach", "mount", "unmount", "detach"].map(|step| format!("host-0: {step}"));
    assert_eq!(site.steps(&id), steps);
}

/// Two containers, so that recover() gets more than one, and a third that does not outlive its agent.
fn survives_its_agent(site: &Site, tasks: &Tasks, release: &str) {
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

    restart(site, release);
    assert_eq!(site.steps(&first).len(), 2, "{:?}", site.steps(&first));
    for (task, id) in both.iter().zip([&first, &second]) {
        tasks.finish(site.agent(0), labelled("touch data/stop", id));
        finished(task);
    }
    site.wait_until_nothing_is_left();
    for id in [first, second, orphaned] {
        assert_eq!(site.steps(&id).len(), 4, "{:?}", site.steps(&id));
    }
}

fn restart(site: &Site, _release: &str) {
    site.agent(0)
        .restart()
        .unwrap_or_else(|error| panic!("{error}\n{}", site.cluster().report()));
}

/// What an agent says that refuses to start with this module.
fn refused(release: &str, library: PathBuf) -> String {
    let mut other = module();
    other.library = library;
    let cluster = Cluster::builder()
        .mesos(release)
        .agent(AgentSpec::default().module(other))
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
