//! Where nothing is lost on the way, every end mark fits what came (I10); and one that does not fit sweeps nothing (I12).
// spec: SYN-7

use tif_core::machine::sync::{Ended, Source};
use tif_core::wire::{ReportsEnd, ToProcess};

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Marks;

impl Marks {
    /// An importer has found that a mark does not fit.
    pub fn on_mismatch(&self, who: usize, message: &ToProcess) -> Verdict {
        wrong("marks", format!("process {who} has other instruments than {message:?} says"))
    }

    /// An importer is about to hear a mark. Had it come after a part only, or of others than came, nothing would go.
    pub fn on_mark(who: usize, source: &Source, end: &ReportsEnd) -> Verdict {
        for (count, digest) in [(end.count + 1, end.digest), (end.count, !end.digest)] {
            let mut twin = source.clone();
            let ended = twin.on_end(end.key, count, digest);
            if matches!(ended, Ended::Complete(_)) || twin.len() != source.len() {
                let (had, has) = (source.len(), twin.len());
                return wrong(
                    "marks",
                    format!("process {who} takes a part of {} for the whole: of {had} instruments {has} are left", end.source),
                );
            }
        }
        Ok(())
    }
}
