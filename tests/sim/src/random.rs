//! The only source of chance: one seed, the same run.

/// SplitMix64: small, and good enough to make trouble.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The run of this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.any() % end
    }

    /// From `start` to `end`, without it.
    pub fn between(&mut self, start: u64, end: u64) -> u64 {
        start + self.below((end - start).max(1))
    }

    /// True this often in a hundred times.
    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// One of these; none of none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.below(of.len() as u64) as usize) }
    }
}
