//! The index: what is known of every file, in memory and in one file that only grows.
//!
//! Think of a ship's log. Only the officer of the watch writes in it, and signs first with the number of the watch; who comes on watch reads
//! it from the beginning, tears off a half-written last line, and goes on where it ends.
//!
//! - One writer at a time: the writer holds the file's lock, which the kernel takes from a process that dies, however it dies.
//! - A term that is not newer than the last one in the file may not write.
//! - What was written survives the death of the process, because the kernel has it. Nothing here survives the machine; an index can be
//!   made again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::entry::Entry;
use super::record::Record;

/// What the file begins with.
const MAGIC: &[u8; 8] = b"tifidx1\n";

/// What an index file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The files by path below the input directory.
    pub entries: BTreeMap<PathBuf, Entry>,
    /// The term of the last writer.
    pub term: u64,
    /// How many times a file was entered, those that were forgotten again included.
    pub entered: u64,
    /// The bytes of all of them.
    pub entered_bytes: u64,
    /// How many times a file was entered that was already there. Always 0, if the service keeps its promise.
    pub repeated: u64,
    /// Bytes up to the end of the last whole record.
    len: u64,
    /// Bytes behind it: the tail that a killed writer has left.
    pub torn: u64,
}

impl Contents {
    /// Reads an index file; one that is not there yet is empty.
    ///
    /// # Errors
    /// If it cannot be read or is something else.
    pub fn read(path: &Path) -> anyhow::Result<Contents> {
        match std::fs::read(path) {
            Ok(bytes) => Contents::parse(&bytes).with_context(|| path.display().to_string()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Contents::default()),
            Err(e) => Err(e).with_context(|| format!("cannot read the index {}", path.display())),
        }
    }

    fn parse(bytes: &[u8]) -> anyhow::Result<Contents> {
        let mut contents = Contents::default();
        let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
            if !MAGIC.starts_with(bytes) {
                bail!("not an index file");
            }
            // Its writer was killed before the first record.
            contents.torn = bytes.len() as u64;
            return Ok(contents);
        };
        while let Some((record, len)) = Record::read(rest) {
            contents.apply(record);
            rest = &rest[len..];
        }
        contents.len = (bytes.len() - rest.len()) as u64;
        contents.torn = rest.len() as u64;
        Ok(contents)
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Term(term) => self.term = term,
            Record::File(path, entry) => {
                self.entered += 1;
                self.entered_bytes += entry.size;
                self.repeated += u64::from(self.entries.insert(path, entry).is_some());
            }
            Record::Forget(below) => self.entries.retain(|path, _| !path.starts_with(&below)),
        }
    }
}

/// The index in the hands of its writer.
#[derive(Debug)]
pub struct Index {
    file: File,
    contents: Contents,
    /// A write has failed half-way: nothing more goes in behind it.
    broken: bool,
}

