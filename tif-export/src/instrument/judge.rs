//! Whether a change of a watched value is worth telling the agent.
// spec: INS-6

use tif_core::model::alarm::{Alarm, Limits};
use tif_core::model::{Descriptor, Significance};

use crate::Shown;

/// The declared significance and alarm limits of an instrument, read only while somebody watches it.
#[derive(Debug)]
pub struct Judge {
    significance: Significance,
    limits: Limits,
}

impl Judge {
    /// As declared.
    pub fn new(descriptor: &Descriptor) -> Box<Judge> {
        Box::new(Judge { significance: descriptor.significance, limits: descriptor.limits })
    }

    /// Whether going from `sent` to `new` matters, or may change the alarm state.
    ///
    /// How often is the agent's business: it has the clock.
    pub fn is_significant<T: Shown>(&self, sent: &T, new: &T) -> bool {
        let (sent, new) = (sent.to_value(), new.to_value());
        if self.significance.is_significant(&sent, &new) {
            return true;
        }
        match (sent.as_f64(), new.as_f64()) {
            (Some(sent), Some(new)) if !self.limits.is_empty() => {
                // The agent knows the present state; from whichever it is, a change of it must not be missed.
                [Alarm::Ok, Alarm::Warning, Alarm::Critical].iter().any(|s| self.limits.judge(*s, sent) != self.limits.judge(*s, new))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tif_core::model::significance::Threshold;

    // spec: INS-6, INS-10
    #[test]
    fn a_change_within_the_dead_band_that_crosses_a_limit_is_significant() {
        let band = Some(Threshold::Absolute(100.0));
        let judge = Judge {
            significance: Significance { up: band, down: band, ..Significance::ANY },
            limits: Limits { warn_above: Some(50.0), hysteresis: 5.0, ..Limits::default() },
        };
        assert!(!judge.is_significant(&10u64, &40));
        assert!(judge.is_significant(&49u64, &50));
        assert!(judge.is_significant(&50u64, &44), "the alarm may fall here");
        assert!(!judge.is_significant(&60u64, &70));
    }
}
