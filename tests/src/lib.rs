//! What the end-to-end tests share: a site of real agents with a real driver each, and a framework that runs tasks.
//!
//! | test file | what it proves |
//! |---|---|
//! | `volumes` | a label becomes a mounted volume, shared by its users, moved between agents, and let go |
//! | `refusals` | whatever cannot be had is said in the task's status, and nothing stays mounted |
//! | `agent_restart` | an agent that is killed loses no mount and leaks none |
//! | `lifetime` | a volume made for a container is gone after it, whatever fails or dies, and no other volume is |
//! | `peers` | what the test suites of Mesos, Nomad and the kubelet ask: drained agents, new agent ids, quotas, garbage collection, other isolators that fail |
//! | `agent_death` | every way in which an agent can go and come back, and what is left of its volumes |
//! | `proof_of_mount` | a task gets the volume or is refused, whatever file system the driver's folder lies on, also after a restart |
//! | `health` | a volume that is gone, read-only, dead or failing ends its tasks with the cause; a full or slow one does not |
//! | `targets` | where a volume goes: sandbox, image, allowed host path, sessions |
//! | `launch_paths` | each way in which Mesos launches a container: whose labels count, and what is mounted where in it |
//! | `old_kernel` | without `openat2` volumes are refused, with the reason |
//! | `hostile` | labels from somebody who means harm |
//! | `sources` | volumes named otherwise than by labels: as docker/volume and mesos-module-dvdi take them, only where turned on |
//! | `sources_add_up` | what several sources name for one container is all mounted, or both are named in the refusal |
//! | `operator_files` | what takes the place of an operator's file blocks nobody and is not believed |
//! | `security` | each line of SECURITY.md names tests that exist |
//! | `definitions` | one job, described for Marathon, for dcos-commons and by a schedule, mounts the same volume |
//! | `policy` | what the operator's policy denies is said with its rule, and a changed file counts at once |
//! | `reports` | metrics show a mount, the audit log who had it, also of a restarted agent |
//! | `doctor` | `mesos-volumes doctor` finds nothing on a good agent, and every fault of a bad one |
//! | `lost_state_folder` | volumes that a lost state folder leaves mounted are shown, each with a command that releases it |
//! | `hung_driver` | a driver that does not answer delays its own volumes and nothing else |
//! | `rclone` | the same with a driver nobody here wrote, twenty tasks at a time |
//! | `docker` | Docker containers get their volumes through the hook, keep them while Docker says that they run, and let them go after |
//! | `docker_crashes` | an agent that is killed at any step of a Docker launch, executors and daemons that are killed |
//! | `third_party_drivers` | drivers that others wrote: what `mesos-volumes driver test` finds, and tasks on their volumes |
//! | `third_party_frameworks` | frameworks that others wrote, started as they say: their tasks get volumes |
//! | `third_party_storage` | what the real AWS CLI prints is what the catalogue reads |
//! | `documents` | the commands of the documents work as they stand there, links lead somewhere, every `--help` has examples |
//! | `monitoring` | alert rules fire in their situations and in no other, also in a real Prometheus; the dashboard's queries are understood |
//! | `module_load` | what an operator sees when the module loads, or refuses to |

mod docker_volume;
mod rclone;
mod site;
mod tasks;
pub mod third_party;

pub use docker_volume::{docker_volume, docker_volume_with, read_only, with_docker_volume_isolator, with_volumes};
pub use rclone::Rclone;
pub use site::{
    DOCKER_IMAGE, DRIVER, HOOK, MODULE, Site, docker_agent, eventually, module, module_with_policy,
    module_without_policy, separate_file_system,
};
pub use tasks::{Tasks, end, finished, running};