impl Index {
    /// Takes the index over: waits until no other process writes, reads it, cuts off a torn tail and signs with the term.
    ///
    /// # Errors
    /// If the file cannot be used, or a newer term has written already. The file is as it was, but for the tail.
    pub fn take(path: &Path, term: u64) -> anyhow::Result<Index> {
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.with_context(|| format!("cannot open the index {}", path.display()))?;
        // A dead primary's lock is gone or goes in a moment; one that was deposed and lives gives it up when it is told.
        file.lock().context("cannot lock the index")?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).context("cannot read the index")?;
        let contents = Contents::parse(&bytes).with_context(|| path.display().to_string())?;
        if contents.term >= term {
            bail!("term {term} is over: the index was taken in term {}", contents.term);
        }
        file.set_len(contents.len).context("cannot cut the index's tail off")?;
        file.seek(SeekFrom::End(0)).context("cannot go to the index's end")?;
        let mut index = Index { file, contents, broken: false };
        let mut bytes = if index.contents.len == 0 { MAGIC.to_vec() } else { Vec::new() };
        Record::Term(term).write(&mut bytes);
        index.write(&bytes)?;
        index.contents.term = term;
        Ok(index)
    }

    /// What it holds.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Enters files, as one write. One that is there already is left out; answers how many went in, and their bytes.
    ///
    /// # Errors
    /// If it cannot be written. None of them is in the index.
    pub fn enter(&mut self, files: Vec<(PathBuf, Entry)>) -> anyhow::Result<(u64, u64)> {
        let mut bytes = Vec::new();
        let mut fresh = BTreeMap::new();
        for (path, entry) in files {
            if !self.contents.entries.contains_key(&path) && !fresh.contains_key(&path) {
                Record::File(path.clone(), entry).write(&mut bytes);
                fresh.insert(path, entry);
            }
        }
        self.write(&bytes)?;
        let count = (fresh.len() as u64, fresh.values().map(|e| e.size).sum());
        self.contents.entries.append(&mut fresh);
        Ok(count)
    }

    /// Takes out what is below a path, so that it is indexed again; answers how many files that were.
    ///
    /// # Errors
    /// If it cannot be written. Nothing was taken out.
    pub fn forget(&mut self, below: &Path) -> anyhow::Result<u64> {
        let before = self.contents.entries.len();
        if !self.contents.entries.keys().any(|path| path.starts_with(below)) {
            return Ok(0);
        }
        let record = Record::Forget(below.to_owned());
        let mut bytes = Vec::new();
        record.write(&mut bytes);
        self.write(&bytes)?;
        self.contents.apply(record);
        Ok((before - self.contents.entries.len()) as u64)
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if self.broken {
            bail!("an earlier write to the index failed");
        }
        if let Err(error) = self.file.write_all(bytes) {
            // Part of it may be there. Cut off, it never was; if not even that works, whoever takes over cuts it off.
            self.broken = self.file.set_len(self.contents.len).and_then(|()| self.file.seek(SeekFrom::End(0))).is_err();
            return Err(error).context("cannot write the index");
        }
        self.contents.len += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(size: u64) -> Entry {
        Entry { size, hash: Some([size as u8; 32]) }
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        (dir, path)
    }

    #[test]
    fn a_successor_goes_on_where_the_index_ends_wherever_its_predecessor_was_cut_off() {
        let (_dir, path) = place();
        let mut first = Index::take(&path, 1).unwrap();
        first.enter(vec![("a".into(), entry(1))]).unwrap();
        let whole = std::fs::metadata(&path).unwrap().len();
        first.enter(vec![("b".into(), entry(2))]).unwrap();
        drop(first);
        let bytes = std::fs::read(&path).unwrap();
        for cut in whole..bytes.len() as u64 {
            std::fs::write(&path, &bytes[..cut as usize]).unwrap();
            let mut second = Index::take(&path, 2).unwrap();
            assert_eq!(second.contents().entries.len(), 1, "cut at {cut}");
            assert_eq!(second.enter(vec![("a".into(), entry(1)), ("b".into(), entry(2))]).unwrap(), (1, 2));
            drop(second);
            let contents = Contents::read(&path).unwrap();
            assert_eq!((contents.entries.len(), contents.repeated, contents.torn, contents.term), (2, 0, 0, 2));
        }
    }

    #[test]
    fn a_term_that_is_over_cannot_write() {
        let (_dir, path) = place();
        drop(Index::take(&path, 7).unwrap());
        let error = Index::take(&path, 7).unwrap_err().to_string();
        assert!(error.contains("term 7 is over"), "{error}");
        assert!(Index::take(&path, 8).is_ok());
    }

    #[test]
    fn a_second_writer_waits_until_the_first_has_gone() {
        let (_dir, path) = place();
        let mut first = Index::take(&path, 1).unwrap();
        let (send, taken) = crossbeam_channel::bounded(1);
        let other = path.clone();
        let second = std::thread::spawn(move || send.send(Index::take(&other, 2).unwrap().contents().entries.len()));
        first.enter(vec![("a".into(), entry(1))]).unwrap();
        assert!(taken.try_recv().is_err());
        drop(first);
        assert_eq!(taken.recv().unwrap(), 1);
        second.join().unwrap().unwrap();
    }

    #[test]
    fn what_is_forgotten_is_entered_again_without_being_there_twice() {
        let (_dir, path) = place();
        let mut index = Index::take(&path, 1).unwrap();
        index.enter(vec![("a/x".into(), entry(1)), ("a/y".into(), entry(2)), ("ab".into(), entry(3))]).unwrap();
        assert_eq!(index.forget(Path::new("a")).unwrap(), 2);
        assert_eq!(index.forget(Path::new("a")).unwrap(), 0);
        index.enter(vec![("a/x".into(), entry(1))]).unwrap();
        assert_eq!(index.forget(Path::new("")).unwrap(), 2);
        drop(index);
        let contents = Contents::read(&path).unwrap();
        assert_eq!((contents.entries.len(), contents.repeated), (0, 0));
    }

    #[test]
    fn another_file_is_not_taken_for_an_index() {
        let (_dir, path) = place();
        std::fs::write(&path, "something else entirely").unwrap();
        assert!(Index::take(&path, 1).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"something else entirely");
    }
}
