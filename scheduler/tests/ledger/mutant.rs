//! Faults that are planted between the ledger and the world, to show that the simulation would notice them.

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    None,
    /// A launch is made before its claim is on disk.
    LaunchBeforeDisk,
    /// An unreachable task is taken for a failed one.
    UnreachableIsFailed,
    /// An agent that the master has lost is taken for gone.
    LostAgentIsGone,
    /// An agent that is back is taken for one without tasks.
    AgentBackIsGone,
    /// The end of a task frees its volumes, as it frees the master's resources.
    EndIsFree,
    /// The end of a task is not reported.
    EndsUntold,
    /// The storage's answer counts from when it came, not from when it was asked.
    ListingFromArrival,
    /// What the storage has attached is not looked at.
    StorageNotAsked,
    /// Writers say that they read.
    WritersRead,
    /// Of several volumes only the first is claimed.
    FirstVolumeOnly,
    /// Tasks of other frameworks are not seen.
    OthersUnseen,
    /// After a crash the master's tasks count, and the file does not.
    SnapshotInsteadOfDisk,
    /// Volumes that the storage's listing omits are remembered as they were.
    DeletedAreRemembered,
    /// A listing of another source counts as one of this source.
    SourcesAreMixed,
    /// An empty listing counts as one in which every volume was deleted.
    EmptyIsDeleted,
    /// The storage does not tell of hosts that are no agents.
    ForeignHostsUnlisted,
    /// A lost folder is rebuilt without the tasks that the master cannot reach.
    RebuiltWithoutUnreachable,
}

impl Mutant {
    pub(crate) const PLANTED: [Mutant; 17] = [
        Mutant::LaunchBeforeDisk,
        Mutant::UnreachableIsFailed,
        Mutant::LostAgentIsGone,
        Mutant::AgentBackIsGone,
        Mutant::EndIsFree,
        Mutant::EndsUntold,
        Mutant::ListingFromArrival,
        Mutant::StorageNotAsked,
        Mutant::WritersRead,
        Mutant::FirstVolumeOnly,
        Mutant::OthersUnseen,
        Mutant::SnapshotInsteadOfDisk,
        Mutant::RebuiltWithoutUnreachable,
        Mutant::DeletedAreRemembered,
        Mutant::SourcesAreMixed,
        Mutant::EmptyIsDeleted,
        Mutant::ForeignHostsUnlisted,
    ];
}
