//! I18: each member of a group has a number, and no two have the same.
// spec: GRP-1, GRP-2

use std::collections::BTreeMap;

use super::{Verdict, wrong};
use crate::world::World;

/// When nothing happens any more, over all CPUs that speak with one another.
///
/// # Errors
/// If not.
pub fn look(worlds: &[&World]) -> Verdict {
    let mut taken = BTreeMap::new();
    for world in worlds {
        for who in world.living(|p| p.welcomed && !p.left) {
            let process = &world.processes[who];
            let Some(exporter) = process.exporter().filter(|e| e.grouped) else { continue };
            let Some(number) = exporter.number else {
                return wrong("numbers", format!("process {who} of {} is a member of {} without a number", world.cpu(), exporter.service));
            };
            if let Some(other) = taken.insert((&exporter.service, number), (world.cpu(), who)) {
                let service = &exporter.service;
                return wrong("numbers", format!("process {who} of {} is member {number} of {service}, as {other:?} is", world.cpu()));
            }
        }
    }
    Ok(())
}
