//! The scheduler API: offers and updates in, launches and kills out.
//!
//! [`Connection`] does the I/O. The rules of a subscription (who is asked, what is sent, when to
//! try again and when to give up) are in [`Subscription`], which does none and can be driven by
//! any other transport.

mod call;
mod connection;
mod event;
mod subscription;

pub use call::{Accept, Call, Kill, Operation, OperationReference, TaskReference};
pub use connection::{Caller, Config, Connection, Notice};
pub use event::{Event, Failure, Message, Subscribed};
pub use subscription::{Attempt, Effect, Subscription};

/// The path of the scheduler API on a master.
pub const PATH: &str = "/api/v1/scheduler";
