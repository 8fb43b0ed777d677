//! What only the compiler can know: the attribute does not see the struct.
use tif::{Counter, Instruments};

#[derive(Instruments)]
#[tif(service = "stock")]
struct Stock {
    /// Things.
    count: Counter,
}

#[tif::procedures]
impl Stock {
    /// The name of a field.
    #[procedure]
    fn count(&self) {}
}

fn main() {}
