//! Log-linear histograms: buckets whose width is a sixteenth of their octave, so that any value is known to about 3 %.
//!
//! The layout is that of HdrHistogram's counts array and of OpenTelemetry's exponential histogram at scale 4, without their allocation:
//! values below 16 have a bucket each; above, each power of two is cut in 16. Two histograms merge by adding bucket to bucket.
// spec: INS-3

use serde::{Deserialize, Serialize};

/// log2 of the buckets in one octave.
pub const SUB_BITS: u32 = 4;
const SUB: u64 = 1 << SUB_BITS;
/// Values from this power of two on share the last bucket. In nanoseconds: 78 hours.
pub const EXPONENT_MAX: u32 = 48;
/// How many buckets there are.
pub const BUCKETS: usize = ((EXPONENT_MAX - SUB_BITS + 1) as usize) * SUB as usize;

/// The bucket of a value. One count-leading-zeros and a shift.
#[inline]
pub fn bucket_of(value: u64) -> usize {
    if value < SUB {
        return value as usize;
    }
    let value = if value >= 1 << EXPONENT_MAX { (1 << EXPONENT_MAX) - 1 } else { value };
    let exponent = 63 - value.leading_zeros();
    let shift = exponent - SUB_BITS;
    // In octave `exponent` the top SUB_BITS + 1 bits run from SUB to 2 * SUB - 1.
    ((u64::from(shift) << SUB_BITS) + (value >> shift)) as usize
}

/// The values of bucket `index`: first, and first of the next. An index that is none (from a stranger) counts as the last.
pub fn bounds_of(index: usize) -> (u64, u64) {
    let index = index.min(BUCKETS - 1) as u64;
    if index < SUB {
        return (index, index + 1);
    }
    let shift = (index >> SUB_BITS) - 1;
    let mantissa = index - (shift << SUB_BITS);
    (mantissa << shift, (mantissa + 1) << shift)
}

/// What a histogram holds at one moment.
///
/// `count` is the sum over the buckets. Values are whole numbers of the instrument's smallest step: nanoseconds for a histogram in
/// seconds; `scale` turns them into the declared unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// What one step is in the declared unit: 1e-9 for a histogram in seconds that records nanoseconds.
    pub scale: f64,
    /// How many values were recorded.
    pub count: u64,
    /// Their sum, in steps; wraps after 2^64.
    pub sum: u64,
    /// Non-empty buckets: index and count, in order of index.
    pub buckets: Vec<(u16, u64)>,
}

impl Histogram {
    /// From all buckets in order.
    pub fn from_buckets(scale: f64, sum: u64, counts: impl Iterator<Item = u64>) -> Histogram {
        let buckets: Vec<(u16, u64)> = counts.take(BUCKETS).enumerate().filter(|(_, n)| *n > 0).map(|(i, n)| (i as u16, n)).collect();
        let count = buckets.iter().fold(0u64, |all, (_, n)| all.wrapping_add(*n));
        Histogram { scale, count, sum, buckets }
    }

    /// The value below which the share `q` (0 to 1) of all recorded ones lies, in the declared unit; none if nothing was recorded.
    ///
    /// Right to about 3 %: the middle of the bucket.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0u64;
        for (index, n) in &self.buckets {
            seen = seen.wrapping_add(*n);
            if seen >= rank {
                return Some(self.middle_of(*index));
            }
        }
        self.buckets.last().map(|(index, _)| self.middle_of(*index))
    }

    fn middle_of(&self, index: u16) -> f64 {
        let (low, high) = bounds_of(index as usize);
        let middle = if high - low == 1 { low as f64 } else { (low as f64 + high as f64) / 2.0 };
        middle * self.scale
    }

    /// The mean in the declared unit; none if nothing was recorded.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64 * self.scale)
    }

    /// Adds another one of the same scale, bucket to bucket.
    pub fn merge(&mut self, other: &Histogram) {
        let mut all: std::collections::BTreeMap<u16, u64> = self.buckets.iter().copied().collect();
        for (index, n) in &other.buckets {
            let cell = all.entry(*index).or_default();
            *cell = cell.wrapping_add(*n);
        }
        self.buckets = all.into_iter().collect();
        self.count = self.count.wrapping_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // spec: INS-3
        #[test]
        fn a_value_lies_within_its_bucket_and_the_bucket_is_narrow(value in 0u64..(1 << EXPONENT_MAX)) {
            let index = bucket_of(value);
            prop_assert!(index < BUCKETS);
            let (low, high) = bounds_of(index);
            prop_assert!(low <= value && value < high);
            prop_assert!((high - low - 1) as f64 <= low as f64 / SUB as f64);
        }

        // spec: INS-3
        #[test]
        fn merging_two_is_recording_into_one(a in prop::collection::vec(0u64..1 << 50, 0..50), b in prop::collection::vec(0u64..1 << 50, 0..50)) {
            let record = |values: &[u64]| {
                let mut counts = vec![0u64; BUCKETS];
                for v in values { counts[bucket_of(*v)] += 1; }
                Histogram::from_buckets(1.0, values.iter().sum(), counts.into_iter())
            };
            let mut merged = record(&a);
            merged.merge(&record(&b));
            let both: Vec<u64> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(merged, record(&both));
        }
    }

    #[test]
    fn quantiles_are_right_to_three_per_cent() {
        let mut counts = vec![0u64; BUCKETS];
        for v in 1..=10_000u64 {
            counts[bucket_of(v * 1_000)] += 1;
        }
        let all = Histogram::from_buckets(1e-9, (1..=10_000u64).map(|v| v * 1_000).sum(), counts.into_iter());
        for (q, expect) in [(0.5, 5e-3), (0.99, 9.9e-3), (1.0, 1e-2)] {
            let got = all.quantile(q).unwrap();
            assert!((got - expect).abs() / expect < 0.035, "{q}: {got} against {expect}");
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    // spec: SEC-2
    #[test]
    fn buckets_that_a_stranger_made_up_do_no_harm() {
        let made_up = Histogram { scale: 1.0, count: 3, sum: 9, buckets: vec![(u16::MAX, u64::MAX), (960, 2)] };
        assert!(made_up.quantile(0.99).is_some_and(f64::is_finite));
    }

    #[test]
    fn the_greatest_values_share_the_last_bucket() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket_of((1 << EXPONENT_MAX) - 1), BUCKETS - 1);
    }
}
