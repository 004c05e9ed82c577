//! What a cluster is to be: the parameters, before anything runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::dockerd::{CLIENT, FOLDER};
use crate::modules::Module;

/// A master.
#[derive(Debug, Clone, Default)]
pub struct MasterSpec {
    /// Flags by their name, without dashes. They win over what the testbed sets.
    pub flags: BTreeMap<String, String>,
    /// How often the master pings its agents, and how many pings may be lost (`--agent_ping_timeout`,
    /// `--max_agent_ping_timeouts`). An agent looks for a restarted master only after that many pings did not come:
    /// 75 s with Mesos' own values, which hold unless this is set. Below 1 s is refused by the master.
    pub pings: Option<(Duration, u32)>,
}

impl MasterSpec {
    /// Sets a flag.
    #[must_use]
    pub fn flag(mut self, name: impl Into<String>, value: impl Into<String>) -> MasterSpec {
        self.flags.insert(name.into(), value.into());
        self
    }

    /// Sets [`MasterSpec::pings`].
    #[must_use]
    pub fn pings(mut self, timeout: Duration, lost: u32) -> MasterSpec {
        self.pings = Some((timeout, lost));
        self
    }
}

/// An agent.
///
/// Values of `flags`, `environment` and module parameters may name the agent's own folders and number, as agents are
/// often copies of one specification: `{agent}` is its folder, `{state}` and `{drivers}` are the folders for a
/// module's records and for driver sockets, `{docker}` is the folder of the cluster's [`Dockerd`](crate::Dockerd), `{index}` is
/// its number from 0 on.
#[derive(Debug, Clone)]
pub struct AgentSpec {
    /// `--resources` without the volumes. Default: `cpus:4;mem:2048;disk:4096`, whatever the machine has.
    pub resources: String,
    /// Ids in the SET resource `ebsvolumes`. Without any the agent does not offer that resource.
    pub volumes: Vec<String>,
    /// `--attributes`, as texts.
    pub attributes: BTreeMap<String, String>,
    /// The zone: an attribute `zone`, and the agent's fault domain (`--domain`) in the region `testbed`. When any
    /// agent of a cluster has one, the master gets the domain of the first, or it would ignore the agent.
    pub zone: Option<String>,
    /// `--isolation`, without the module's name, which is added behind. Default: `filesystem/linux`.
    pub isolation: Vec<String>,
    /// An isolator module to load.
    pub module: Option<Module>,
    /// Where its drivers' sockets are. Default: `drivers` in the agent's folder.
    pub drivers: Option<PathBuf>,
    /// `--executor_registration_timeout`. Default: 1 minute, as Mesos has it.
    pub executor_registration_timeout: Duration,
    /// The Mesos release of this agent. Default: the cluster's. Another one at its next start, with
    /// [`Agent::respecify`](crate::Agent::respecify), is what an upgrade does.
    pub mesos: Option<String>,
    /// More flags by their name, without dashes. They win over what the testbed sets.
    pub flags: BTreeMap<String, String>,
    /// More variables in the agent's environment.
    pub environment: BTreeMap<String, String>,
}

impl Default for AgentSpec {
    fn default() -> AgentSpec {
        AgentSpec {
            resources: "cpus:4;mem:2048;disk:4096".to_owned(),
            volumes: Vec::new(),
            attributes: BTreeMap::new(),
            zone: None,
            isolation: vec!["filesystem/linux".to_owned()],
            module: None,
            drivers: None,
            executor_registration_timeout: Duration::from_secs(60),
            mesos: None,
            flags: BTreeMap::new(),
            environment: BTreeMap::new(),
        }
    }
}

impl AgentSpec {
    /// Sets [`AgentSpec::mesos`].
    #[must_use]
    pub fn mesos(mut self, version: impl Into<String>) -> AgentSpec {
        self.mesos = Some(version.into());
        self
    }

    /// Sets [`AgentSpec::resources`].
    #[must_use]
    pub fn resources(mut self, resources: impl Into<String>) -> AgentSpec {
        self.resources = resources.into();
        self
    }

