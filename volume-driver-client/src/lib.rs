#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod answer;
mod discovery;
mod driver;
mod endpoint;
mod error;
mod exchange;
mod gate;
mod locks;
mod mount_id;
mod no_cause;
mod operation;
mod phrases;
mod places;
mod profile;
mod settings;
mod spec;
mod trust;
mod words;

pub use answer::{Scope, Volume};
pub use discovery::{Discovery, Drivers, ExplicitDriver, WaitsFor};
pub use driver::{CreatePolicy, Driver, Ensured, PathRewrite};
pub use endpoint::{Endpoint, TlsSettings};
pub use error::{Error, ErrorKind};
pub use error_codes::Code;
pub use mount_id::{InvalidMountId, MountId};
pub use operation::Operation;
pub use phrases::{Meaning, Phrase, Phrases};
pub use places::Candidate;
pub use profile::{
    Ignored, InvalidProfile, Override, Profile, Profiles, Timeouts, UnmountWhenNotMounted, UnsupportedName,
};
pub use settings::{DriverSettings, InvalidSettings};

#[doc = include_str!("../docs/drivers.md")]
pub mod known_drivers {}
