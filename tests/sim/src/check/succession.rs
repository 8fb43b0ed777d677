//! Before somebody is told to lead, the store knows of the end of whoever led before: an agent that started now would take a dead one for the primary still.
// spec: GRP-8, MON-7

use tif_core::model::{Epoch, Key, Name};

use super::{Verdict, wrong};

/// Of a service: `dead` are those whose death the agent has heard of, and who lead and live in what is durable.
pub fn on_promote(service: &Name, key: Key, epoch: Epoch, dead: &[Key]) -> Verdict {
    match dead.iter().find(|of| **of != key) {
        Some(before) => {
            wrong("succession", format!("{key} is to lead {service} in term {epoch}, and {before}, that is dead, leads in what is durable"))
        }
        None => Ok(()),
    }
}
