//! The scenarios that a debug build can search, and that each rule is needed.

use tif_core::defects::Defect;
use tif_model::register::Flaw;
use tif_model::scenarios::{self, ALL};

// spec: CTL-3, CTL-4, GRP-8, GRP-9, SYN-1, SYN-3, SYN-4, SYN-7, PSM-1, PSM-4, PSM-7, PSM-8, MON-7, GRP-1, GRP-2
#[test]
fn nothing_that_must_not_be_can_be_reached() {
    for scenario in ALL.iter().filter(|s| s.quick) {
        let report = scenario.search(usize::MAX);
        assert!(report.exhausted && report.counterexample.is_none(), "{}: {report:#?}", scenario.name);
        assert!(report.states > 10_000, "{}: a world in which little can happen proves little: {report}", scenario.name);
    }
}

fn check(rule: Defect, steps: usize, wrong: &str) {
    let report = scenarios::without(rule);
    let (found, way) = report.and_then(|report| report.counterexample).unwrap_or_else(|| panic!("{rule:?} is not missed"));
    assert!(found.contains(wrong), "{rule:?}: {found}");
    assert_eq!(way.len(), steps, "{rule:?}: {way:#?}");
}

// spec: CTL-3, CTL-4, GRP-8, GRP-9
#[test]
fn each_rule_is_missed_when_it_is_taken_away() {
    check(Defect::R1, 9, "is lost");
    check(Defect::R2, 10, "both can acknowledge");
    check(Defect::R3, 3, "both can acknowledge");
    check(Defect::R4, 5, "is lost");
    check(Defect::R5, 12, "twice");
    check(Defect::R6, 2, "was answered with version");
    check(Defect::R7, 7, "is lost");
    check(Defect::R8, 11, "is lost");
    check(Defect::R9, 12, "is lost");
}

// spec: SYN-1, SYN-3, SYN-4, SYN-7
#[test]
fn each_error_of_a_consumer_is_found() {
    check(Defect::RestartStaleClock, 12, "longer than its limit");
    check(Defect::SweepOnMismatch, 7, "does not hold what the source has");
    check(Defect::EndOfOtherLife, 11, "no living source said");
    check(Defect::RecordOfOtherLife, 9, "longer than its limit");
    check(Defect::ReviveStale, 9, "no living source said");
    check(Defect::ExpireFresh, 13, "is not fresh");
    check(Defect::KeepExpired, 9, "longer than its limit");
    check(Defect::LoseSuccessor, 8, "is not fresh");
}

// spec: PSM-1, PSM-4, PSM-7, PSM-8, PSM-9, MON-7
#[test]
fn each_error_of_a_registry_is_found() {
    check(Defect::ReuseIncarnation, 4, "is given out after");
    check(Defect::ForgetAgentEpoch, 6, "is given out twice");
    check(Defect::ForgetNumber, 6, "a number is a name's own");
    check(Defect::TakeNameFromLiving, 4, "whose holder lives");
    check(Defect::ResumeAsAnother, 5, "takes the key of");
    check(Defect::ResumeTheDead, 6, "goes on after its end");
    check(Defect::BuryOrphan, 6, "cannot go on");
    check(Defect::RaiseDead, 5, "takes it for alive");
    check(Defect::ForgetEnd, 6, "is said to live");
}

// spec: GRP-1, GRP-2
#[test]
fn each_error_of_members_that_find_their_numbers_is_found() {
    check(Defect::HoldUnasked, 4, "the same number");
    check(Defect::IgnoreClaim, 18, "the same number");
    check(Defect::KeepSharedNumber, 6, "the same number");
}

// spec: GRP-9
#[test]
fn voters_that_forget_are_found() {
    for flaw in Flaw::ALL {
        let report = scenarios::with(flaw);
        let (wrong, _) = report.counterexample.unwrap_or_else(|| panic!("{flaw:?} is not found"));
        assert!(wrong.contains("goes back"), "{flaw:?}: {wrong}");
    }
}
