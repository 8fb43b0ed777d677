//! Lanes: a number of its own for each thread, so that counting needs no locked instruction.
//!
//! A lane is taken at a thread's first update and given back when the thread ends; what was counted in it stays. Taking one neither waits nor allocates
//! nor enters the kernel, because the first update may be a signal handler's.
// spec: EXP-2

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Once};

use tif_core::layout;
use tif_core::limits::LANES_MAX;

use super::map::Map;

const WORDS: usize = (LANES_MAX as usize).div_ceil(64);

/// One bit a lane, set while it is taken. Bit 0 is the lane that all share, and always set.
static TAKEN: [AtomicU64; WORDS] = {
    let mut words = [const { AtomicU64::new(0) }; WORDS];
    words[0] = AtomicU64::new(1);
    words
};

/// This thread's lane; 0: none yet; [`ENDED`]: none any more.
struct Own(AtomicU32);

/// The thread is ending: its later updates go to the shared lane.
const ENDED: u32 = u32::MAX;

thread_local! {
    // No destructor, so that it can be used until the thread's very end and from signal handlers.
    static OWN: Own = const { Own(AtomicU32::new(0)) };
}

/// This thread's lane, or a number that is no lane (0 and [`ENDED`]).
#[inline(always)]
pub(crate) fn own() -> u32 {
    // Relaxed: only this thread and its signal handlers use the word.
    OWN.with(|own| own.0.load(Ordering::Relaxed))
}

/// The segments of this process: before anybody counts in a lane, all their readers must know of it.
static SEGMENTS: Latch = Latch { is_held: AtomicBool::new(false), segments: UnsafeCell::new(Segments { all: Vec::new(), lanes_used: 1 }) };

/// A lock that a signal handler may try: it has no queue of those who wait, so that neither taking it nor letting go touches anything that the handler
/// may have interrupted somebody in.
struct Latch {
    is_held: AtomicBool,
    segments: UnsafeCell<Segments>,
}

// SAFETY: the segments are reached through a `Held` only, of which there is one at a time.
unsafe impl Sync for Latch {}

struct Held<'a>(&'a Latch);

impl Latch {
    fn try_lock(&self) -> Option<Held<'_>> {
        // Acquire pairs with the release in `drop`.
        (!self.is_held.swap(true, Ordering::Acquire)).then(|| Held(self))
    }

    /// Not for signal handlers.
    fn lock(&self) -> Held<'_> {
        loop {
            match self.try_lock() {
                Some(held) => return held,
                // Held for a few instructions, or for the time it takes to add a segment.
                None => std::thread::yield_now(),
            }
        }
    }
}

impl Deref for Held<'_> {
    type Target = Segments;
    fn deref(&self) -> &Segments {
        // SAFETY: there is one `Held` at a time, and this is it.
        unsafe { &*self.0.segments.get() }
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Segments {
        // SAFETY: as above, and it is borrowed whole.
        unsafe { &mut *self.0.segments.get() }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.is_held.store(false, Ordering::Release);
    }
}

struct Segments {
    all: Vec<(Arc<Map>, u32)>,
    /// Lanes ever taken by any thread, and the shared one.
    lanes_used: u32,
}

impl Segments {
    fn tell(&self, map: &Map, lanes_max: u32) {
        // Relaxed: a reader that comes before it only misses counts of this very moment.
        map.u32(layout::segment::LANES_USED).fetch_max(self.lanes_used.min(lanes_max), Ordering::Relaxed);
    }
}

/// Registers a segment with this many lanes.
pub(crate) fn enrol(map: &Arc<Map>, lanes_max: u32) {
    at_exit::prepare();
    let mut segments = SEGMENTS.lock();
    segments.all.push((Arc::clone(map), lanes_max));
    segments.tell(map, lanes_max);
}

/// Forgets a segment.
pub(crate) fn dismiss(map: &Arc<Map>) {
    SEGMENTS.lock().all.retain(|(other, _)| !Arc::ptr_eq(other, map));
}

