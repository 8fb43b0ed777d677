//! Every mistake is reported, in one pass.
use tif::{Control, Counter, Indicator, Instruments};

#[derive(Instruments)]
#[tif(service = "orders")]
struct Orders {
    accepted: Counter,
    /// Orders waiting.
    #[tif(unit = "secs")]
    depth: Indicator<u64>,
    /// Orders in one batch.
    #[tif(range = 1..=4096)]
    batch: Control<u32>,
    /// Orders in one batch, too.
    #[tif(name = "batch", default = 5000, range = 1..=4096)]
    size: Control<u32>,
}

fn main() {}
