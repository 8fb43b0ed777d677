//! The checks can fail: what is deliberately wrong is found, and within so many seeds.

use tif_core::defects::Defect as Mutant;
use tif_core::model::{Cause, Coarsen};
use tif_core::wire::Identity;
use tif_sim::mutants::{Flights, Found, hunt};
use tif_sim::world::faults::Defect;
use tif_sim::world::{Weather, World, name};
use tif_sim::{Plan, run};

/// Flies until the defect is seen; by which of these checks, and within how many seeds.
fn check(defect: Defect, within: u64, by: &[&str]) {
    for seed in 0..within {
        if let Some(violation) = run(Plan { defect: Some(defect), ..Plan::of(seed) }).violation {
            assert!(by.contains(&violation.check), "{defect:?} was seen by another check, seed {seed}: {violation}");
            return;
        }
    }
    panic!("{defect:?} was not seen within {within} seeds");
}

// spec: SYN-7
#[test]
fn a_lost_withdrawal_is_found_in_20_seeds() {
    check(Defect::DropWithdrawn, 20, &["marks", "convergence", "freshness"]);
}

// spec: PSM-7
#[test]
fn reports_under_an_old_key_are_found_in_20_seeds() {
    check(Defect::ReplayOldKey, 20, &["convergence", "freshness", "reports"]);
}

// spec: SYN-4
#[test]
fn a_stale_clock_that_starts_anew_is_found_in_one_long_outage() {
    for (defect, seen) in [(None, None), (Some(Defect::RestartStaleClock), Some("staleness"))] {
        let mut world = World::new(1, Weather { still: true, defect, ..Weather::default() });
        let exporter = world.spawn_exporter(Identity::Exactly(name("cache-1")), "cache", false);
        let importer = world.spawn_importer(Identity::Exactly(name("imp-1")));
        world.run_ms(1000);
        world.subscribe(importer, "cache.**", Coarsen::default());
        world.run_ms(1000);
        world.end_process(exporter, Cause::Unknown);
        world.run_ms(60_000);
        assert_eq!(world.violation.map(|v| v.check), seen);
    }
}

// spec: PSM-1
#[test]
fn an_incarnation_used_again_is_found_in_20_seeds() {
    check(Defect::ReuseIncarnation, 20, &["keys", "ids", "notices", "deaths", "convergence"]);
}

// spec: CTL-3
#[test]
fn a_request_id_applied_twice_is_found_in_100_seeds() {
    check(Defect::ForgetChanges, 100, &["controls"]);
}

// spec: GRP-8
#[test]
fn a_term_with_two_primaries_is_found_in_50_seeds() {
    check(Defect::ForgetTerms, 50, &["primaries"]);
}

// spec: CTL-4, PSM-1
#[test]
fn an_answer_before_the_write_is_found_in_50_seeds() {
    check(Defect::AcknowledgeFailedWrites, 50, &["controls", "keys"]);
}

// spec: PSM-10
#[test]
fn a_living_process_said_to_be_dead_is_found_in_20_seeds() {
    check(Defect::FalseDeath, 20, &["deaths", "primaries", "freshness", "keys"]);
}

// spec: PSM-4
#[test]
fn a_notice_told_twice_is_found_in_50_seeds() {
    check(Defect::RepeatNotice, 50, &["notices"]);
}

// spec: MON-2
#[test]
fn a_watch_word_that_is_not_set_is_found_in_20_seeds() {
    check(Defect::ForgetWatch, 20, &["watches", "convergence"]);
}

// spec: OUT-2
#[test]
fn an_outage_that_nobody_is_told_of_is_found_in_20_seeds() {
    check(Defect::DropOutage, 20, &["outages", "freshness"]);
}

// spec: SRV-8
#[test]
fn the_dead_shown_as_fresh_are_found_in_20_seeds() {
    check(Defect::ShowDeadAsFresh, 20, &["freshness", "outages", "convergence"]);
}

// What is wrong with the agent's own code. `tif-sim mutants` looks for all of it; here is what takes few seeds.

/// Flies until the mutant is seen; by which of these checks, and within how many seeds.
fn see(mutant: Mutant, flights: Flights, within: u64, by: &[&str]) {
    match hunt(mutant, within, flights) {
        Found::Flying { check, what, seed, .. } => {
            assert!(by.contains(&check), "{mutant:?} was seen by another check, seed {seed}: {check}: {what}");
        }
        found => panic!("{mutant:?} was not seen within {within} seeds: {found:?}"),
    }
}

