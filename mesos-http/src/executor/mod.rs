//! The executor API: launches and kills in, status updates out.
//!
//! [`Environment`] reads what the agent tells an executor it starts, [`Connection`] keeps the
//! subscription, also over restarts of the agent when the framework checkpoints, and [`Pending`]
//! holds what the agent has not acknowledged yet.

mod connection;
mod environment;
mod event;
mod pending;

pub use connection::{Connection, Ending, Notice};
pub use environment::{Environment, EnvironmentError, TOKEN_VARIABLE};
pub use event::{Event, Subscribed};
pub use pending::Pending;

/// The path of the executor API on an agent.
pub const PATH: &str = "/api/v1/executor";
