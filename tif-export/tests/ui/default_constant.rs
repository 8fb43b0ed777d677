//! What only the compiler can know.
use std::time::Duration;

use tif::{Control, Instruments};

const GREAT: u32 = 5000;
const LONG: Duration = Duration::from_secs(11);
const STEP: f64 = 0.3;

#[derive(Instruments)]
#[tif(service = "orders")]
struct Orders {
    /// Outside.
    #[tif(default = GREAT, range = 1..=4096)]
    batch: Control<u32>,
    /// Outside, too.
    #[tif(default = LONG, range = "1ms"..="10s")]
    patience: Control<Duration>,
    /// Between two.
    #[tif(default = GREAT, step = 64)]
    size: Control<u32>,
    /// The step is the constant.
    #[tif(default = 0.5, range = 0.0..=1.0, step = STEP)]
    share: Control<f64>,
}

fn main() {}
