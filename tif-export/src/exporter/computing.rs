//! Computes dynamic indicators, each once at a time: whoever asks while it is being computed gets what comes of that.
// spec: INS-2

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tif_core::model::Slot;
use tif_core::wire::ToAgent;
use tif_process::Sender;

use super::pool::COMPUTING;
use super::steward::send;
use crate::instrument::DynamicSide;

/// Those who wait for one computation. The agent asks again only after its own deadline.
const ASKERS_MAX: usize = 256;
/// Why there is no value when one is asked for before the last is there.
const COMPUTED_STILL: &str = "it is still being computed";
/// Why there is none when no more can be computed.
const BUSY: &str = "the service has too much to do";

/// Who is told when it is over.
type Asker = Box<dyn FnOnce(Result<(), String>) + Send>;

/// Which one: its slot, and which of those that one after the other have this slot.
type Which = (Slot, usize);

/// What is being computed, and for whom.
#[derive(Clone, Default)]
pub(super) struct Computations(Arc<Mutex<BTreeMap<Which, Vec<Asker>>>>);

impl Computations {
    /// Has it computed, and tells when that is over.
    pub(super) fn ask(&self, slot: Slot, side: &Arc<dyn DynamicSide>, asker: impl FnOnce(Result<(), String>) + Send + 'static) {
        let mut computing = self.0.lock();
        match computing.get_mut(&which(slot, side)) {
            Some(askers) if askers.len() >= ASKERS_MAX => {
                drop(computing);
                asker(Err(COMPUTED_STILL.into()));
            }
            Some(askers) => askers.push(Box::new(asker)),
            None => {
                computing.insert(which(slot, side), vec![Box::new(asker)]);
                drop(computing);
                self.begin(slot, side);
            }
        }
    }

    /// Has a watched one computed by the clock. One that hangs, or that waits behind others that do, shows that it does: nobody shall take its last value
    /// for a new one.
    pub(super) fn by_clock(&self, sender: &Sender, slot: Slot, side: &Arc<dyn DynamicSide>) {
        let mut computing = self.0.lock();
        if computing.contains_key(&which(slot, side)) {
            drop(computing);
            side.missed();
            return send(sender, ToAgent::Computed { req: 0, failed: vec![(slot, COMPUTED_STILL.to_owned())] });
        }
        let theirs = sender.clone();
        let asker = move |result: Result<(), String>| {
            if let Err(reason) = result {
                send(&theirs, ToAgent::Computed { req: 0, failed: vec![(slot, reason)] });
            }
        };
        computing.insert(which(slot, side), vec![Box::new(asker)]);
        drop(computing);
        self.begin(slot, side);
    }

    fn begin(&self, slot: Slot, side: &Arc<dyn DynamicSide>) {
        let (theirs, job) = (self.clone(), Arc::clone(side));
        if !COMPUTING.submit(move || theirs.over(slot, &job, job.compute())) {
            side.missed();
            self.over(slot, side, Err(BUSY.into()));
        }
    }

    fn over(&self, slot: Slot, side: &Arc<dyn DynamicSide>, result: Result<(), String>) {
        let askers = self.0.lock().remove(&which(slot, side)).unwrap_or_default();
        askers.into_iter().for_each(|asker| asker(result.clone()));
    }
}

/// While it is computed nothing else can lie where it lies.
fn which(slot: Slot, side: &Arc<dyn DynamicSide>) -> Which {
    (slot, Arc::as_ptr(side).cast::<()>().addr())
}
