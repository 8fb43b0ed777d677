//! At most five launches in ten seconds.
// spec: OUT-3

use std::collections::VecDeque;

use tif_core::machine::takeover::{BUCKET, BUCKET_PERIOD};
use tif_core::model::Name;

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Launches {
    recent: VecDeque<u64>,
}

impl Launches {
    /// A new agent does not know of the launches of the old one.
    pub fn on_agent_start(&mut self) {
        self.recent.clear();
    }

    /// The agent orders a launch.
    pub fn on_launch(&mut self, service: &Name, now: u64) -> Verdict {
        let period = BUCKET_PERIOD.as_nanos() as u64;
        self.recent.retain(|at| now < at + period);
        self.recent.push_back(now);
        if self.recent.len() > BUCKET {
            return wrong("launches", format!("{service} is the launch number {} in ten seconds", self.recent.len()));
        }
        Ok(())
    }
}
