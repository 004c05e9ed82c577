//! Why the volumes that a container requests are refused. Every message is one line that names the
//! label, field or variable first.

use volume_driver_client::Code;
use volume_labels::{LabelError, MAX_OPTIONS, MAX_VOLUMES, Slot, cleaned};

use super::requested_volume::RequestedVolume;
use crate::ephemeral::NameTooLong;
use crate::error::Refusal;
use crate::host::OwnerError;
use crate::origin::{DVDI_PREFIX, Origin, Part};

/// What [`super::parse_request`] does not understand or accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    #[error(transparent)]
    Labels(#[from] LabelError),
    #[error(
        "label 'volume.{slot}': the task's labels of this slot ('{}') and those of its executor ('{}') differ: make them agree, or \
         give one of them another slot",
        cleaned(.task),
        cleaned(.executor)
    )]
    TaskAndExecutorDiffer {
        slot: Slot,
        /// The volume's name in the task's labels.
        task: String,
        /// The volume's name in the executor's labels.
        executor: String,
    },
    #[error(transparent)]
    Dvdi(#[from] DvdiError),
    /// A statement that labels could not make either.
    #[error("{} = '{}': {problem}", .origin.part(.statement.part()), cleaned(.statement.value()))]
    Value {
        origin: Origin,
        statement: Statement,
        problem: ValueProblem,
    },
    #[error(
        "{} and {} both mount at '{}'; give one of them another {}",
        .first,
        .second,
        cleaned(.path),
        .second.part(Part::Path)
    )]
    SamePathTwice {
        first: Origin,
        second: Origin,
        path: String,
    },
    #[error(
        "{}: {} mounts at '{}' as well, and they do not ask for the same there: give one of them another path ({} or {}), or remove one",
        .second.display_origin(),
        .first.display_origin(),
        cleaned(&.first.labels.path.to_string()),
        .second.origin.part(Part::Path),
        .first.origin.part(Part::Path)
    )]
    SamePathInTwoOrigins {
        first: Box<RequestedVolume>,
        second: Box<RequestedVolume>,
    },
    #[error("the container asks for {0} volumes; at most {MAX_VOLUMES} are accepted")]
    TooManyOfOneKind(usize),
    #[error(
        "the container asks for {count} volumes in all, from {first} to {last}; at most {MAX_VOLUMES} are accepted"
    )]
    TooMany {
        count: usize,
        /// Origin and name.
        first: String,
        last: String,
    },
}

/// What the author of a launch states about a volume, with the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    Name(String),
    Driver(String),
    Path(String),
    Option { key: String, value: String },
}

impl Statement {
    fn part(&self) -> Part<'_> {
        match self {
            Self::Name(_) => Part::Name,
            Self::Driver(_) => Part::Driver,
            Self::Path(_) => Part::Path,
            Self::Option { key, .. } => Part::Option(key),
        }
    }

    fn value(&self) -> &str {
        match self {
            Self::Name(value) | Self::Driver(value) | Self::Path(value) | Self::Option { value, .. } => value,
        }
    }
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValueProblem {
    /// In the words of [`volume_labels::check_name`] or [`volume_labels::check_option`].
    #[error("{0}")]
    Form(&'static str),
    /// In the words of [`volume_labels::ContainerPath::parse`].
    #[error("{0}; accepted is a path in the container, absolute or relative to the sandbox, without '..'")]
    Path(&'static str),
    #[error("it is given twice, the other time as '{}'; keep one", cleaned(.0))]
    GivenTwice(String),
    #[error("it has more than {MAX_OPTIONS} driver options")]
    TooManyOptions,
}

/// What is wrong with the variables of mesos-module-dvdi.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DvdiError {
    #[error(
        "variable '{}' is none of {DVDI_PREFIX}{{{}}}, each alone or with a digit from 1 to 9 behind it",
        cleaned(.0),
        super::dvdi::PARTS.join(",")
    )]
    UnknownVariable(String),
    #[error("variable {variable} is given twice, as '{}' and as '{}'; keep one", cleaned(.first), cleaned(.second))]
    GivenTwice {
        variable: String,
        first: String,
        second: String,
    },
    #[error("{variable} = '{}': accepted is 'true' (a missing volume is not created) or 'false'", cleaned(.value))]
    NotTrueOrFalse { variable: String, value: String },
    #[error("{variable}: '{}' is no KEY=VALUE; accepted is KEY=VALUE,KEY=VALUE", cleaned(.option))]
    NotKeyAndValue { variable: String, option: String },
}

/// Why [`super::resolve`] refuses a volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error(
        "{volume}: it names no driver, and this agent has no default driver: name one with {} (or have the operator set the module \
         parameter default_driver)",
        .origin.part(Part::Driver)
    )]
    NoDriver {
        /// Origin and name.
        volume: String,
        origin: Origin,
    },
    #[error("{volume}: {cause}")]
    Claim { volume: String, cause: ClaimError },
    #[error("{volume}: {cause}")]
    Owner { volume: String, cause: OwnerError },
    #[error("module parameter default_owner: {0}")]
    DefaultOwner(OwnerError),
    #[error(
        "{volume}: that is the name of a volume that was made for one container (lifetime=container) and is removed with it: name \
         another"
    )]
    EphemeralName { volume: String },
    #[error("{volume}: {cause}")]
    NameTooLong { volume: String, cause: NameTooLong },
    #[error(
        "{second}: {first} names the same volume {volume} with different create, options or owner: make them agree"
    )]
    Disagree {
        first: Origin,
        second: Origin,
        /// Name and driver.
        volume: String,
    },
}

/// Why a container may not have a volume whose claim is required.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClaimError {
    #[error(
        "the label claims '{0}' but names volume '{1}', and no name_map entry connects them. Name the volume '{0}', or have the \
         operator add the pair to name_map",
        cleaned(.id),
        cleaned(.name)
    )]
    NotConnected { id: String, name: String },
    #[error(
        "this agent requires tasks to reserve their volumes: add '{0}' to the task's resource '{resource}' (require_claim)",
        cleaned(.id)
    )]
    NotHeld { id: String, resource: String },
}

impl ResolveError {
    fn code(&self) -> Code {
        match self {
            Self::Claim { .. } => Code::Denied,
            _ => Code::Invalid,
        }
    }
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Self {
        Self::new(Code::Invalid, error.to_string())
    }
}

impl From<ResolveError> for Refusal {
    fn from(error: ResolveError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
