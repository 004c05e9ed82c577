//! The operator API: what masters and agents say about themselves, and calls that only an operator
//! makes.

mod agent;
mod answer;
mod caller;
mod master;
mod nested;
mod watch;

pub use agent::Agent;
pub use answer::{AgentState, Container, Containers, FilePart, FrameworkState, Tasks, VersionInfo};
pub use master::Master;
pub use nested::{ContainerEnd, ContainerLaunch};
pub use watch::{ClusterEvent, Snapshot, Watch};

/// The path of the operator API on masters and agents.
pub const PATH: &str = "/api/v1";
