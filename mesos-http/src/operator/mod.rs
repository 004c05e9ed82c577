//! The operator API: asking masters and agents, and telling them what only a person decides.

mod agent;
mod answer;
mod master;
mod nested;
mod watch;

pub use agent::Agent;
pub use answer::{AgentState, Container, Containers, FrameworkState, Tasks, VersionInfo};
pub use master::Master;
pub use nested::{ContainerEnd, ContainerLaunch};
pub use watch::{ClusterEvent, Snapshot, Watch};

/// The path of the operator API on masters and agents.
pub const PATH: &str = "/api/v1";
