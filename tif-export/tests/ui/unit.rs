use std::time::Duration;
use tif::{Histogram, Indicator, Instruments};

#[derive(Instruments)]
#[tif(service = "orders")]
struct Orders {
    /// Misspelt.
    #[tif(unit = "Mby")]
    a: Indicator<u64>,
    /// Not a text.
    #[tif(unit = 1)]
    b: Indicator<u64>,
    /// Not a number.
    #[tif(unit = "s")]
    c: Indicator<bool>,
    /// Seconds already.
    #[tif(unit = "ms")]
    d: Indicator<Duration>,
    /// Unknown.
    #[tif(unit = "furlong")]
    e: Histogram,
}

fn main() {}
