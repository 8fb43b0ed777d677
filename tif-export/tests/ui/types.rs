use tif::{Indicator, Instruments};

#[derive(Instruments)]
#[tif(service = "orders")]
struct Orders {
    /// Unknown.
    a: Gauge<u64>,
    /// Too narrow.
    b: Indicator<u16>,
    /// Of what?
    c: Indicator,
    /// Not a value.
    d: Indicator<Vec<u8>>,
    /// A tuple.
    f: (u32, u32),
    /// A near miss.
    g: Countr,
}

#[derive(Instruments)]
#[tif(service = "orders")]
enum NotAStruct {}

#[derive(Instruments)]
#[tif(service = "orders")]
struct Tuple(tif::Counter);

#[derive(Instruments)]
#[tif(service = "orders")]
struct Generic<T> {
    /// Orders.
    a: Indicator<T>,
}

fn main() {}
