//! Measuring side by side: every figure of ours beside its baseline, from the same run, in interleaved rounds.
//!
//! Absolute times drift between machines and minutes; ratios within a round hold. So a case is told as the median over rounds of its ratio to its
//! baseline *in that round*, with the least and the greatest.

pub mod cells;
pub mod table;

pub use table::{Case, Table};

/// How much work a run does: `--short` for a look that only shows that it works.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Interleaved rounds.
    pub rounds: usize,
    /// Operations of one case in one round.
    pub operations: u64,
    /// Instruments, where many are made.
    pub instruments: u32,
}

impl Effort {
    /// Whether this is only a look that it works: nothing is to be judged by its figures.
    pub fn is_short(&self) -> bool {
        self.rounds < 100
    }

    /// From the command line: `--short` or nothing.
    pub fn from_arguments() -> Effort {
        match std::env::args().nth(1).as_deref() {
            Some("--short") => Effort { rounds: 21, operations: 20_000, instruments: 10_000 },
            // Short rounds, many of them: on a machine that others use, too, most rounds then run undisturbed.
            None => Effort { rounds: 201, operations: 100_000, instruments: 100_000 },
            Some(other) => {
                eprintln!("unknown argument {other}: there is only --short");
                std::process::exit(2);
            }
        }
    }
}