// spec: PSM-1, PSM-7, PSM-9, PSM-10
#[test]
fn what_is_wrong_with_keys_is_found() {
    see(Mutant::ReuseIncarnation, Flights::One, 100, &["keys"]);
    see(Mutant::ForgetAgentEpoch, Flights::One, 100, &["keys"]);
    see(Mutant::ForgetNumber, Flights::One, 100, &["keys"]);
    see(Mutant::ResumeTheDead, Flights::One, 100, &["notices", "keys", "convergence"]);
    see(Mutant::DeadAtLinkEnd, Flights::One, 100, &["deaths", "primaries", "notices"]);
}

// spec: PSM-4, OUT-2, MON-6
#[test]
fn what_is_told_twice_or_not_at_all_is_found() {
    see(Mutant::NoticeTwice, Flights::One, 100, &["notices"]);
    see(Mutant::CoalesceNotices, Flights::One, 100, &["notices"]);
    see(Mutant::CoalesceOutages, Flights::One, 100, &["outages"]);
    see(Mutant::TellOutageAgain, Flights::One, 100, &["outages"]);
}

// spec: MON-2, MON-3, MON-5
#[test]
fn interest_that_is_not_as_it_was_declared_is_found() {
    see(Mutant::DropLastWithdrawal, Flights::One, 100, &["watches"]);
    see(Mutant::KeepInterestOfGone, Flights::One, 100, &["watches"]);
    see(Mutant::ForgetWatches, Flights::One, 100, &["watches", "convergence"]);
}

// spec: INS-6, INS-7, INS-10
#[test]
fn a_value_that_should_have_gone_out_is_found() {
    see(Mutant::CompareWithSampled, Flights::One, 200, &["convergence"]);
    see(Mutant::LoseHeld, Flights::One, 200, &["convergence"]);
}

// spec: GRP-8, OUT-3, CTL-7
#[test]
fn a_wrong_primary_is_found() {
    see(Mutant::ElectInSameTerm, Flights::One, 100, &["primaries"]);
    see(Mutant::ElectNewcomer, Flights::One, 100, &["primaries", "convergence"]);
    see(Mutant::PromoteWithoutControls, Flights::System, 100, &["shared", "controls"]);
    see(Mutant::LaunchWithoutLimit, Flights::One, 300, &["launches"]);
}

// spec: CTL-3, CTL-4
#[test]
fn a_change_that_is_done_twice_or_too_early_is_found() {
    see(Mutant::ForgetDedupe, Flights::One, 100, &["controls"]);
    see(Mutant::AcceptBeforeDurable, Flights::One, 100, &["controls"]);
    see(Mutant::SkipLine, Flights::One, 100, &["controls"]);
}

// spec: GRP-8, GRP-9, FAB-2, FAB-5
#[test]
fn what_is_wrong_between_cpus_is_found() {
    see(Mutant::IgnoreVersionOffer, Flights::System, 100, &["versions"]);
    see(Mutant::SkipGap, Flights::System, 100, &["shared", "convergence"]);
    see(Mutant::MinorityDecides, Flights::System, 100, &["shared"]);
    see(Mutant::IgnoreHeld, Flights::System, 100, &["shared"]);
    see(Mutant::R1, Flights::System, 100, &["shared"]);
    see(Mutant::ConfirmBeforeDurable, Flights::System, 100, &["shared"]);
}

#[test]
fn no_crate_that_is_delivered_has_a_switch_for_defects() {
    let house = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = std::fs::read_to_string(house.join("Cargo.toml")).expect("the workspace");
    let members = root.split_once("members = [").and_then(|(_, rest)| rest.split_once(']')).expect("its members").0;
    let asks: Vec<&str> = members
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|member| {
            let manifest = std::fs::read_to_string(house.join(member).join("Cargo.toml")).expect("a manifest");
            manifest.lines().any(|line| line.contains("features") && line.contains("defects"))
        })
        .collect();
    assert_eq!(asks, ["tests/sim", "tests/model"]);
}

// spec: CTL-3, CTL-5, CTL-9
#[test]
fn an_answer_that_is_not_what_was_asked_is_found() {
    see(Mutant::HalveStep, Flights::One, 50, &["controls"]);
    see(Mutant::QueueOnce, Flights::One, 400, &["controls", "shared", "keeps"]);
    see(Mutant::NeverRevert, Flights::Both, 50, &["keeps"]);
    see(Mutant::IgnoreHold, Flights::Both, 100, &["keeps", "controls"]);
    see(Mutant::IgnoreGuard, Flights::Both, 100, &["keeps"]);
    see(Mutant::SettleUnwritten, Flights::One, 100, &["keeps", "controls"]);
    see(Mutant::SucceedUnwritten, Flights::One, 100, &["succession"]);
    for mutant in [Mutant::IgnoreVersion, Mutant::IgnoreValidator, Mutant::DoDryRun, Mutant::AnswerOfAnother] {
        let found = hunt(mutant, 40, Flights::Both);
        assert!(matches!(found, Found::Flying { check: "admissions", .. }), "{mutant:?}: {found:?}");
    }
}
