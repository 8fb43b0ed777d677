//! A planned handover: the primary lets go, a standby takes up, and nobody who looks on sees a gap.
//!
//! A relay race: the baton changes hands inside the zone, and who is too slow drops out of it. Between two hands the baton is nobody's, so all that can go
//! wrong is named here:
//!
//! | phase | event | then |
//! |---|---|---|
//! | letting go | the primary has let go, in its term | its last values are read |
//! | letting go | not in time, or its link is lost | it is deposed as if it had been lost, and the successor is elected |
//! | letting go, reading | the primary has ended | nothing is left to hand over: the group succeeds it as after any loss |
//! | letting go, reading | the successor cannot be told any more | another ready one takes its place; none: it is given back, in the next term |
//! | reading | read, or not in time | the successor is elected in the next term |
//! | reading | the primary's link is lost | as when letting go |
//! | taking up | the successor leads, in that term | done |
//! | taking up | not in time, not durable, or either has ended | broken off: the source is in an outage from now on, and ends it as any |
//!
//! From the coordinated takeover of process pairs: the old one stops before the new one begins, and the term fences whoever did not hear of it.
// spec: OUT-5, GRP-5, GRP-6, GRP-8

use crate::model::{Epoch, Key};

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The primary was told to let go.
    LettingGo,
    /// It has, and its last values are being read.
    Reading,
    /// The successor is elected in this term; none before that is so.
    TakingUp(Option<Epoch>),
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Read the last values of the old primary.
    Read,
    /// Elect this one in the next term; the old primary has let go.
    Elect(Key),
    /// Depose the old primary as if it had been lost, then elect this one.
    Depose(Key),
    /// It is over and nobody has let go, or the end of the old primary says all: nothing is to be undone.
    Drop,
    /// It is over, and the source has nobody: it is in an outage.
    Break,
    /// It is over: the successor leads.
    Done,
    /// It is over: the old primary leads again, in a later term.
    GivenBack,
}

/// One handover of one group.
#[derive(Clone, Debug)]
pub struct Handover {
    from: Key,
    to: Key,
    term: Epoch,
    phase: Phase,
    deposed: bool,
}

impl Handover {
    /// `from`, primary in this term, is told to let go, for `to` to lead.
    pub fn new(from: Key, to: Key, term: Epoch) -> Handover {
        Handover { from, to, term, phase: Phase::LettingGo, deposed: false }
    }

    /// Who leads until then.
    pub fn from(&self) -> Key {
        self.from
    }

    /// Who is to lead; the old primary itself while it is given back.
    pub fn to(&self) -> Key {
        self.to
    }

