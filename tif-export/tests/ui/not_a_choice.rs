//! What only the compiler can know.
use tif::{Indicator, Instruments};

struct Thing;

#[derive(Instruments)]
#[tif(service = "orders")]
struct Orders {
    /// Not a choice.
    thing: Indicator<Thing>,
}

fn main() {}
