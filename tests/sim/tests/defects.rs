//! The checks can fail: what is deliberately wrong is found, and within so many seeds.

use tif_core::model::{Cause, Coarsen};
use tif_core::wire::Identity;
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
    check(Defect::DropWithdrawn, 20, &["marks", "convergence"]);
}

// spec: PSM-7
#[test]
fn reports_under_an_old_key_are_found_in_20_seeds() {
    check(Defect::ReplayOldKey, 20, &["convergence", "freshness"]);
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
