//! Mapped memory, and words within it. Every address outside this file and [`super::cell`] is an offset.

use std::io;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// A range of mapped memory. Its words are only ever reached as atomics, so that another process's writes are never undefined here.
#[derive(Debug)]
pub(crate) struct Map {
    base: NonNull<u8>,
    len: usize,
    writable: bool,
}

// SAFETY: a `Map` is an address range that lives until it is dropped; its contents are reached through atomics only.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps all of a file of `len` bytes, shared with whoever else maps it.
    ///
    /// The caller has checked that the file has that length and is sealed against shrinking, so that no access can fault.
    pub(crate) fn shared(file: impl AsFd, len: u64, writable: bool) -> io::Result<Map> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let prot = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let base = unsafe { mmap(ptr::null_mut(), len, prot, MapFlags::SHARED, file, 0) }?;
        Map::from_raw(base.cast(), len, writable)
    }

    /// A range that reads as zeros, costs no memory, and can be replaced by a file later ([`Map::replace`]).
    pub(crate) fn reserve(len: u64) -> io::Result<Map> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: as in `shared`.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE | MapFlags::NORESERVE) }?;
        Map::from_raw(base.cast(), len, false)
    }

    /// Memory of this process only.
    pub(crate) fn private(len: u64) -> io::Result<Map> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: as in `shared`.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), len, prot, MapFlags::PRIVATE | MapFlags::NORESERVE) }?;
        Map::from_raw(base.cast(), len, true)
    }

    fn from_raw(base: *mut u8, len: usize, writable: bool) -> io::Result<Map> {
        let base = NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Map { base, len, writable })
    }

    /// Puts a file of the same length (checked and sealed as for [`Map::shared`]) in the place of what was mapped, for reading. Readers under way see
    /// the words of either, never a fault: the kernel changes the mapping under its lock. On an error the range reads as zeros, or as before: the kernel
    /// may have taken away what was there when it finds that it cannot put the file there.
    ///
    /// Aborts the process if the zeros cannot be mapped either: cells read here all the time, and must not find a hole, nor what is mapped there next.
    pub(crate) fn replace(&self, file: impl AsFd) -> io::Result<()> {
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: the range is ours whole (`from_raw` got it from the kernel) and stays mapped with at least the access it had; nobody holds
        // references into it but to atomics, whose values may change at any time anyway.
        let mapped = unsafe { mmap(self.base.as_ptr().cast(), self.len, ProtFlags::READ, flags, file, 0) };
        mapped.map(|_| ()).map_err(|error| {
            self.blank();
            error.into()
        })
    }

    /// Zeros over the whole of a range for reading, as [`Map::reserve`] made it.
    fn blank(&self) {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        // SAFETY: as in `replace`.
        if unsafe { mmap_anonymous(self.base.as_ptr().cast(), self.len, ProtFlags::READ, flags) }.is_err() {
            // The range may be a hole. Whoever touches it faults; or, worse, does not, if something else is mapped there meanwhile.
            std::process::abort();
        }
    }

    /// The word at this offset. Words of a range that is mapped for reading may only be loaded.
    ///
    /// # Panics
    /// If it is outside or not aligned: offsets come from a checked layout, so that would be a bug.
    #[inline]
    pub(crate) fn u32(&self, offset: u64) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset < self.len as u64 - 3, "word at {offset} of {}", self.len);
        // SAFETY: within the mapping (just checked), aligned (mappings are page-aligned), and lives as long as `self`.
        unsafe { self.base.add(offset as usize).cast::<AtomicU32>().as_ref() }
    }

    /// The same for a long word.
    #[inline]
    pub(crate) fn u64(&self, offset: u64) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset < self.len as u64 - 7, "long word at {offset} of {}", self.len);
        // SAFETY: as in `u32`.
        unsafe { self.base.add(offset as usize).cast::<AtomicU64>().as_ref() }
    }

    /// The address of a word, for a cell that keeps the map alive.
    pub(crate) fn address(&self, offset: u64, len: u64) -> NonNull<u8> {
        assert!(offset.is_multiple_of(8) && offset.checked_add(len).is_some_and(|end| end <= self.len as u64));
        // SAFETY: within the mapping, just checked.
        unsafe { self.base.add(offset as usize) }
    }

    /// Copies bytes out, a long word at a time; `offset` is a multiple of 8. They may be torn: whoever needs to know validates a generation after it.
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) {
        for (i, part) in out.chunks_mut(8).enumerate() {
            let word = self.u64(offset + 8 * i as u64).load(Ordering::Relaxed).to_ne_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }

    /// Copies bytes in, a long word at a time, the last filled up with zeros; `offset` is a multiple of 8.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) {
        assert!(self.writable);
        for (i, part) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.u64(offset + 8 * i as u64).store(u64::from_ne_bytes(word), Ordering::Relaxed);
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the range is ours whole, and nobody has references into it any more: they borrow from `self`, and cells keep it alive.
        // It only fails for a range that is none.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// An acquiring load that is also allowed on memory that is mapped for reading only: there the language knows relaxed loads, and a fence behind.
#[inline]
pub(crate) fn load_acquire(word: &AtomicU32) -> u32 {
    let value = word.load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    #[test]
    fn a_reservation_reads_zero_and_a_file_can_take_its_place() {
        let map = Map::reserve(8192).unwrap();
        let word = map.u32(4096);
        assert_eq!(word.load(Ordering::Relaxed), 0);
        let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 8192).unwrap();
        let writer = Map::shared(&file, 8192, true).unwrap();
        writer.u32(4096).store(7, Ordering::Relaxed);
        map.replace(&file).unwrap();
        assert_eq!(word.load(Ordering::Relaxed), 7);
    }

    #[test]
    fn where_a_file_cannot_be_mapped_there_are_zeros_and_no_hole() {
        let map = Map::reserve(8192).unwrap();
        let word = map.u32(4096);
        let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 8192).unwrap();
        Map::shared(&file, 8192, true).unwrap().u32(4096).store(7, Ordering::Relaxed);
        map.replace(&file).unwrap();
        // A pipe cannot be mapped. Whether the kernel has made a hole by then is up to it; so look at what fills one, too.
        let (pipe, _writer) = rustix::pipe::pipe().unwrap();
        assert!(map.replace(&pipe).is_err());
        assert_eq!(word.load(Ordering::Relaxed), 0);
        map.replace(&file).unwrap();
        assert_eq!(word.load(Ordering::Relaxed), 7);
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let map = Map::private(4096).unwrap();
        map.write(8, b"hello, world");
        let mut out = [0xff; 14];
        map.read(8, &mut out);
        assert_eq!(&out, b"hello, world\0\0");
    }

    #[test]
    #[should_panic(expected = "word at 4096")]
    fn a_word_outside_is_never_reached() {
        Map::private(4096).unwrap().u32(4096);
    }
}
