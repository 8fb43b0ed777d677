use tif::{Counter, Exported, Indicator, Instruments, TestPoint};

#[derive(Instruments)]
#[tif(service = "Orders!")]
struct Orders {
    /// Capital.
    #[allow(non_snake_case, reason = "what is refused is this name")]
    Depth: Counter,
    /// Not a name.
    #[tif(name = "queue depth")]
    b: Counter,
    /// A point has three names.
    point: TestPoint,
    /// One of them.
    #[tif(name = "point.last")]
    last: Indicator<String>,
}

#[derive(Instruments)]
struct Part {
    /// Orders.
    a: Counter,
}

static PART: Exported<Part> = Exported::new();

fn main() {}
