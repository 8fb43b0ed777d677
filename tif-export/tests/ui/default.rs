use std::time::Duration;
use tif::{Choice, Control, Instruments};

#[derive(Clone, Copy, Choice)]
enum Mode {
    Fast,
}

#[derive(Instruments)]
#[tif(service = "orders")]
struct Orders {
    /// None.
    none: Control<u32>,
    /// Outside.
    #[tif(default = 5000, range = 1..=4096)]
    outside: Control<u32>,
    /// Between two steps.
    #[tif(default = 12, range = 1..=4096, step = 5)]
    step: Control<u32>,
    /// Another type.
    #[tif(default = "many")]
    text: Control<u32>,
    /// Does not fit.
    #[tif(default = -1)]
    negative: Control<u32>,
    /// A fraction.
    #[tif(default = 1.5)]
    fraction: Control<i64>,
    /// Not a bool.
    #[tif(default = 1)]
    flag: Control<bool>,
    /// Not a duration.
    #[tif(default = "5")]
    patience: Control<Duration>,
    /// Not a choice.
    #[tif(default = "fast")]
    mode: Control<Mode>,
    /// No value.
    #[tif(default)]
    empty: Control<u32>,
    /// A bound that the type cannot hold.
    #[tif(default = 1, range = 0..=5_000_000_000)]
    wide: Control<u32>,
    /// A bound between two whole numbers.
    #[tif(default = 1, range = 0.5..=4.5)]
    broken: Control<u32>,
    /// One more than the greatest, where floats do not tell them apart.
    #[tif(default = 9_007_199_254_740_993, range = 0..=9_007_199_254_740_992)]
    exact: Control<u64>,
}

fn main() {}
