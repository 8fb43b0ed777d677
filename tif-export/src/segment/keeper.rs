//! The exporter's side of an early notice of its death.
//!
//! A man who holds a string whose other end is tied to a bell: when he falls, it rings at once, however long it then takes to clear his house. A thread
//! does nothing but hold a word of the segment as the owner of a *robust futex*: when a process ends, the kernel marks the words that its threads hold and wakes
//! who waits for them before it takes the process's memory down, which is what all other notices of a death come after. The word has the
//! bit for waiters from the start: the agent that waits maps the segment for reading only.
//!
//! The thread holds one word and locks nothing, so that its list of robust futexes can be this one, and not that of the C library.
// spec: PSM-12
#![allow(unsafe_code, reason = "the list of robust futexes is given to the kernel as raw memory")]

use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use tif_core::layout;

use super::map::Map;

/// The kernel's `struct robust_list`.
#[repr(C)]
struct Entry {
    next: *mut Entry,
}

/// The kernel's `struct robust_list_head`.
#[repr(C)]
struct Head {
    list: Entry,
    /// From an entry to its futex.
    futex_offset: libc::c_long,
    pending: *mut Entry,
}

/// Holds the word until it is dropped.
#[derive(Debug)]
pub(crate) struct Keeper {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Begins to hold the word of a segment; it does when this returns. Where the kernel does not offer it, nothing is held, and the death is noticed later.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub(crate) fn hold(map: Arc<Map>) -> io::Result<Keeper> {
        let ends = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&ends);
        let (says, has_begun) = mpsc::channel();
        let thread = std::thread::Builder::new().name("tif-keeper".into()).stack_size(64 << 10).spawn(move || keep(&map, &asked, &says))?;
        // The agent looks at the word when it hears of the segment. An error: it is not held.
        let _ = has_begun.recv();
        Ok(Keeper { ends, thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It only lets go of the word.
            let _ = thread.join();
        }
    }
}

fn keep(map: &Map, ends: &AtomicBool, says: &Sender<()>) {
    let word = map.u32(layout::segment::KEEPER);
    let mut entry = Entry { next: ptr::null_mut() };
    let mut head = Head { list: Entry { next: ptr::null_mut() }, futex_offset: 0, pending: ptr::null_mut() };
    let (first, head_at) = (&raw mut entry, &raw mut head);
    // SAFETY: both live on this stack until the list is emptied below, and are written through these pointers only.
    unsafe {
        (*head_at).futex_offset = ptr::from_ref(word).addr().wrapping_sub(first.addr()) as libc::c_long;
        (*head_at).list.next = first;
        // A list is a ring through its head.
        (*first).next = &raw mut (*head_at).list;
    }
    // SAFETY: the kernel reads the list when this thread ends, and not before; until then it is valid, and the thread does not end before it has emptied it.
    let registered = unsafe { libc::syscall(libc::SYS_set_robust_list, head_at, size_of::<Head>()) };
    if registered != 0 {
        tracing::debug!(target: "tif::export", error = %io::Error::last_os_error(), "no robust futexes here: a death is noticed later");
        return;
    }
    let own = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    word.store(own | layout::FUTEX_WAITERS, Ordering::Release);
    let _ = says.send(());
    while !ends.load(Ordering::Acquire) {
        std::thread::park();
    }
    // SAFETY: as above. What is not in the list is not marked.
    unsafe { (*head_at).list.next = &raw mut (*head_at).list };
    word.store(0, Ordering::Release);
    // Whoever waits sees that there is nothing to wait for any more.
    let _ = rustix::thread::futex::wake(word, rustix::thread::futex::Flags::empty(), u32::MAX);
}
