//! Where the job runs: a Mesos of two agents, each on an emulated EC2 host with the storage's driver on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use ebs_emulator::{Emulator, EmulatorOptions, Event, HostSpec};
use serde_json::json;
use testbed::{Agent, AgentSpec, Cluster, Module, built, loops_below, mounts_below};

use super::DemoError;
use crate::dataset::Dataset;

/// The availability zone of everything.
pub const ZONE: &str = "us-east-1a";

/// The hosts, by the names they have for Mesos and for the storage.
pub const HOSTS: [&str; 2] = ["host-a", "host-b"];

/// The volumes by name, with their sizes in GiB.
pub const VOLUMES: [(&str, u64); 3] = [("flights-src", 2), ("flights-stage", 1), ("flights-dst", 2)];

/// The driver's name on every host.
const DRIVER: &str = "ebs";

/// Where Debian's programs are.
const STANDARD_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long mounts and attachments may stay after the job: an unmount that failed is tried again.
const LET_GO_LIMIT: Duration = Duration::from_secs(30);

/// A volume of the job.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
}

/// What is still there after the job.
#[derive(Debug, Clone, Default)]
pub struct Left {
    /// Mount points of volumes.
    pub mounts: Vec<String>,
    /// Volumes that are attached, by the storage's word or the kernel's.
    pub attachments: Vec<String>,
}

/// The cluster and the storage, running.
#[derive(Debug)]
pub struct Site {
    // In the order in which they are dropped: containers end before their volumes go.
    cluster: Cluster,
    emulator: Emulator,
    volumes: Vec<Volume>,
}

impl Site {
    /// Starts everything. Tasks find the program `flights-etl` in their `PATH`, and the data by the variable `FLIGHTS_DATA`.
    ///
    /// # Errors
    /// [`DemoError`]; then nothing is left running.
    pub fn start(data: &Dataset, keep: bool) -> Result<Site, DemoError> {
        let module = Module::new(
            built("libmesos_external_volumes.so", "mesos-module")?,
            "mesos_external_volumes",
        )
        .parameter("state_dir", "{state}")
        .parameter("driver_sockets", "{drivers}")
        .parameter("driver_specs", "{drivers}")
        .parameter("driver_locks", "{agent}/locks")
        .parameter("default_driver", DRIVER)
        .parameter("require_claim", "true");
        let spec = AgentSpec::default().zone(ZONE).module(module).flag(
            "executor_environment_variables",
            environment(&built("flights-etl", "demo")?, data),
        );
        let mut builder = Cluster::builder();
        for host in HOSTS {
            builder = builder.agent(spec.clone().flag("hostname", host));
        }
        if keep {
            builder = builder.keep_folder();
        }
        let cluster = builder.create()?;
        let hosts = cluster.agents().iter().zip(HOSTS).map(|(agent, host)| {
            HostSpec::new(host, ZONE)
                .socket(agent.drivers().join(format!("{DRIVER}.sock")))
                .shared()
        });
        let emulator = Emulator::start(EmulatorOptions {
            program: None,
            state: cluster.folder().join("ebs"),
            hosts: hosts.collect(),
        })?;
        let mut volumes = Vec::new();
        for (name, size) in VOLUMES {
            let id = emulator.client().create(name, size, ZONE)?.volume_id;
            volumes.push(Volume {
                name: name.to_owned(),
                id,
            });
        }
        // What an operator writes into --resources: the volumes of the agent's zone.
        for agent in cluster.agents() {
            agent.respecify(|spec| spec.volumes = volumes.iter().map(|volume| volume.id.clone()).collect());
        }
        cluster.start()?;
        Ok(Site {
            cluster,
            emulator,
            volumes,
        })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The volumes.
    pub fn volumes(&self) -> &[Volume] {
        &self.volumes
    }

    /// The agent with this host name.
    pub fn agent(&self, hostname: &str) -> Option<&Agent> {
        let index = HOSTS.iter().position(|host| *host == hostname)?;
        self.cluster.agents().get(index)
    }

    /// What there is, one line each.
    ///
    /// # Errors
    /// [`DemoError::Volume`].
    pub fn describe(&self) -> Result<Vec<String>, DemoError> {
        let mut lines = vec![format!("master at {}", self.cluster.master().url())];
        for (agent, host) in self.cluster.agents().iter().zip(HOSTS) {
            lines.push(format!("agent on {host} in {ZONE} at {}", agent.url()));
        }
        for volume in self.emulator.client().describe()?.volumes {
            let name = volume.name().unwrap_or("-");
            lines.push(format!(
                "volume {name} is {}, {} GiB in {ZONE}",
                volume.volume_id, volume.size
            ));
        }
        Ok(lines)
    }

    /// Writes what `aws ec2 describe-volumes` would print, for the scheduler.
    ///
    /// # Errors
    /// [`DemoError`].
    pub fn write_catalogue(&self) -> Result<PathBuf, DemoError> {
        let path = self.cluster.folder().join("describe-volumes.json");
        let described = serde_json::to_vec_pretty(&self.emulator.client().describe()?);
        let text = described.expect("a description is plain data");
        fs::write(&path, text).map_err(DemoError::io("write", &path))?;
        Ok(path)
    }

    /// What the storage did, oldest first.
    ///
    /// # Errors
    /// [`DemoError::Volume`].
    pub fn events(&self) -> Result<Vec<Event>, DemoError> {
        Ok(self.emulator.client().log()?)
    }

    /// Waits until no volume is mounted or attached, and returns what still is at last.
    ///
    /// # Errors
    /// [`DemoError`] when the storage or the mount table cannot be asked.
    pub fn wait_until_nothing_is_left(&self) -> Result<Left, DemoError> {
        let deadline = Instant::now() + LET_GO_LIMIT;
        loop {
            let left = self.left()?;
            let nothing = left.mounts.is_empty() && left.attachments.is_empty();
            if nothing || Instant::now() > deadline {
                return Ok(left);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn left(&self) -> Result<Left, DemoError> {
        let storage = self.emulator.state();
        let mounts = mounts_below(storage).map_err(DemoError::io("read the mounts below", storage))?;
        let volume = |target: &Path| target.parent().is_some_and(|parent| parent.ends_with("volumes"));
        let described = self.emulator.client().describe()?.volumes;
        let attached = described.into_iter().filter(|volume| !volume.attachments.is_empty());
        let mut attachments: Vec<String> = attached.map(|volume| volume.volume_id).collect();
        if attachments.is_empty() {
            attachments = loops_below(storage)
                .iter()
                .map(|device| device.display().to_string())
                .collect();
        }
        let targets = mounts
            .into_iter()
            .map(|mount| mount.target)
            .filter(|target| volume(target));
        Ok(Left {
            mounts: targets.map(|target| target.display().to_string()).collect(),
            attachments,
        })
    }

    /// Ends and removes everything.
    ///
    /// # Errors
    /// [`DemoError::Cluster`] with what could not be removed.
    pub fn tear_down(self) -> Result<(), DemoError> {
        let Site { cluster, emulator, .. } = self;
        // Ends the containers, and with them the last users of the volumes; the storage works in the cluster's folder,
        // so it ends too.
        let torn_down = cluster.tear_down();
        drop(emulator);
        Ok(torn_down?)
    }
}

/// What an operator gives every executor: the program's folder first in `PATH`, and where the data is.
fn environment(program: &Path, data: &Dataset) -> String {
    let folder = program.parent().unwrap_or(Path::new("/")).display();
    json!({"PATH": format!("{folder}:{STANDARD_PATH}"), "FLIGHTS_DATA": data.folder()}).to_string()
}
