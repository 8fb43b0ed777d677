#[tif::procedure_metrics]
async fn later() {}

#[tif::procedure_metrics(service = "Bad Name", nmae = "x")]
fn wrong() {}

#[tif::procedure_metrics]
struct NotAFunction;

fn main() {}
