//! At most one primary at any time, and one per term.
// spec: GRP-8

use std::collections::BTreeMap;

use tif_core::model::{Epoch, Name};

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Primaries {
    in_office: BTreeMap<(Name, Epoch), usize>,
}

impl Primaries {
    /// A process believes to be primary from now on; `others` live and believe so, too.
    pub fn on_office(&mut self, service: &Name, epoch: Epoch, who: usize, others: &[usize]) -> Verdict {
        let first = *self.in_office.entry((service.clone(), epoch)).or_insert(who);
        if first != who {
            return wrong("primaries", format!("process {who} leads {service} in term {epoch}, as process {first} did"));
        }
        if !others.is_empty() {
            return wrong("primaries", format!("process {who} leads {service} in term {epoch} beside {others:?}"));
        }
        Ok(())
    }

    /// How many terms there were.
    pub fn count(&self) -> usize {
        self.in_office.len()
    }
}
