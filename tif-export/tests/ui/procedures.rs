use tif::{Counter, Instruments};

#[derive(Instruments)]
#[tif(service = "orders")]
struct Orders {
    /// Orders.
    count: Counter,
}

#[tif::procedures]
impl Orders {
    #[procedure]
    fn helpless(&self) {}

    /// Mutable.
    #[procedure]
    fn mutable(&mut self) {}

    /// Static.
    #[procedure]
    fn nobody(a: u32) -> u32 {
        a
    }

    /// Async.
    #[procedure]
    async fn later(&self) {}

    /// Arguments.
    #[procedure]
    fn arguments(&self, a: Vec<u8>, b: usize, (c, d): (u32, u32)) {}

    /// Time.
    #[procedure(timeout = "2h", retries = 3)]
    fn time(&self) {}

    /// Generic.
    #[procedure]
    fn generic<T>(&self) {}
}

struct NoProcedures;

#[tif::procedures]
impl NoProcedures {
    fn plain(&self) {}
}

#[tif::procedures]
fn not_an_impl() {}

fn main() {}
