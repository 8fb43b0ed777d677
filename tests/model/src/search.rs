//! Breadth first through all worlds.
//!
//! A world that was seen is remembered by 128 bits of a hash. With a hundred million worlds the chance that two share one is below 10⁻²².

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::{Duration, Instant};

/// Something that steps can be taken in.
pub trait World: Clone + Hash {
    /// A step, as a reader of a counterexample wants to see it.
    type Step: fmt::Display;

    /// The steps that may have an effect.
    fn steps(&self) -> Vec<Self::Step>;

    /// The world after a step; nothing if it cannot be taken or changes nothing.
    fn after(&self, step: &Self::Step) -> Option<Self>;

    /// What is wrong with this world, if anything.
    fn wrong(&self) -> Option<String>;
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Different worlds.
    pub states: usize,
    /// Steps between them.
    pub transitions: usize,
    /// The most steps that a world is away from the first.
    pub depth: usize,
    /// All worlds within the bounds of the first one were seen.
    pub exhausted: bool,
    /// What was found to be wrong, and the fewest steps there.
    pub counterexample: Option<(String, Vec<String>)>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.exhausted { "exhaustive" } else { "not exhaustive" };
        let Report { states, transitions, depth, took, .. } = self;
        write!(f, "{states:>10} states {transitions:>11} transitions  depth {depth:>3}  {end}  {:.1} s", took.as_secs_f64())
    }
}

/// Searches until something is wrong, nothing is left, or `states_max` worlds were seen.
pub fn search<W: World>(first: W, states_max: usize) -> Report {
    let began = Instant::now();
    let mut seen: HashSet<u128, BuildHasherDefault<Taken>> = HashSet::default();
    // For each world in the order of discovery: from which, by which of its steps.
    let mut came: Vec<(u32, u16)> = vec![(0, 0)];
    let mut layer = vec![(first.clone(), 0_u32)];
    let mut report = Report {
        states: 1,
        transitions: 0,
        depth: 0,
        exhausted: true,
        counterexample: first.wrong().map(|w| (w, Vec::new())),
        took: Duration::ZERO,
    };
    seen.insert(fingerprint(&first));
    'search: while !layer.is_empty() && report.counterexample.is_none() {
        let mut next = Vec::new();
        for (world, number) in std::mem::take(&mut layer) {
            for (at, step) in world.steps().iter().enumerate() {
                let Some(after) = world.after(step) else { continue };
                report.transitions += 1;
                if !seen.insert(fingerprint(&after)) {
                    continue;
                }
                came.push((number, u16::try_from(at).expect("a world has few steps")));
                let wrong = after.wrong();
                next.push((after, u32::try_from(came.len() - 1).expect("below the bound")));
                if let Some(wrong) = wrong {
                    report.depth += 1;
                    report.counterexample = Some((wrong, retrace(&first, &came)));
                    report.exhausted = false;
                    break 'search;
                }
                if came.len() >= states_max {
                    report.exhausted = false;
                    break 'search;
                }
            }
        }
        report.depth += usize::from(!next.is_empty());
        layer = next;
    }
    report.states = came.len();
    report.took = began.elapsed();
    report
}

/// The steps to the world that was discovered last.
fn retrace<W: World>(first: &W, came: &[(u32, u16)]) -> Vec<String> {
    let (mut at, mut choices) = (came.len() - 1, Vec::new());
    while at != 0 {
        choices.push(came[at].1);
        at = came[at].0 as usize;
    }
    let mut world = first.clone();
    let mut told = Vec::new();
    for choice in choices.into_iter().rev() {
        let step = world.steps().swap_remove(usize::from(choice));
        told.push(step.to_string());
        world = world.after(&step).expect("it was taken before");
    }
    told
}

fn fingerprint(world: &impl Hash) -> u128 {
    let mut mixer = Mixer { low: 0x9e37_79b9_7f4a_7c15, high: 0xc2b2_ae3d_27d4_eb4f };
    world.hash(&mut mixer);
    let finish = |x: u64| {
        let x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93) ^ (x >> 29)
    };
    u128::from(finish(mixer.high)) << 64 | u128::from(finish(mixer.low))
}

/// Two independent lanes of multiply and fold. The standard hasher gives 64 bits, which is too few for this many worlds.
struct Mixer {
    low: u64,
    high: u64,
}

impl Mixer {
    fn mix(&mut self, word: u64) {
        let fold = |x: u64, by: u64| {
            let wide = u128::from(x) * u128::from(by);
            (wide as u64) ^ ((wide >> 64) as u64)
        };
        self.low = fold(self.low ^ word, 0xa076_1d64_78bd_642f).wrapping_add(0xe703_7ed1_a0b4_28db);
        self.high = fold(self.high.rotate_left(23) ^ word.wrapping_mul(0x8ebc_6af0_9c88_c6e3), 0x5899_65cc_7537_4cc3).wrapping_add(word);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 56);
        }
    }
    fn write_u8(&mut self, n: u8) {
        self.mix(u64::from(n) | 1 << 40);
    }
    fn write_u16(&mut self, n: u16) {
        self.mix(u64::from(n) | 1 << 41);
    }
    fn write_u32(&mut self, n: u32) {
        self.mix(u64::from(n) | 1 << 42);
    }
    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }
    fn write_usize(&mut self, n: usize) {
        self.mix(n as u64);
    }
    fn finish(&self) -> u64 {
        self.low
    }
}

/// A fingerprint is a hash already.
#[derive(Default)]
struct Taken(u64);

impl Hasher for Taken {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are kept");
    }
    fn write_u128(&mut self, n: u128) {
        self.0 = n as u64;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
