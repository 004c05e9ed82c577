//! The ETL job: real flights from one PostgreSQL to another, through files, each step repeatable.
//!
//! * [`seed`] makes the source database of the tables in the package.
//! * [`extract`] copies them out in one snapshot, with a [`manifest`] of row counts and digests.
//! * [`transform`] cleans, rejects flights that never departed, aggregates per carrier, day and airport.
//! * [`load`] upserts the result and a batch row in one transaction.
//! * [`verify`] computes every figure again, in SQL, from the original files, and compares.
//! * [`writers`]: every step signs the volumes it writes to; `audit` says whether two wrote at the same time.
//!
//! The flights come in one batch or in several: a [`slice`](mod@slice) of the months each.
//!
//! A step that was cut short is run again as it is: its output appears under its name only when it is complete and
//! on disk ([`durable`]), and what is there already is recognised.

pub mod account;
pub mod durable;
pub mod error;
pub mod extract;
pub mod hold;
pub mod interrupt;
pub mod load;
pub mod manifest;
pub mod outcome;
mod record;
pub mod reference;
pub mod seed;
pub mod server;
pub mod slice;
pub mod tables;
pub mod transform;
pub mod verify;
pub mod writers;

pub use error::EtlError;
pub use hold::Hold;
pub use outcome::Outcome;
pub use slice::Slice;
