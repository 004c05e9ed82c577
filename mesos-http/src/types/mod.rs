//! The messages of the v1 API as plain structs, with the JSON form Mesos gives them.
//!
//! Field names are those of the protocol. What a client of this crate has no use for is left
//! out; unknown fields are ignored when read. An enumeration keeps a value it does not know as
//! text in its `Other` variant, so a newer Mesos does not make an event unreadable.

mod agent;
mod check;
mod command;
mod constraint;
mod container;
mod framework;
mod id;
mod label;
mod offer;
mod operation;
mod resource;
mod scalar;
mod status;
mod task;
mod wire;

pub use agent::{AgentInfo, Attribute, DomainInfo, FaultDomain, MasterInfo, Named};
pub use check::{
    CheckCommand, CheckInfo, CheckKind, CheckStatus, CommandResult, HealthCheck, HttpCheck, HttpResult, TcpCheck,
    TcpResult,
};
pub use command::{CommandInfo, Environment, Uri, Variable, VariableKind};
pub use constraint::{AgentConstraint, OfferConstraints, Predicate, Selector};
pub use container::{
    ContainerInfo, ContainerKind, DockerInfo, DockerVolume, HostPath, Image, ImageKind, ImageName, MesosInfo,
    Parameter, Parameters, SandboxPath, Volume, VolumeMode, VolumeSource, VolumeSourceKind,
};
pub use framework::{Capability, CapabilityKind, FrameworkInfo};
pub use id::{AgentId, ContainerId, ExecutorId, FrameworkId, OfferId, OperationId, TaskId, UpdateId};
pub use label::{Label, Labels};
pub use offer::{Address, Filters, InverseOffer, Offer, Unavailability, Url};
pub use operation::{OperationState, OperationStatus, ResourceProviderId};
pub use resource::{AllocationInfo, Range, Reservation, ReservationKind, Resource, Value};
pub use scalar::Scalar;
pub use status::{ContainerStatus, Limitation, Reason, StatusSource, TaskState, TaskStatus};
pub use task::{ExecutorInfo, ExecutorKind, KillPolicy, Task, TaskGroupInfo, TaskInfo};
pub use wire::{Bytes, DurationInfo, TimeInfo};