    /// In which term the old primary led.
    pub fn term(&self) -> Epoch {
        self.term
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the old primary did not let go and was deposed.
    pub fn is_deposed(&self) -> bool {
        self.deposed
    }

    /// A process says that it has let go of this term.
    pub fn on_let_go(&mut self, key: Key, term: Epoch) -> Step {
        if self.phase != Phase::LettingGo || key != self.from || term != self.term {
            return Step::Wait;
        }
        self.phase = Phase::Reading;
        Step::Read
    }

    /// The last values are read.
    pub fn on_read(&mut self) -> Step {
        if self.phase != Phase::Reading {
            return Step::Wait;
        }
        self.phase = Phase::TakingUp(None);
        Step::Elect(self.to)
    }

    /// The successor is elected in this term.
    pub fn on_elected(&mut self, term: Epoch) {
        self.phase = Phase::TakingUp(Some(term));
    }

    /// A process says that it leads, and that counts.
    pub fn on_promoted(&self, key: Key, term: Epoch) -> Step {
        match self.phase {
            Phase::TakingUp(Some(elected)) if key == self.to && term == elected => {
                if self.to == self.from {
                    Step::GivenBack
                } else {
                    Step::Done
                }
            }
            _ => Step::Wait,
        }
    }

    /// The link to a process is lost, and it may live. `other`: a standby that could take the successor's place.
    pub fn on_link_lost(&mut self, key: Key, other: Option<Key>) -> Step {
        match self.phase {
            // What it answered may be lost with its link, and it would be told on the next that it leads: so that is over first.
            Phase::LettingGo | Phase::Reading if key == self.from => self.depose(),
            Phase::LettingGo | Phase::Reading if key == self.to => {
                self.to = other.unwrap_or(self.from);
                Step::Wait
            }
            _ => Step::Wait,
        }
    }

    /// A process has ended or has taken its leave.
    pub fn on_ended(&mut self, key: Key, other: Option<Key>) -> Step {
        match self.phase {
            Phase::LettingGo | Phase::Reading if key == self.from => Step::Drop,
            Phase::LettingGo | Phase::Reading => self.on_link_lost(key, other),
            // Of the old primary its own end is told; of a deposed one there is an outage already.
            Phase::TakingUp(_) if key == self.from && !self.deposed => Step::Drop,
            Phase::TakingUp(_) if key == self.to => Step::Break,
            Phase::TakingUp(_) => Step::Wait,
        }
    }

    /// What was waited for has not come in time.
    pub fn on_overdue(&mut self) -> Step {
        match self.phase {
            Phase::LettingGo => self.depose(),
            Phase::Reading => self.on_read(),
            Phase::TakingUp(_) => Step::Break,
        }
    }

    fn depose(&mut self) -> Step {
        if self.to == self.from {
            // There is nobody to lead in its place. Should it let go yet, it is told to lead again.
            return Step::Drop;
        }
        self.deposed = true;
        self.phase = Phase::TakingUp(None);
        Step::Depose(self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Incarnation, NodeId, ProcId};

    fn key(n: u32) -> Key {
        Key { node: NodeId(1), proc: ProcId(u64::from(n)), inc: Incarnation::new(1, n) }
    }

    fn handover() -> Handover {
        Handover::new(key(1), key(2), Epoch(4))
    }

    fn reading() -> Handover {
        let mut h = handover();
        assert_eq!(h.on_let_go(key(1), Epoch(4)), Step::Read);
        h
    }

    fn taking_up() -> Handover {
        let mut h = reading();
        assert_eq!(h.on_read(), Step::Elect(key(2)));
        h.on_elected(Epoch(5));
        h
    }

    // spec: OUT-5, GRP-5
    #[test]
    fn the_successor_is_elected_when_the_primary_has_let_go_and_was_read_and_not_before() {
        let mut h = handover();
        assert_eq!(h.on_read(), Step::Wait);
        assert_eq!(h.on_let_go(key(2), Epoch(4)), Step::Wait, "it has nothing to let go of");
        assert_eq!(h.on_let_go(key(1), Epoch(3)), Step::Wait, "that term is over");
        assert_eq!(h.on_let_go(key(1), Epoch(4)), Step::Read);
        assert_eq!(h.on_let_go(key(1), Epoch(4)), Step::Wait, "once");
        assert_eq!(h.on_promoted(key(2), Epoch(5)), Step::Wait);
        assert_eq!(h.on_read(), Step::Elect(key(2)));
        h.on_elected(Epoch(5));
        assert_eq!((h.on_promoted(key(1), Epoch(5)), h.on_promoted(key(2), Epoch(4))), (Step::Wait, Step::Wait));
        assert_eq!((h.on_promoted(key(2), Epoch(5)), h.is_deposed()), (Step::Done, false));
    }

    // spec: OUT-5, GRP-6
    #[test]
    fn who_does_not_let_go_in_time_or_loses_its_link_is_deposed() {
        let (mut late, mut lost, mut lost_later) = (handover(), handover(), reading());
        assert_eq!(late.on_overdue(), Step::Depose(key(2)));
        assert_eq!(lost.on_link_lost(key(1), None), Step::Depose(key(2)));
        assert_eq!(lost_later.on_link_lost(key(1), None), Step::Depose(key(2)));
        assert_eq!((late.on_let_go(key(1), Epoch(4)), late.is_deposed()), (Step::Wait, true));
        late.on_elected(Epoch(5));
        assert_eq!(late.on_ended(key(1), None), Step::Wait, "its outage has begun");
        assert_eq!(late.on_promoted(key(2), Epoch(5)), Step::Done);
    }

    // spec: OUT-5
    #[test]
    fn a_successor_that_is_lost_before_it_is_elected_has_another_in_its_place_or_it_is_given_back() {
        for mut h in [handover(), reading()] {
            let letting_go = h.phase() == Phase::LettingGo;
            assert_eq!(h.on_ended(key(2), Some(key(3))), Step::Wait);
            assert_eq!((h.to(), h.on_link_lost(key(3), None)), (key(3), Step::Wait));
            if letting_go {
                assert_eq!(h.clone().on_overdue(), Step::Drop, "nobody could lead in its place");
                assert_eq!(h.on_let_go(key(1), Epoch(4)), Step::Read);
            }
            assert_eq!(h.on_overdue(), Step::Elect(key(1)));
            h.on_elected(Epoch(5));
            assert_eq!(h.on_promoted(key(1), Epoch(5)), Step::GivenBack);
        }
    }

    // spec: OUT-5, OUT-2
    #[test]
    fn whatever_ends_while_nobody_leads_breaks_it_off() {
        assert_eq!(handover().on_ended(key(1), None), Step::Drop);
        assert_eq!(reading().on_ended(key(1), None), Step::Drop);
        assert_eq!(taking_up().on_ended(key(1), None), Step::Drop, "its end is an outage by itself");
        assert_eq!(taking_up().on_ended(key(2), Some(key(3))), Step::Break);
        assert_eq!(taking_up().on_ended(key(3), None), Step::Wait);
        assert_eq!(taking_up().on_link_lost(key(1), None), Step::Wait, "it has nothing more to say");
        assert_eq!(taking_up().on_overdue(), Step::Break);
    }
}
