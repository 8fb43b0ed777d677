//! What only the compiler can know.
use tif::{Control, Instruments};

const GREAT: u32 = 5000;

#[derive(Instruments)]
#[tif(service = "orders")]
struct Orders {
    /// Outside.
    #[tif(default = GREAT, range = 1..=4096)]
    batch: Control<u32>,
}

fn main() {}
