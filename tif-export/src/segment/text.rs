//! Texts of up to 255 bytes in shared memory: a sequence word that is odd while somebody writes, a length, the bytes.

use std::sync::atomic::{Ordering, fence};

use tif_core::layout::WIDE_LEN;
use tif_core::limits::TEXT_LEN_MAX;

use super::map::{Map, load_acquire};

const LEN: u64 = 4;
const BYTES: u64 = 8;
/// How often a reader tries again when a writer was in the way. Beyond this it says so: a stranger could keep the word odd for ever.
// spec: EXP-7
const TRIES: u32 = 64;

const _: () = assert!(BYTES as usize + TEXT_LEN_MAX < WIDE_LEN as usize + 1);

/// The text cut to what fits, at a character's boundary.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_LEN_MAX)]
}

/// Writes a text unless another writer is at it: then that one counts as the later, and this as overwritten by it at once. Never waits, so it may be a
/// signal handler that interrupts another writer on the same thread. False if it was overwritten so.
// spec: EXP-2
pub(crate) fn write(map: &Map, offset: u64, text: &str) -> bool {
    let sequence = map.u32(offset);
    let before = sequence.load(Ordering::Relaxed);
    // Acquire pairs with the release at the end of another writer: writers' bytes do not mix.
    if !before.is_multiple_of(2) || sequence.compare_exchange(before, before.wrapping_add(1), Ordering::Acquire, Ordering::Relaxed).is_err()
    {
        return false;
    }
    // Pairs with the acquire fence in `read`: who sees any of these bytes sees the odd number.
    fence(Ordering::Release);
    let text = cut(text);
    map.u32(offset + LEN).store(text.len() as u32, Ordering::Relaxed);
    map.write(offset + BYTES, text.as_bytes());
    // Pairs with the acquire in `read`.
    sequence.store(before.wrapping_add(2), Ordering::Release);
    true
}

/// Reads a text; none if it is being written all the time. What is not UTF-8 is replaced, a length beyond the cell is cut: it may be a stranger's.
pub(crate) fn read(map: &Map, offset: u64) -> Option<String> {
    let sequence = map.u32(offset);
    let mut bytes = [0; TEXT_LEN_MAX];
    for _ in 0..TRIES {
        let before = load_acquire(sequence);
        if before.is_multiple_of(2) {
            let len = (map.u32(offset + LEN).load(Ordering::Relaxed) as usize).min(TEXT_LEN_MAX);
            map.read(offset + BYTES, &mut bytes[..len]);
            fence(Ordering::Acquire);
            if sequence.load(Ordering::Relaxed) == before {
                return Some(String::from_utf8_lossy(&bytes[..len]).into_owned());
            }
        }
        std::hint::spin_loop();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    #[test]
    fn a_text_is_never_seen_torn() {
        let map = Map::private(4096).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for c in ["a", "b"] {
                let (map, done) = (&map, &done);
                scope.spawn(move || {
                    let mut n = 0;
                    while !done.load(Ordering::Relaxed) {
                        n = n % 200 + 1;
                        write(map, 8, &c.repeat(n));
                    }
                });
            }
            for _ in 0..20_000 {
                if let Some(text) = read(&map, 8) {
                    assert!(text.bytes().all(|b| b == text.as_bytes()[0]), "{text}");
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn long_texts_are_cut_between_characters_and_a_stuck_writer_hangs_nobody() {
        let map = Map::private(4096).unwrap();
        assert!(write(&map, 8, &"ä".repeat(200)));
        assert_eq!(read(&map, 8).unwrap(), "ä".repeat(127));
        map.u32(8).store(1, Ordering::Relaxed);
        assert_eq!(read(&map, 8), None);
        assert!(!write(&map, 8, "x"));
    }
}
