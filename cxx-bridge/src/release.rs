//! What a container's launch understands in the running release of Mesos.

/// How binds are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binds {
    /// Until 1.4: commands that the launcher runs in the container's mount namespace. Later releases have them too, as
    /// deprecated.
    Commands,
    /// 1.5 and 1.6: mounts. A target has to be there before the first of them, so one inside another bind takes commands.
    MountsOnWhatIsThere,
    /// Since 1.7: mounts, whose targets Mesos makes.
    Mounts,
}

impl Binds {
    /// Of Mesos 1.`minor`.
    pub(crate) fn of(minor: u32) -> Self {
        match minor {
            ..=4 => Self::Commands,
            5 | 6 => Self::MountsOnWhatIsThere,
            7.. => Self::Mounts,
        }
    }
}