    /// Adds to [`AgentSpec::volumes`].
    #[must_use]
    pub fn volumes(mut self, ids: impl IntoIterator<Item = impl Into<String>>) -> AgentSpec {
        self.volumes.extend(ids.into_iter().map(Into::into));
        self
    }

    /// Sets an attribute.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> AgentSpec {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Sets [`AgentSpec::zone`].
    #[must_use]
    pub fn zone(mut self, zone: impl Into<String>) -> AgentSpec {
        self.zone = Some(zone.into());
        self
    }

    /// Adds a built-in isolator behind those there are.
    #[must_use]
    pub fn isolator(mut self, name: impl Into<String>) -> AgentSpec {
        self.isolation.push(name.into());
        self
    }

    /// Lets containers have images, from the `NAME.tar` files in `registry` (see [`Image`](crate::Image)).
    #[must_use]
    pub fn images(self, registry: impl Into<PathBuf>) -> AgentSpec {
        self.isolator("docker/runtime")
            .flag("image_providers", "docker")
            .flag("docker_registry", registry.into().display().to_string())
    }

    /// Lets tasks run as Docker containers by the cluster's [`Dockerd`](crate::Dockerd), with these containerizers:
    /// `docker,mesos`, or `docker` alone.
    #[must_use]
    pub fn docker(self, containerizers: &str) -> AgentSpec {
        self.flag("containerizers", containerizers)
            .flag("docker", CLIENT)
            .flag("docker_socket", "{docker}/docker.sock")
            // Several agents may share the daemon; each would end the containers of the others.
            .flag("docker_kill_orphans", "false")
    }

    /// Sets [`AgentSpec::module`].
    #[must_use]
    pub fn module(mut self, module: Module) -> AgentSpec {
        self.module = Some(module);
        self
    }

    /// Sets [`AgentSpec::drivers`].
    #[must_use]
    pub fn drivers(mut self, folder: impl Into<PathBuf>) -> AgentSpec {
        self.drivers = Some(folder.into());
        self
    }

    /// Sets [`AgentSpec::executor_registration_timeout`].
    #[must_use]
    pub fn executor_registration_timeout(mut self, timeout: Duration) -> AgentSpec {
        self.executor_registration_timeout = timeout;
        self
    }

    /// Sets a flag.
    #[must_use]
    pub fn flag(mut self, name: impl Into<String>, value: impl Into<String>) -> AgentSpec {
        self.flags.insert(name.into(), value.into());
        self
    }

    /// Sets a variable of the agent's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> AgentSpec {
        self.environment.insert(name.into(), value.into());
        self
    }
}

/// The words in braces that a specification may use.
pub(crate) struct Places<'a> {
    pub(crate) agent: &'a Path,
    pub(crate) drivers: &'a Path,
    pub(crate) index: usize,
}

impl Places<'_> {
    /// `text` with its places filled in. Other braces stay.
    pub(crate) fn fill(&self, text: &str) -> String {
        let path = |path: &Path| path.display().to_string();
        let docker = self.agent.with_file_name(FOLDER);
        text.replace("{agent}", &path(self.agent))
            .replace("{state}", &path(&self.agent.join("state")))
            .replace("{docker}", &path(&docker))
            .replace("{drivers}", &path(self.drivers))
            .replace("{index}", &self.index.to_string())
    }
}

/// `--domain` for a zone.
pub(crate) fn domain_flag(zone: &str) -> String {
    serde_json::json!({"fault_domain": {"region": {"name": "testbed"}, "zone": {"name": zone}}}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_other_braces_stay() {
        let places = Places {
            agent: Path::new("/c/a"),
            drivers: Path::new("/d"),
            index: 1,
        };
        assert_eq!(
            places.fill("{state}/x:{drivers};{agent}-{index};{docker};e:{vol-1}"),
            "/c/a/state/x:/d;/c/a-1;/c/docker;e:{vol-1}"
        );
    }
}