/// This thread's lane, taking one if it has none; 0 if there is none to be had just now.
#[cold]
pub(crate) fn take() -> u32 {
    OWN.with(|own| match own.0.load(Ordering::Relaxed) {
        0 => {
            // Not waited for: this may be a signal handler that interrupted whoever holds it. The next update tries again.
            let Some(mut segments) = SEGMENTS.try_lock() else { return 0 };
            // A signal handler may have taken one for this thread just before; from here on it cannot.
            match own.0.load(Ordering::Relaxed) {
                0 => {}
                ENDED => return 0,
                lane => return lane,
            }
            let Some(lane) = take_free() else { return 0 };
            if lane >= segments.lanes_used {
                segments.lanes_used = lane + 1;
                segments.all.iter().for_each(|(map, lanes_max)| segments.tell(map, *lanes_max));
            }
            own.0.store(lane, Ordering::Relaxed);
            at_exit::remember(lane);
            lane
        }
        ENDED => 0,
        lane => lane,
    })
}

fn take_free() -> Option<u32> {
    for (i, word) in TAKEN.iter().enumerate() {
        let mut taken = word.load(Ordering::Relaxed);
        while taken != u64::MAX {
            let bit = taken.trailing_ones();
            // Acquire pairs with the release in `give_back`: the cells are as the thread before left them.
            match word.compare_exchange_weak(taken, taken | 1 << bit, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(64 * i as u32 + bit),
                Err(now) => taken = now,
            }
        }
    }
    None
}

fn give_back(lane: u32) {
    TAKEN[lane as usize / 64].fetch_and(!(1 << (lane % 64)), Ordering::Release);
}

/// Giving a lane back at the end of its thread, without the allocation that a destructor of `thread_local!` costs at its first use.
mod at_exit {
    use super::*;

    // The C library's; on Linux a key is an unsigned int.
    unsafe extern "C" {
        fn pthread_key_create(key: *mut u32, destructor: Option<unsafe extern "C" fn(*mut c_void)>) -> c_int;
        fn pthread_setspecific(key: u32, value: *const c_void) -> c_int;
    }

    /// Keys below this one have their value in the thread itself; for later ones the GNU C library allocates.
    const KEY_MAX: u32 = 32;
    const NONE: u32 = u32::MAX;
    /// Release in `prepare`, acquire in `remember`.
    static KEY: AtomicU32 = AtomicU32::new(NONE);

    pub(super) fn prepare() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let key = UnsafeCell::new(NONE);
            // SAFETY: the C library writes one unsigned int; `ended` is a function of this program, which is never unloaded while threads run its code.
            let made = unsafe { pthread_key_create(key.get(), Some(ended)) } == 0;
            let key = key.into_inner();
            if made && key < KEY_MAX {
                KEY.store(key, Ordering::Release);
            }
        });
    }

    pub(super) fn remember(lane: u32) {
        let key = KEY.load(Ordering::Acquire);
        // Without a key the lane stays taken for ever. When all are, threads share lane 0, which only costs time.
        if key != NONE {
            // SAFETY: the key exists; the value is a number and never followed as a pointer. With a key below `KEY_MAX` the C library only
            // stores it, which is safe in a signal handler.
            unsafe { pthread_setspecific(key, lane as usize as *const c_void) };
        }
    }

    unsafe extern "C" fn ended(lane: *mut c_void) {
        OWN.with(|own| own.0.store(ENDED, Ordering::Relaxed));
        let lane = lane as usize as u32;
        if (1..LANES_MAX).contains(&lane) {
            give_back(lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    // spec: EXP-2
    #[test]
    fn who_interrupts_the_holder_of_the_lock_is_not_held_up() {
        // As a signal handler would on this thread: lane 0 serves.
        let held = SEGMENTS.lock();
        let there = thread::spawn(|| (take(), own())).join().unwrap();
        assert_eq!(there, (0, 0));
        drop(held);
    }

    #[test]
    fn each_thread_has_a_lane_of_its_own_and_gives_it_back() {
        at_exit::prepare();
        // Another test may be taking or making something just now.
        let sure = || {
            loop {
                match take() {
                    0 => thread::yield_now(),
                    lane => return lane,
                }
            }
        };
        let here = sure();
        assert_eq!((take(), own()), (here, here));
        let there = thread::spawn(sure).join().unwrap();
        assert_ne!(here, there);
        assert!(here < LANES_MAX && there < LANES_MAX);
        // Far more threads than lanes, one after the other: each gets one again.
        for _ in 0..2 * LANES_MAX {
            thread::spawn(sure).join().unwrap();
        }
    }
}
