use tif::{Control, Counter, Dynamic, Indicator, Instruments, TestPoint};

#[derive(Instruments)]
#[tif(service = "orders", servcie = "x")]
struct Orders {
    /// Misspelt.
    #[tif(rnage = 1..=5, default = 2)]
    a: Control<u32>,
    /// Not for counters.
    #[tif(default = 5, memorized)]
    b: Counter,
    /// Half open.
    #[tif(range = 1..5)]
    c: Indicator<u32>,
    /// Empty.
    #[tif(range = 5..=1)]
    d: Indicator<u32>,
    /// Twice.
    #[tif(unit = "1", unit = "s")]
    e: Indicator<u32>,
    /// Both.
    #[tif(deadband = 1, relative = 0.1)]
    f: Indicator<u32>,
    /// Upside down.
    #[tif(warn = 10, critical = 5)]
    g: Indicator<u32>,
    /// Too often.
    #[tif(every = "1ms")]
    h: Dynamic<u32>,
    /// Not a duration.
    #[tif(at_most_every = "often")]
    i: Indicator<u32>,
    /// Not a number.
    #[tif(deadband = 5)]
    j: Indicator<String>,
    /// Negative.
    #[tif(deadband = -5)]
    k: Indicator<i64>,
    /// Alone.
    #[tif(hysteresis = 5)]
    l: Indicator<i64>,
    /// Nothing to set here.
    #[tif(unit = "s")]
    m: TestPoint,
    /// Not a list.
    #[tif(writers = "operator", default = 1)]
    n: Control<u32>,
}

fn main() {}
