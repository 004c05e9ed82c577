//! The nine calls of the protocol, and which of them change something.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One call of the volume plugin protocol, or the lookup of a driver that comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// Finding the driver's address by its name. Nothing is sent.
    Lookup,
    /// `Plugin.Activate`: what the plugin implements.
    Activate,
    /// `VolumeDriver.Capabilities`: the scope of its volumes.
    Capabilities,
    /// `VolumeDriver.Get`: one volume.
    Get,
    /// `VolumeDriver.List`: all volumes.
    List,
    /// `VolumeDriver.Path`: where a volume is (or would be) mounted.
    Path,
    /// `VolumeDriver.Create`.
    Create,
    /// `VolumeDriver.Remove`.
    Remove,
    /// `VolumeDriver.Mount`.
    Mount,
    /// `VolumeDriver.Unmount`.
    Unmount,
}

impl Operation {
    /// Whether the call changes something at the driver, so that a lost answer leaves its outcome uncertain.
    pub fn is_mutating(self) -> bool {
        matches!(
            self,
            Operation::Create | Operation::Remove | Operation::Mount | Operation::Unmount
        )
    }

    /// The method as it stands in the request line, without the leading slash.
    pub fn method(self) -> &'static str {
        match self {
            Operation::Lookup => "",
            Operation::Activate => "Plugin.Activate",
            Operation::Capabilities => "VolumeDriver.Capabilities",
            Operation::Get => "VolumeDriver.Get",
            Operation::List => "VolumeDriver.List",
            Operation::Path => "VolumeDriver.Path",
            Operation::Create => "VolumeDriver.Create",
            Operation::Remove => "VolumeDriver.Remove",
            Operation::Mount => "VolumeDriver.Mount",
            Operation::Unmount => "VolumeDriver.Unmount",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Lookup => "lookup",
            Operation::Activate => "Activate",
            Operation::Capabilities => "Capabilities",
            Operation::Get => "Get",
            Operation::List => "List",
            Operation::Path => "Path",
            Operation::Create => "Create",
            Operation::Remove => "Remove",
            Operation::Mount => "Mount",
            Operation::Unmount => "Unmount",
        })
    }
}
