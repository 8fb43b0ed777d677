//! The registration of processes on one CPU, while they and their agent die again and again.
//!
//! The registry is [`tif_core::machine::process::Registry`], and what a new agent makes of what the store remembers is [`tif_core::machine::fates`]; around
//! them are the admission (a key is durable before it is told), the store (one row for each name), the operating system and one watcher of all names.
//! A process that finds its link gone says its key again, or never does: an orphan that stays away. It dies at any time, also while no agent is there,
//! and the next life of the name has the same pid. Names are exact ones; names that the agent picks are left to the simulator.
//!
//! What is promised, in every world that can be reached:
//!
//! - a key never names two lives, a name keeps its number, and incarnations of a name grow, over all agents;
//! - a name is not given to another while its holder lives and has not left, and no key can be taken over with another's;
//! - nobody is said to be dead who lives, nor to have left who did not; nobody who is dead is taken for alive by a new agent;
//! - whoever lives and was told its key can go on with it after any number of agents;
//! - for each key the watcher is told one end, once, and nothing after it, and nothing of the next life before it;
//! - on each of its links the watcher hears of a birth before anything else of that life.
// spec: PSM-1, PSM-4, PSM-7, PSM-8, PSM-9, MON-7

mod step;
mod watcher;
mod world;

pub use step::Step;
pub use world::{Bounds, Office};
