//! Clients for the Mesos v1 HTTP APIs: scheduler, executor and operator.
//!
//! Everything blocks and uses threads; JSON is on the wire. What can be decided without I/O is
//! in types that do none: the [`recordio::Decoder`], the scheduler's
//! [`Subscription`](scheduler::Subscription), the executor's [`Pending`](executor::Pending)
//! updates, [`Resources`](resources::Resources).
//!
//! * A **scheduler** opens a [`scheduler::Connection`], reads [`scheduler::Notice`]s from its
//!   channel and sends [`scheduler::Call`]s. The connection finds the leading master, subscribes,
//!   watches heartbeats and subscribes again after every break.
//! * An **executor** opens an [`executor::Connection`] from the environment the agent gives it
//!   and reports status updates, which are kept until the agent has acknowledged them.
//! * An **operator** asks a [`operator::Master`] or [`operator::Agent`].
//!
//! ```no_run
//! use mesos_http::resources::Demand;
//! use mesos_http::scheduler::{Call, Config, Connection, Event, Notice};
//! use mesos_http::types::{CommandInfo, FrameworkInfo, TaskInfo};
//!
//! let config = Config::new("127.0.0.1:5050", FrameworkInfo::new("hello", "root"))?;
//! let connection = Connection::open(config);
//! let mut launched = false;
//! for notice in connection.notices() {
//!     match notice {
//!         Notice::Event(Event::Offers(offers)) => {
//!             for mut offer in offers {
//!                 let demand = Demand::new().scalar("cpus", 0.1).scalar("mem", 32.0);
//!                 match offer.resources.take(&demand) {
//!                     Ok(share) if !launched => {
//!                         let command = CommandInfo::shell("echo hello");
//!                         let task = TaskInfo::command("hello-1", offer.agent_id, command, share);
//!                         connection.call(&Call::launch(offer.id, vec![task]))?;
//!                         launched = true;
//!                     }
//!                     _ => connection.call(&Call::decline([offer.id], 60.0))?,
//!                 }
//!             }
//!         }
//!         Notice::Event(Event::Update(status)) => {
//!             println!("{} is {}", status.task_id, status.state);
//!             if let Some(acknowledge) = Call::acknowledge(&status) {
//!                 connection.call(&acknowledge)?;
//!             }
//!             if status.state.is_terminal() {
//!                 connection.call(&Call::Teardown)?;
//!                 break;
//!             }
//!         }
//!         Notice::Failed(error) => return Err(error.into()),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod client;
pub mod endpoint;
pub mod error;
pub mod executor;
pub mod operator;
pub mod recordio;
pub mod resources;
pub mod scheduler;
pub mod tls;
pub mod types;

pub use backoff;
pub use endpoint::Endpoint;
pub use error::{Action, Error};

/// The README's example is compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
