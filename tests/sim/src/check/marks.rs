//! Where nothing is lost on the way, every end mark fits what came.
// spec: SYN-7

use tif_core::wire::ToProcess;

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Marks;

impl Marks {
    /// An importer has found that a mark does not fit.
    pub fn on_mismatch(&self, who: usize, message: &ToProcess) -> Verdict {
        wrong("marks", format!("process {who} has other instruments than {message:?} says"))
    }
}
