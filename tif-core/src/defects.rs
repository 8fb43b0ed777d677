//! Deliberate defects of this crate's own code, to show that the checks can fail.
//!
//! A vaccination: a known illness is let in, on purpose and one at a time, and the body must notice. Each name below is one thing that the machines or
//! the agent then do wrong; where it is done wrong is one line that asks `defect`. What is wrong with the world around an agent is not here but in the
//! simulator (`tif_sim::world::faults`).
//!
//! In a build without the feature `defects` there is nothing to switch: `defect` is a constant, and what asks it compiles to nothing. With the feature a
//! defect is there only inside of `with`, on that thread. `tif-sim mutants` prints what finds each; `tif-model --defects` does so for the rules of the replication.

macro_rules! defects {
    ($($room:literal: $($(#[doc = $doc:literal])+ $name:ident,)+)+) => {
        /// What is done wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Defect {
            $($($(#[doc = $doc])+ $name,)+)+
        }

        #[cfg(any(test, feature = "defects"))]
        impl Defect {
            /// All of them.
            pub const ALL: &[Defect] = &[$($(Defect::$name,)+)+];

            /// The room of the house in which it is done wrong.
            pub const fn room(self) -> &'static str {
                match self {
                    $($(Defect::$name => $room,)+)+
                }
            }

            /// What is done wrong, in words.
            pub const fn what(self) -> &'static str {
                match self {
                    $($(Defect::$name => concat!($($doc),+),)+)+
                }
            }
        }
    };
}

defects! {
    "process":
    /// A process that registers gets no incarnation of its own: it gets the last that was given out.
    ReuseIncarnation,
    /// Incarnations do not tell the agent's lives apart.
    ForgetAgentEpoch,
    /// A name that registers again gets another number.
    ForgetNumber,
    /// A name is given to whoever asks for it, though its holder lives.
    TakeNameFromLiving,
    /// Whoever names a key may resume with it.
    ResumeAsAnother,
    /// One that is dead may resume with its key.
    ResumeTheDead,
    /// One that the other CPUs were told to be dead may resume with its key.
    ResumePresumedDead,
    /// Who asks for a process that has not said that it is ready is told that it is born.
    BornBeforeReady,
    /// A process that outlived its agent counts as dead when the next one starts.
    BuryOrphan,
    /// A process that died while no agent was there counts as living when the next one starts.
    RaiseDead,
    /// A process that took its leave and runs on counts as living when the next agent starts.
    ForgetEnd,
    /// A message under a key that is not current is taken for one of the process.
    TakeStaleSender,
    /// When the link to a process ends it is said to be dead.
    DeadAtLinkEnd,
    /// Every notice is told twice.
    NoticeTwice,
    "detector":
    /// Who has just been away judges the silence of the others.
    JudgeAfterPause,
    /// That others hear a silent one does not help it.
    IgnoreVouching,
    /// When all vanish at once, all are declared down.
    NoIsolation,
    /// Who was away again and again judges as quickly as ever.
    IgnoreOwnHealth,
    /// A life that was given up is heard again.
    HearTheDown,
    /// A life that others gave up goes on.
    KeepGivenUpLife,
    "link":
    /// A message that comes twice is delivered twice.
    TakeRepeated,
    /// A message that comes early is delivered, and those before it never.
    SkipGap,
    /// What was sent on a stream that is over is delivered on the next.
    TakeOldStream,
    "peers":
    /// What was sent to an earlier life of this agent is taken for something said to this one.
    TakeOtherLife,
    /// Whoever comes is spoken with, whatever it speaks.
    IgnoreVersionOffer,
    /// A CPU that is silent is said to have dead processes.
    SilenceIsDeath,
    /// What ran on a CPU that is down is not lost.
    KeepWhatIsDown,
    /// A primary whose term is over is listened to.
    FollowDeposed,
    "interest":
    /// The last withdrawal does not go out.
    DropLastWithdrawal,
    /// The second declaration goes out as the first did.
    DeclareTwice,
    /// The first of several withdrawals goes out as the last does.
    WithdrawTooEarly,
    /// Who is gone goes on being interested.
    KeepInterestOfGone,
    "propagation":
    /// A value is compared with the one last seen, not with the one last sent.
    CompareWithSampled,
    /// A change of quality alone does not go out.
    IgnoreQuality,
    /// A change of the alarm state alone does not go out.
    IgnoreAlarm,
    /// A value that was held back is forgotten.
    LoseHeld,
    /// Of two subscriptions of one importer the coarser holds.
    CoarserWins,
    "queue":
    /// A notice takes the place of one about the same process that waits.
    CoalesceNotices,
    /// An outage that is over before it was told is not told at all.
    CoalesceOutages,
    /// What gave its place to something newer is not counted.
    LossNotCounted,
    /// A value of the next life takes the place of one of the life before.
    OvertakeNotice,
    "sync":
    /// Each loss dates all that is stale anew.
    RestartStaleClock,
    /// A mark that does not fit ends the sync all the same.
    SweepOnMismatch,
    /// The end mark of another life ends the sync.
    EndOfOtherLife,
    /// Records of another life are taken.
    RecordOfOtherLife,
    /// What an earlier life confirmed is fresh as soon as any life sends.
    ReviveStale,
    /// When something has been stale for too long, the fresh goes with it.
    ExpireFresh,
    /// Nothing is ever cleared for being stale.
    KeepExpired,
    /// That a life is over ends what its successor has begun to send.
    LoseSuccessor,
    "group":
    /// A new primary leads in the term of the last.
    ElectInSameTerm,
    /// A newcomer is elected, though somebody leads.
    ElectNewcomer,
    /// A member that cannot be told anything is elected.
    ElectUnready,
    /// That somebody has taken over counts in whatever term it says so.
    SkipEpochCheck,
    /// Somebody is told to lead before that is durable.
    PromoteBeforeDurable,
    /// Somebody is told to lead without the controls that were accepted.
    PromoteWithoutControls,
    /// Somebody succeeds a primary of whose end the store does not know.
    SucceedUnwritten,
    "admission":
    /// A member of a group holds a number without a word to the others.
    HoldUnasked,
    /// Who claims a number goes on whoever else claims the same.
    IgnoreClaim,
    /// Of two members that hold the same number neither looks for another.
    KeepSharedNumber,
    "heartbeat":
    /// Whoever misses too many heartbeats is given up without a probe.
    GiveUpUnprobed,
    /// Nobody is given up for silence.
    NeverGiveUp,
    /// That somebody is presumed dead is told before it is durable.
    TellPresumedEarly,
    /// An agent that starts does not listen to those on other kernels that it knows from before.
    ForgetToListen,

    "handover":
    /// The successor is told to lead before the primary has let go.
    LeadBeforeLetGo,
    /// The last values of who has let go are not read.
    LoseLastValues,
    /// Importers are not told that the exporter before has handed over.
    StaleAtHandover,
    /// Changes of controls are accepted while nobody leads.
    AcceptWhileHandingOver,
    "takeover":
    /// Launches are not limited.
    LaunchWithoutLimit,
    /// A child that is under way is not waited for.
    LaunchAgain,
    /// One that took its leave is replaced.
    ReplaceWhoLeft,
    "outages":
    /// The last values of a lost exporter of another CPU, sent once more, are taken for its return.
    ReviveByLastValues,
    /// An importer is told of an outage as often as it asks.
    TellOutageAgain,
    /// That an outage is over is told before the successor's values.
    EndOutageEarly,
    /// The successor's board does not say what is watched.
    ForgetWatches,
    "controls":
    /// A request that comes again is done again.
    ForgetDedupe,
    /// A change is accepted before it is durable.
    AcceptBeforeDurable,
    /// Which version was expected does not matter.
    IgnoreVersion,
    /// A request id is answered with what it stood for, whatever is asked under it now.
    AnswerOfAnother,
    /// What the service's validator says does not matter.
    IgnoreValidator,
    /// Changes of one control do not wait for each other.
    SkipLine,
    /// A dry run is done.
    DoDryRun,
    /// Of a step of several controls the first only is put on the board.
    HalveStep,
    /// A step waits in the line of its first control only.
    QueueOnce,
    /// A change that is to be confirmed is never taken back for want of time.
    NeverRevert,
    /// A change that ends with its session outlives it.
    OutliveSession,
    /// The indicator that guards a change is not heeded.
    IgnoreGuard,
    /// That a change is confirmed, or taken back, holds before it is durable.
    SettleUnwritten,
    /// A control that waits for its confirmation is changed by others.
    IgnoreHold,
    "calls":
    /// A call whose id is known is made again.
    CallAgain,
    /// A procedure is called before its call is in the journal.
    CallBeforeDurable,
    /// What became of a call is told before it is in the journal.
    AnswerUnwritten,
    /// What was accepted of a request is taken for one's own attempt.
    AnswerOwnAttempt,
    /// Of a service that several CPUs keep, calls are in the journal of one.
    JournalAlone,
    /// Of a change that other CPUs have not confirmed it is said that nobody will ever know.
    DoubtChanges,
    "witness":
    /// A voter forgets what it has promised.
    ForgetPromise,
    /// One voter is enough.
    MinorityDecides,
    /// A voter answers before its vote is durable.
    AnswerBeforeDurable,
    /// What voters hold already is not proposed again.
    IgnoreHeld,
    "replication":
    /// R1: who leads answers before the others have it.
    R1,
    /// R2: who cannot be reached is not waited for, though it is in sync.
    R2,
    /// R3: who is not in sync takes over.
    R3,
    /// R4: another store of a CPU that was in sync takes over.
    R4,
    /// R5: what a leader of an earlier term sends is taken.
    R5,
    /// R6: the answers do not travel with the log.
    R6,
    /// R7: who joins is in sync with less than the leader's log.
    R7,
    /// R8: an older log takes the place of a longer one.
    R8,
    /// R9: what was sent to another store of this CPU is taken.
    R9,
    /// Changes are taken before it is known what was accepted in earlier terms.
    LeadUnestablished,
    /// A follower confirms what is not durable.
    ConfirmBeforeDurable,
}

/// Whether something is deliberately done wrong.
#[cfg(not(any(test, feature = "defects")))]
pub(crate) const fn defect(_: Defect) -> bool {
    false
}

#[cfg(any(test, feature = "defects"))]
pub(crate) use switch::defect;
#[cfg(any(test, feature = "defects"))]
pub use switch::with;

#[cfg(any(test, feature = "defects"))]
mod switch {
    use std::cell::Cell;

    use super::Defect;

    thread_local! {
        /// One thread runs one simulation.
        static PRESENT: Cell<Option<Defect>> = const { Cell::new(None) };
    }

    /// Whether something is deliberately done wrong.
    pub(crate) fn defect(defect: Defect) -> bool {
        PRESENT.get() == Some(defect)
    }

    /// Does something with a defect, or with none.
    pub fn with<T>(defect: Option<Defect>, run: impl FnOnce() -> T) -> T {
        /// Also if it panics.
        struct Restore(Option<Defect>);
        impl Drop for Restore {
            fn drop(&mut self) {
                PRESENT.set(self.0);
            }
        }
        let _restore = Restore(PRESENT.replace(defect));
        run()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_there_while_it_is_asked_for_and_no_longer() {
        assert!(!defect(Defect::ForgetDedupe));
        with(Some(Defect::ForgetDedupe), || {
            assert!(defect(Defect::ForgetDedupe) && !defect(Defect::NoticeTwice));
            with(None, || assert!(!defect(Defect::ForgetDedupe)));
            assert!(defect(Defect::ForgetDedupe));
        });
        let thrown = std::panic::catch_unwind(|| with(Some(Defect::NoticeTwice), || panic!("as a check would")));
        assert!(thrown.is_err() && !defect(Defect::NoticeTwice));
    }
}
