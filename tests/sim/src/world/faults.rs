//! Deliberate defects of the world, to show that the checks see them.

/// What this world does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Every third message that withdraws instruments is lost.
    DropWithdrawn,
    /// Reports of a process that is dead are delivered once more after its successor's.
    ReplayOldKey,
    /// An importer dates what is stale anew every few seconds.
    RestartStaleClock,
    /// The agent's epoch does not grow with its start.
    ReuseIncarnation,
    /// A restarted agent is not told which changes were done.
    ForgetChanges,
    /// A restarted agent is not told the terms.
    ForgetTerms,
    /// Failed writes are reported as done.
    AcknowledgeFailedWrites,
    /// A living process is reported dead.
    FalseDeath,
    /// Every fifth notice is delivered twice.
    RepeatNotice,
    /// Every fifth watch word is not set.
    ForgetWatch,
    /// An importer is not told of every second outage.
    DropOutage,
    /// An importer does not mark what is lost.
    ShowDeadAsFresh,
}

impl Defect {
    /// All of them.
    pub const ALL: [Defect; 12] = [
        Defect::DropWithdrawn,
        Defect::ReplayOldKey,
        Defect::RestartStaleClock,
        Defect::ReuseIncarnation,
        Defect::ForgetChanges,
        Defect::ForgetTerms,
        Defect::AcknowledgeFailedWrites,
        Defect::FalseDeath,
        Defect::RepeatNotice,
        Defect::ForgetWatch,
        Defect::DropOutage,
        Defect::ShowDeadAsFresh,
    ];
}
