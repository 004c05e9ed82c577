//! The cluster: one agent for each contender.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mesos_http::types::FrameworkInfo;
use testbed::{Agent, AgentSpec, Cluster, Framework, Job};

use super::storage::{Kind, Storage, User};
use crate::peer::{link_dvdcli, with_dvdcli, with_volumes};

/// Who provides volumes on an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contender {
    /// Nobody: the floor.
    NoVolume,
    /// docker/volume and dvdcli.
    Peer,
    /// This module.
    Module,
}

impl Contender {
    pub(super) const ALL: [Contender; 3] = [Contender::NoVolume, Contender::Peer, Contender::Module];

    /// Its name in the JSON.
    pub(super) fn key(self) -> &'static str {
        match self {
            Contender::NoVolume => "no_volume",
            Contender::Peer => "docker_volume",
            Contender::Module => "module",
        }
    }

    /// Its name in the table.
    pub(super) fn what(self) -> &'static str {
        match self {
            Contender::NoVolume => "no volume",
            Contender::Peer => "docker/volume",
            Contender::Module => "module",
        }
    }
}

/// Three agents that differ only in isolation, with their drivers.
pub(super) struct Site {
    // Dropped in this order: tasks end, then agents, then what they mounted.
    framework: Framework,
    cluster: Cluster,
    storage: Storage,
}

impl Site {
    pub(super) fn start(kind: Kind) -> Result<Site> {
        let storage = Storage::start(kind)?;
        link_dvdcli(storage.folder())?;
        let spec = |contender: Contender| {
            let spec = AgentSpec::default()
                .resources("cpus:64;mem:16384;disk:65536")
                .drivers(storage.sockets(User::Agent(contender)));
            let spec = with_dvdcli(spec, storage.folder());
            match contender {
                Contender::NoVolume => spec,
                Contender::Peer => spec.isolator("docker/volume"),
                Contender::Module => spec.module(::tests::module()),
            }
        };
        let cluster = Contender::ALL
            .into_iter()
            .fold(Cluster::builder(), |builder, contender| builder.agent(spec(contender)))
            .start()?;
        let framework = FrameworkInfo {
            checkpoint: true,
            ..FrameworkInfo::new("bench", "root")
        };
        let framework = Framework::subscribe_as(&cluster.master().address(), framework)?;
        Ok(Site {
            framework,
            cluster,
            storage,
        })
    }

    pub(super) fn framework(&self) -> &Framework {
        &self.framework
    }

    pub(super) fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(super) fn agent(&self, contender: Contender) -> &Agent {
        self.cluster.agent(contender as usize)
    }

    /// A task that fails unless its volume is mounted, with a volume as the contender wants it named.
    pub(super) fn job(&self, contender: Contender, volume: usize, then: &str) -> Result<Job> {
        let agent = self.agent(contender).id()?;
        let name = self.storage.volume(User::Agent(contender), volume);
        let driver = self.storage.kind().driver();
        let mounted = format!("grep -q '/data ' /proc/self/mountinfo && touch data/${{PWD##*/}}{then}");
        let job = match contender {
            Contender::NoVolume => Job::shell(format!("mkdir data && touch data/${{PWD##*/}}{then}")),
            Contender::Peer => with_volumes(Job::shell(mounted), driver, [("data".to_owned(), name)]),
            Contender::Module => Job::shell(mounted)
                .label("volume.data", name)
                .label("volume.data.driver", driver),
        };
        Ok(job.on(agent.as_str()))
    }

    /// How long the containers took from PREPARING to ISOLATING that the agent's log tells of since `mark`, in ms.
    pub(super) fn prepared_since(&self, contender: Contender, mark: u64) -> Result<Vec<f64>> {
        let mut text = String::new();
        let mut log = File::open(self.agent(contender).log_path())?;
        log.seek(SeekFrom::Start(mark))?;
        log.read_to_string(&mut text)?;
        text.lines()
            .filter_map(|line| line.split("from PREPARING to ISOLATING after ").nth(1))
            .map(|duration| Ok(mesos_durations::parse(duration)?.as_secs_f64() * 1e3))
            .collect()
    }

    /// Waits until the agent has no container.
    ///
    /// # Errors
    /// It still has one after `limit`.
    pub(super) fn wait_until_no_container_is_left(&self, contender: Contender, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let left = self.agent(contender).containers()?;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} containers are left after {limit:?}", left.len());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
