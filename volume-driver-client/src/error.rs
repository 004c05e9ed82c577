//! What can go wrong, with one kind for each thing that a caller can do about it.

use std::fmt;

use error_codes::Code;

use crate::operation::Operation;
use crate::words::{NAME_LIMIT, clean};

/// What a failed call means for the caller.
///
/// The protocol has no error codes: drivers answer a status and free text. The kinds below come from the phase in
/// which the call failed and from a table of texts that real drivers send ([`crate::Phrases`]); a text that is
/// in no table is [`Rejected`](ErrorKind::Rejected).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The driver says that it does not know the volume. The only kind on which a volume may be created.
    NotFound,
    /// The volume exists, but this host cannot have it now: another host has it attached, or the driver shows it and cannot attach it
    /// here.
    AttachedElsewhere,
    /// Create: a volume of that name exists.
    AlreadyExists,
    /// Mount: this mount id already holds the volume. It may be adopted: see [`crate::Driver::path`].
    AlreadyMounted,
    /// The volume is in use (Remove of a mounted volume, unmount of a busy one). Trying later may work.
    Busy,
    /// Unmount: nothing of this mount id is mounted. For the caller that wanted it gone this is success.
    NotMounted,
    /// No driver of that name is installed on this host. The message lists the drivers that are installed.
    NotInstalled,
    /// The driver's address is known but must not or cannot be used as it stands: a socket or spec that others can
    /// write, a malformed spec, `tcp://` with TLS settings, an unreadable certificate. Nothing was sent.
    Misconfigured,
    /// The driver cannot be reached, or a call that changes nothing got no answer in time. Nothing was changed.
    Unreachable,
    /// The request was sent and no trustworthy answer came: it may or may not have been carried out, or still will be.
    /// Never repeated by this crate. For Mount: look at the mount table, then unmount.
    Uncertain,
    /// The volume's name has a character that the driver cannot handle ([`crate::Profile::unsupported_in_names`]). Nothing was
    /// sent.
    UnsupportedName,
    /// The driver has no such endpoint (old drivers lack Get, List or Capabilities). Nothing was done.
    Unsupported,
    /// The driver refused, in words that no table knows.
    Rejected,
    /// The answer is not one of this protocol (a redirect, a web page, broken JSON for a call that changes nothing).
    Protocol,
}

/// A failed call: one line that names the driver, its address, the volume, and the driver's own words.
///
/// Words of drivers are stripped of control characters and cut, so the line is safe to log.
#[derive(Clone)]
pub struct Error(Box<Details>);

#[derive(Clone)]
struct Details {
    kind: ErrorKind,
    operation: Operation,
    driver: String,
    endpoint: Option<String>,
    volume: Option<String>,
    words: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, operation: Operation, driver: &str, words: impl Into<String>) -> Error {
        Error(Box::new(Details {
            kind,
            operation,
            driver: clean(driver, NAME_LIMIT),
            endpoint: None,
            volume: None,
            words: words.into(),
        }))
    }

    pub(crate) fn at(mut self, endpoint: impl fmt::Display) -> Error {
        self.0.endpoint = Some(endpoint.to_string());
        self
    }

    pub(crate) fn about(mut self, volume: Option<&str>) -> Error {
        self.0.volume = volume.map(|name| clean(name, NAME_LIMIT));
        self
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Error {
        self.0.kind = kind;
        self
    }

    /// What the failure means for the caller.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable code of the failure: see [`ErrorKind::code`].
    pub fn code(&self) -> Code {
        self.0.kind.code()
    }

    /// The call that failed.
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// The driver's name.
    pub fn driver(&self) -> &str {
        &self.0.driver
    }

    /// The address that was used, when one was known.
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }

    /// The volume the call was about, when it was about one.
    pub fn volume(&self) -> Option<&str> {
        self.0.volume.as_deref()
    }

    /// The cause in its own words: the driver's, cleaned and cut, or the system's.
    pub fn words(&self) -> &str {
        &self.0.words
    }

    /// Whether the call may have been carried out although it failed.
    pub fn may_have_happened(&self) -> bool {
        self.0.kind == ErrorKind::Uncertain
    }
}

impl ErrorKind {
    /// The kind as one word, for programs: `not_found`, `uncertain` and so on.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "not_found",
            ErrorKind::AttachedElsewhere => "attached_elsewhere",
            ErrorKind::AlreadyExists => "already_exists",
            ErrorKind::AlreadyMounted => "already_mounted",
            ErrorKind::Busy => "busy",
            ErrorKind::NotMounted => "not_mounted",
            ErrorKind::NotInstalled => "not_installed",
            ErrorKind::Misconfigured => "misconfigured",
            ErrorKind::Unreachable => "unreachable",
            ErrorKind::Uncertain => "uncertain",
            ErrorKind::UnsupportedName => "unsupported_name",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Rejected => "rejected",
            ErrorKind::Protocol => "protocol",
        }
    }

    /// The stable code by which programs decide. Several kinds share one where a program does the same about them.
    pub fn code(self) -> Code {
        match self {
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::AttachedElsewhere => Code::AttachedElsewhere,
            ErrorKind::Busy | ErrorKind::AlreadyMounted => Code::Busy,
            ErrorKind::AlreadyExists | ErrorKind::NotMounted | ErrorKind::UnsupportedName => Code::Invalid,
            ErrorKind::NotInstalled | ErrorKind::Misconfigured | ErrorKind::Unreachable | ErrorKind::Protocol => {
                Code::Unreachable
            }
            ErrorKind::Uncertain => Code::Uncertain,
            ErrorKind::Unsupported => Code::Unsupported,
            ErrorKind::Rejected => Code::Denied,
        }
    }

    /// What the kind says in the middle of the one-line message.
    fn lead(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "the driver does not know this volume",
            ErrorKind::AttachedElsewhere => "the volume exists, but is attached to another host or is in another zone",
            ErrorKind::AlreadyExists => "a volume of that name exists",
            ErrorKind::AlreadyMounted => "already mounted under this mount id",
            ErrorKind::Busy => "the volume is in use",
            ErrorKind::NotMounted => "the volume is not mounted",
            ErrorKind::NotInstalled => "is not installed on this host",
            ErrorKind::Misconfigured => "the driver's address cannot be used",
            ErrorKind::Unreachable => "the driver cannot be reached",
            ErrorKind::Uncertain => "it may or may not have happened",
            ErrorKind::UnsupportedName => "nothing was sent",
            ErrorKind::Unsupported => "the driver does not offer this call",
            ErrorKind::Rejected => "the driver refused",
            ErrorKind::Protocol => "the answer is not of the volume plugin protocol",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details {
            kind,
            operation,
            driver,
            endpoint,
            volume,
            words,
        } = &*self.0;
        write!(f, "driver '{driver}'")?;
        if let Some(endpoint) = endpoint {
            write!(f, " at {endpoint}")?;
        }
        if *operation != Operation::Lookup {
            write!(f, ", {operation}")?;
            if let Some(volume) = volume {
                write!(f, " '{volume}'")?;
            }
        }
        // "driver 'x' is not installed on this host; found here: y" is one sentence about the driver itself.
        let (before, after) = match kind {
            ErrorKind::NotInstalled => (" ", "; "),
            _ => (": ", ": "),
        };
        write!(f, "{before}{}", kind.lead())?;
        if !words.is_empty() {
            write!(f, "{after}{words}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.0.kind)
    }
}

impl std::error::Error for Error {}
