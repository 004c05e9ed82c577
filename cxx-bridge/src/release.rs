//! What a container's launch understands in the running release of Mesos.

/// How binds are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binds {
    /// Until 1.4: commands that the launcher runs in the container's mount namespace. Later releases have them too, as
    /// deprecated.
    Commands,
    /// Since 1.5: mounts.
    Mounts,
}

impl Binds {
    /// Of Mesos 1.`minor`.
    pub(crate) fn of(minor: u32) -> Self {
        if minor < 5 { Self::Commands } else { Self::Mounts }
    }
}
