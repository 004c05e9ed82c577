//! From the name that people use for an EBS volume to everything that Mesos needs to run a task
//! next to it: the volume's id, the labels that ask an agent to mount it, the item of the SET
//! resource `ebsvolumes` that claims it, and the availability zone it is bound to.
//!
//! ```text
//! aws ec2 describe-volumes ──> Catalogue ──resolve("orders")──> Volume ──mapped──> labels, claim, zone
//! catalogue file, aliases ───┘      │└───────name_map─────────> id -> driver's name, for the agents
//!                                   v
//! a framework's definition ──convert, migrate──> the same definition with labels, claims and zone constraint
//!                          └─explain───────────> what would happen, and which agents can run it
//! ```
//!
//! `ADAPTERS.md` in this crate says for each framework what is read, where it is written and what
//! reaches the agent.
//!
//! A [`Catalogue`] is what the storage said at one moment: states and attachments in it grow old, ids, names and
//! zones do not. Nothing here writes to the storage.
//!
//! ```
//! use label_mapper::{Catalogue, Spelling};
//!
//! let catalogue = Catalogue::from_describe_volumes(
//!     r#"{"Volumes": [{"VolumeId": "vol-7bca078f", "AvailabilityZone": "us-east-1a", "Size": 8,
//!         "State": "available", "Tags": [{"Key": "Name", "Value": "orders"}]}]}"#,
//! )?;
//! let volume = catalogue.resolve("orders")?;
//! let mapped = label_mapper::mapped(volume, "data".parse()?, Spelling::Id);
//! assert_eq!(mapped.labels["volume.data"], "vol-7bca078f");
//! assert_eq!(mapped.claim.to_string(), "ebsvolumes:{vol-7bca078f}");
//! assert_eq!(mapped.zone, "us-east-1a");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod agents;
mod catalogue;
mod catalogue_file;
mod convert;
mod describe;
mod driver_names;
mod explain;
mod frameworks;
mod job_file;
mod listing;
mod mapping;
mod name_map;
mod options;
mod placement;
mod task_placement;
mod text;

pub use agents::{Agents, AgentsError, Demand, Verdict};
pub use catalogue::{AliasError, Attachment, Catalogue, DoubtfulAlias, ResolveError, Volume, VolumeId, VolumeState};
pub use catalogue_file::lists_volumes;
pub use convert::{ConvertError, Converted, TaskReport, convert, migrate, migrate_back};
pub use describe::CatalogueError;
pub use explain::{Cluster, Explained, ExplainedVolume, explain, explain_volume};
pub use frameworks::{Channel, Framework};
pub use job_file::{JobFile, job_file};
pub use listing::{EncodingError, decoded};
pub use mapping::{Claim, EBS_VOLUMES, Mapped, Spelling, mapped};
pub use name_map::{Doubtful, NameMap, NameMapError};
pub use options::Options;
pub use placement::{PlacedVolume, Placement, PlacementError, VolumeProblem, placement};
pub use task_placement::RequestedVolume;
