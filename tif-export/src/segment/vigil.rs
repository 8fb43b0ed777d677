//! The agent's side of an early notice of an exporter's death: threads that wait for the words that the exporters' keepers hold.
//!
//! What a word says is a stranger's claim. It is told once, and not waited for again: whoever is told asks the operating system whether the process is
//! really ending. One that claims all the time is believed no more, and its death is noticed when it has ended.
// spec: PSM-12, SEC-2

use std::collections::BTreeMap;
use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::thread::futex::{Flags, Wait, WaitFlags, WaitPtr, WaitvFlags, waitv, wake};
use tif_core::layout::{self, FUTEX_OWNER_DIED};
use tif_core::model::Key;

use super::Attachment;
use super::map::{Map, load_acquire};

/// So many words can one thread wait for, less the one with which it is woken.
const WORDS_MAX: usize = 127;

/// Waits for the ends of the keepers of any number of segments.
pub struct Vigil {
    told: Arc<dyn Fn(Key) + Send + Sync>,
    watches: Mutex<Vec<Arc<Watch>>>,
}

/// What one thread waits for.
struct Watch {
    words: Mutex<BTreeMap<Key, Word>>,
    /// Grows with each change of the words: the thread looks again.
    changes: AtomicU32,
    ends: AtomicBool,
}

#[derive(Clone)]
struct Word {
    map: Arc<Map>,
    /// As it was when it was looked at first.
    held: u32,
}

impl Word {
    fn now(&self) -> u32 {
        load_acquire(self.map.u32(layout::segment::KEEPER))
    }
}

impl Vigil {
    /// `told` is called, on another thread, with the key of whoever seems to be ending.
    pub fn new(told: impl Fn(Key) + Send + Sync + 'static) -> Vigil {
        Vigil { told: Arc::new(told), watches: Mutex::new(Vec::new()) }
    }

    /// Waits for the end of this exporter's keeper, if it has one; the last segment of a key counts.
    ///
    /// # Errors
    /// If there can be no more threads: it is not waited for.
    pub fn watch(&self, key: Key, of: &Attachment) -> io::Result<()> {
        self.forget(key);
        let map = of.map();
        let word = Word { held: load_acquire(map.u32(layout::segment::KEEPER)), map };
        if word.held == 0 {
            return Ok(());
        }
        let mut watches = self.watches.lock();
        let watch = match watches.iter().find(|watch| watch.words.lock().len() < WORDS_MAX) {
            Some(watch) => Arc::clone(watch),
            None => {
                let watch = Arc::new(Watch { words: Mutex::default(), changes: AtomicU32::new(0), ends: AtomicBool::new(false) });
                let (own, told) = (Arc::clone(&watch), Arc::clone(&self.told));
                std::thread::Builder::new().name("tif-vigil".into()).spawn(move || own.run(&*told))?;
                watches.push(Arc::clone(&watch));
                watch
            }
        };
        watch.words.lock().insert(key, word);
        watch.look_again();
        Ok(())
    }

    /// Waits for it no longer.
    pub fn forget(&self, key: Key) {
        for watch in &*self.watches.lock() {
            if watch.words.lock().remove(&key).is_some() {
                watch.look_again();
            }
        }
    }
}

impl Drop for Vigil {
    fn drop(&mut self) {
        for watch in &*self.watches.lock() {
            watch.ends.store(true, Ordering::Release);
            watch.look_again();
        }
    }
}

impl std::fmt::Debug for Vigil {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vigil").field("threads", &self.watches.lock().len()).finish_non_exhaustive()
    }
}

impl Watch {
    fn look_again(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        let _ = wake(&self.changes, Flags::PRIVATE, 1);
    }

    fn run(&self, told: &(dyn Fn(Key) + Send + Sync)) {
        while !self.ends.load(Ordering::Acquire) {
            let changes = self.changes.load(Ordering::Acquire);
            let mut ended = Vec::new();
            // The maps stay while they are waited on, also if the agent drops the segment meanwhile.
            let words: Vec<Word> = {
                let mut words = self.words.lock();
                words.retain(|key, word| {
                    let now = word.now();
                    if now != word.held || now & FUTEX_OWNER_DIED != 0 {
                        ended.extend((now & FUTEX_OWNER_DIED != 0).then_some(*key));
                        return false;
                    }
                    true
                });
                words.values().cloned().collect()
            };
            ended.into_iter().for_each(told);
            let own = wait_for(&self.changes, changes, WaitFlags::PRIVATE);
            let others = words.iter().map(|word| wait_for(word.map.u32(layout::segment::KEEPER), word.held, WaitFlags::empty()));
            let waits: Vec<Wait> = std::iter::once(own).chain(others).collect();
            match waitv(&waits, WaitvFlags::empty(), None, rustix::time::ClockId::Monotonic) {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => {
                    // Before Linux 5.16 nobody can wait for several.
                    tracing::debug!(target: "tif::export", %error, "no early notice of deaths");
                    self.words.lock().clear();
                    return;
                }
            }
        }
    }
}

fn wait_for(word: &AtomicU32, held: u32, flags: WaitFlags) -> Wait {
    let mut wait = Wait::new();
    wait.val = u64::from(held);
    wait.uaddr = WaitPtr::new(ptr::from_ref(word).cast_mut().cast());
    wait.flags = WaitFlags::SIZE_U32 | flags;
    wait
}
