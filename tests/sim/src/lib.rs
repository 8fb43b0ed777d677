//! One CPU of TIF, simulated: the real agent, in a world of modelled processes, connections and a store.
//!
//! Think of a flight simulator: the aircraft's computer is the real one, everything that it sees is made up, and the weather is decided by one
//! number. `world` is what is made up; `check` looks on and knows the truth independently; `run` flies one seed: trouble first, then calm, in
//! which everything must come right. `mutants` shows that what is wrong is seen.
#![forbid(unsafe_code)]

pub mod acts;
pub mod check;
pub mod load;
pub mod mutants;
mod random;
mod run;
pub mod shrink;
pub mod story;
pub mod system;
pub mod world;

pub use random::Random;
pub use run::{Film, Outcome, Plan, film, film_again, run, run_system, system_of, world_of};
