//! Real Mesos masters and agents on one machine, for tests and demos.
//!
//! ```no_run
//! use testbed::{AgentSpec, Cluster, Module};
//!
//! # fn main() -> Result<(), testbed::ClusterError> {
//! let module = Module::new("libmy_isolator.so", "com_example_MyIsolator")
//!     .parameter("state_dir", "{state}")
//!     .parameter("driver_sockets", "{drivers}");
//! let cluster = Cluster::builder()
//!     .agents(2, &AgentSpec::default().volumes(["vol-1", "vol-2"]).zone("a").module(module))
//!     .start()?;
//!
//! println!("schedulers connect to {}", cluster.master().url());
//! cluster.agent(0).kill()?;
//! cluster.agent(0).restart()?;
//! cluster.tear_down()
//! # }
//! ```
//!
//! * [`package`] brings the official Mesos library from PyPI and compiles master, agent and containerizer on it.
//! * [`Cluster`] is who calls whom: it makes folders and reserves ports, starts a [`Master`], then each [`Agent`] with
//!   folders and cgroups of its own, and waits until they are registered.
//! * [`Process`] is one of them, with its log.
//! * [`Dockerd`] is a real Docker daemon for the agents of a cluster.
//! * [`Framework`] runs [`Job`]s on the cluster and remembers every update of their tasks.
//! * Taking it all away again ([`Cluster::tear_down`], or dropping the cluster) ends processes, unmounts, detaches loop
//!   devices, removes cgroups. A cluster whose process was killed is cleaned away by the next one, or by [`sweep`].
//!
//! It needs root, and Debian's `g++ binutils python3-venv util-linux libsvn1 libapr1 libsasl2-2`; for Mesos before 1.8 also
//! `libevent-2.1-7 libevent-pthreads-2.1-7`, and for [`Dockerd`] `busybox-static docker.io`.

mod artifact;
mod cluster;
mod dockerd;
mod error;
mod framework;
mod http;
mod image;
mod modules;
pub mod package;
mod ports;
mod process;
mod teardown;

pub use artifact::built;
pub use cluster::{Agent, AgentSpec, Cluster, ClusterBuilder, Container, Master, MasterSpec};
pub use dockerd::{Dockerd, Namespace};
pub use error::ClusterError;
pub use framework::{Framework, FrameworkError, Job, LaunchedTask, Pod, custom_executor};
pub use image::Image;
pub use modules::Module;
pub use process::Process;
pub use rustix::process::Signal;
pub use teardown::{Mount, Swept, loops_below, mounts, mounts_below, sweep};
