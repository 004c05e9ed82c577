//! Where the job runs: a Mesos of three agents in two zones, each on an emulated EC2 host with the storage's driver on it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ebs_emulator::{Client, Emulator, EmulatorOptions, Event, HostSpec};
use mesos_http::endpoint::EndpointError;
use mesos_http::operator::Master;
use serde_json::json;
use testbed::{Agent, AgentSpec, Cluster, MasterSpec, Module, built, loops_below, mounts_below};

use super::DemoError;
use crate::dataset::Dataset;

/// The availability zone of the volumes.
pub const ZONE: &str = "us-east-1a";

/// The zone where they cannot be attached.
pub const OTHER_ZONE: &str = "us-east-1b";

/// The hosts with their zones, by the names they have for Mesos and for the storage.
pub const HOSTS: [(&str, &str); 3] = [("host-a", ZONE), ("host-b", ZONE), ("host-c", OTHER_ZONE)];

/// What the agent of the other zone has: more than the others, so that only its zone keeps tasks away from it.
const LARGE: &str = "cpus:8;mem:8192;disk:8192";

/// The volumes by name, with their sizes in GiB.
pub const VOLUMES: [(&str, u64); 3] = [("flights-src", 2), ("flights-stage", 1), ("flights-dst", 2)];

/// The driver's name on every host.
const DRIVER: &str = "ebs";

/// Where Debian's programs are.
const STANDARD_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long an agent may take to register.
const REGISTRATION: Duration = Duration::from_secs(60);

/// How long the master may take to answer an operator.
const OPERATOR_LIMIT: Duration = Duration::from_secs(30);

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

/// What is special about a site.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Keep the folder with logs and sandboxes.
    pub keep: bool,
    /// Hosts whose agents are not started with the others.
    pub idle: Vec<&'static str>,
    /// How often the master pings its agents and how many pings it lets go by, when not as Mesos has it.
    pub pings: Option<(Duration, u32)>,
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
    pub fn start(data: &Dataset, plan: &Plan) -> Result<Site, DemoError> {
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
        let environment = environment(&built("flights-etl", "demo")?, data);
        let mut builder = Cluster::builder().master(MasterSpec {
            pings: plan.pings,
            ..MasterSpec::default()
        });
        for (host, zone) in HOSTS {
            let spec = AgentSpec::default()
                .zone(zone)
                .module(module.clone())
                .flag("hostname", host)
                .flag("executor_environment_variables", &environment);
            builder = builder.agent(match zone {
                OTHER_ZONE => spec.resources(LARGE),
                _ => spec,
            });
        }
        if plan.keep {
            builder = builder.keep_folder();
        }
        let cluster = builder.create()?;
        let hosts = cluster.agents().iter().zip(HOSTS).map(|(agent, (host, zone))| {
            HostSpec::new(host, zone)
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
        // What an operator writes down for each agent: the volumes, and under which name the storage knows its host. The
        // other zone has them too, as where one list is given to every agent: the zone is what must keep them apart.
        let known = emulator.client().hosts()?;
        for (agent, host) in cluster.agents().iter().zip(known) {
            agent.respecify(|spec| {
                spec.volumes = volumes.iter().map(|volume| volume.id.clone()).collect();
                spec.attributes.insert("instance".to_owned(), host.instance);
            });
        }
        cluster.master().start()?;
        let started = cluster.agents().iter().zip(HOSTS);
        let started = started.filter(|(_, (host, _))| !plan.idle.contains(host));
        for (agent, _) in started.clone() {
            agent.start()?;
        }
        for (agent, _) in started {
            agent.wait_registered(REGISTRATION)?;
        }
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

    /// The storage's control API.
    pub fn storage(&self) -> &Client {
        self.emulator.client()
    }

    /// The master's operator API.
    ///
    /// # Errors
    /// [`DemoError::Refused`] when the master's address is none.
    pub fn operator(&self) -> Result<Master, DemoError> {
        let endpoint = self.cluster.master().address().parse();
        let endpoint = endpoint.map_err(|error: EndpointError| DemoError::Refused(error.to_string()))?;
        Ok(Master::new(endpoint, OPERATOR_LIMIT))
    }

    /// The volume of this name.
    pub fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.name == name)
    }

    /// The agent with this host name.
    pub fn agent(&self, hostname: &str) -> Option<&Agent> {
        let index = HOSTS.iter().position(|(host, _)| *host == hostname)?;
        self.cluster.agents().get(index)
    }

    /// What there is, one line each.
    ///
    /// # Errors
    /// [`DemoError::Volume`].
    pub fn describe(&self) -> Result<Vec<String>, DemoError> {
        let mut lines = vec![format!("master at {}", self.cluster.master().url())];
        for (agent, (host, zone)) in self.cluster.agents().iter().zip(HOSTS) {
            lines.push(format!("agent on {host} in {zone} at {}", agent.url()));
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

    /// The command that prints what `aws ec2 describe-volumes` would, for the scheduler.
    ///
    /// # Errors
    /// [`DemoError::Cluster`] when the emulator's program is not built.
    pub fn catalogue_command(&self) -> Result<String, DemoError> {
        let program = built("ebs-emulator", "ebs-emulator")?;
        Ok(format!(
            "'{}' describe --state '{}'",
            program.display(),
            self.emulator.state().display()
        ))
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
