//! Mesos' own isolator `docker/volume` on a real agent, with our dvdcli and Debian's rclone: where
//! the original dvdcli loses tasks to "already mounted by this id", or hangs, none fails.

use std::time::Duration;

use mesos_http::types::{ContainerInfo, DockerVolume, Parameter, Parameters, TaskState, Volume, VolumeMode};
use testbed::{AgentSpec, Cluster, Framework, Job, LaunchedTask};

use crate::fixture::{Host, eventually};

const TASKS: usize = 20;
/// How long any task may take.
const LIMIT: Duration = Duration::from_secs(120);

/// An agent that finds our dvdcli first.
struct Site {
    framework: Framework,
    agent_id: String,
    cluster: Cluster,
    // Last: the containers end before their volumes go.
    host: Host,
}

impl Site {
    fn start() -> Site {
        let host = Host::with_rclone();
        let path = format!("{}:{}", host.path("bin").display(), std::env::var("PATH").unwrap());
        let mut spec = AgentSpec::default()
            .resources("cpus:16;mem:8192;disk:4096")
            .isolator("docker/volume")
            .flag(
                "docker_volume_checkpoint_dir",
                host.path("checkpoints").display().to_string(),
            )
            .env("PATH", path);
        for (name, value) in host.environment() {
            spec = spec.env(name, value.display().to_string());
        }
        let cluster = Cluster::builder()
            .agent(spec)
            .start()
            .unwrap_or_else(|error| panic!("{error}"));
        let framework = Framework::subscribe(&cluster.master().address()).unwrap();
        let agent_id = cluster.agent(0).id().unwrap();
        Site {
            framework,
            agent_id,
            cluster,
            host,
        }
    }

    /// A task with a volume of rclone at `data`.
    fn job(&self, volume: &str, command: &str) -> Job {
        let path = self.host.data(volume);
        let options = [("type", "local"), path.split_once('=').unwrap()].map(|(key, value)| Parameter {
            key: key.to_owned(),
            value: value.to_owned(),
        });
        let volume = DockerVolume {
            driver: Some("rclone".to_owned()),
            name: volume.to_owned(),
            driver_options: Some(Parameters {
                parameter: options.into(),
            }),
        };
        let container = ContainerInfo {
            volumes: vec![Volume::docker("data", volume, VolumeMode::ReadWrite)],
            ..ContainerInfo::mesos()
        };
        Job::shell(command)
            .on(self.agent_id.as_str())
            .with(|task| task.container = Some(container))
    }

    /// Messages of the tasks that did not finish well.
    fn failures(tasks: impl IntoIterator<Item = LaunchedTask>) -> Vec<String> {
        let ends = tasks
            .into_iter()
            .map(|task| task.wait_for_end(LIMIT).unwrap_or_else(|error| panic!("{error}")));
        ends.filter(|status| status.state != TaskState::Finished)
            .map(|status| format!("{:?}: {}", status.state, status.message.unwrap_or_default()))
            .collect()
    }

    /// No task failed, and in the end nothing is mounted.
    fn check(self, failures: Vec<String>) {
        assert!(
            failures.is_empty(),
            "{} of {TASKS} failed: {failures:#?}\n{}",
            failures.len(),
            self.cluster.report()
        );
        eventually("nothing is mounted", || self.host.mounts().is_empty());
        self.cluster.tear_down().unwrap();
    }
}

#[test]
fn twenty_tasks_one_after_the_other_on_one_volume_all_finish() {
    let site = Site::start();
    let one = |number| Site::failures([site.framework.launch(site.job("one", &format!("touch data/{number}")))]);
    let failures = (0..TASKS).flat_map(one).collect();
    assert_eq!(std::fs::read_dir(site.host.path("one")).unwrap().count(), TASKS);
    site.check(failures);
}

#[test]
fn twenty_tasks_at_once_on_one_volume_all_finish() {
    let site = Site::start();
    let jobs = (0..TASKS).map(|number| site.job("one", &format!("touch data/{number}; sleep 1")));
    let failures = Site::failures(site.framework.launch_all(jobs));
    assert_eq!(std::fs::read_dir(site.host.path("one")).unwrap().count(), TASKS);
    site.check(failures);
}

#[test]
fn twenty_tasks_at_once_on_twenty_volumes_all_finish() {
    let site = Site::start();
    let jobs = (0..TASKS).map(|number| site.job(&format!("v{number}"), "touch data/here; sleep 1"));
    let failures = Site::failures(site.framework.launch_all(jobs));
    site.check(failures);
}
