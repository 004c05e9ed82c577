//! Carries out what the ledger asks for: calls to drivers, changes of records, timers and answers.

mod calls;
mod crash_point;
mod driver_call;
mod engine;
mod gone_mounts;
mod message;
mod queues;
mod restored;
mod writer;

pub(crate) use crash_point::crash_point;
pub(crate) use engine::Engine;
pub(crate) use message::{Message, Turn};
pub(crate) use writer::{RecordWrite, run as write_records};
