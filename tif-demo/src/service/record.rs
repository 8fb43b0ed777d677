//! One record of the index file, as bytes: length, checksum, payload.
//!
//! A record is either there whole or not at all: a primary that is killed while it writes leaves a tail that does not fit its checksum, and
//! whoever reads stops before it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::entry::Entry;

/// Length and checksum.
const HEAD_LEN: usize = 12;
/// Bytes of a payload: a path of `PATH_MAX` and what goes with it fit several times.
const PAYLOAD_LEN_MAX: usize = 64 << 10;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// From here on the primary of this term writes.
    Term(u64),
    /// A file was indexed.
    File(PathBuf, Entry),
    /// What is below this path is no longer in the index; an empty path means everything.
    Forget(PathBuf),
}

impl Record {
    /// Appends its bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([0; HEAD_LEN]);
        match self {
            Record::Term(epoch) => {
                out.push(0);
                out.extend(epoch.to_le_bytes());
            }
            Record::File(path, entry) => {
                out.push(1);
                out.extend(entry.size.to_le_bytes());
                out.push(u8::from(entry.hash.is_some()));
                out.extend(entry.hash.unwrap_or_default());
                out.extend(path.as_os_str().as_bytes());
            }
            Record::Forget(below) => {
                out.push(2);
                out.extend(below.as_os_str().as_bytes());
            }
        }
        let payload = &out[start + HEAD_LEN..];
        // No path is longer than the operating system allows, so this fits.
        let len = u32::try_from(payload.len()).expect("a payload is some kilobytes long at most");
        let sum = checksum(payload);
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        out[start + 4..start + HEAD_LEN].copy_from_slice(&sum);
    }

    /// The record at the beginning of `bytes` and its length; none if there is none that is whole.
    pub fn read(bytes: &[u8]) -> Option<(Record, usize)> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk::<8>()?;
        let len = u32::from_le_bytes(*len) as usize;
        if len > PAYLOAD_LEN_MAX {
            return None;
        }
        let payload = rest.get(..len)?;
        if checksum(payload) != *sum {
            return None;
        }
        Some((Record::parse(payload)?, HEAD_LEN + len))
    }

    fn parse(payload: &[u8]) -> Option<Record> {
        let (kind, rest) = payload.split_first()?;
        match kind {
            0 => Some(Record::Term(u64::from_le_bytes(rest.try_into().ok()?))),
            1 => {
                let (size, rest) = rest.split_first_chunk::<8>()?;
                let (has_hash, rest) = rest.split_first()?;
                let (hash, path) = rest.split_first_chunk::<32>()?;
                let entry = Entry { size: u64::from_le_bytes(*size), hash: (*has_hash != 0).then_some(*hash) };
                Some(Record::File(path_of(path), entry))
            }
            2 => Some(Record::Forget(path_of(rest))),
            _ => None,
        }
    }
}

fn path_of(bytes: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(bytes)).to_owned()
}

fn checksum(payload: &[u8]) -> [u8; 8] {
    let hash = blake3::hash(payload);
    let (first, _) = hash.as_bytes().split_first_chunk::<8>().expect("a hash has 32 bytes");
    *first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Record {
        Record::File(name.into(), Entry { size: 7, hash: Some([3; 32]) })
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let all = [Record::Term(5), file("a/b"), Record::File("c".into(), Entry { size: 1, hash: None }), Record::Forget("a".into())];
        let mut bytes = Vec::new();
        all.iter().for_each(|r| r.write(&mut bytes));
        let mut at = 0;
        for record in all {
            let (read, len) = Record::read(&bytes[at..]).unwrap();
            assert_eq!(read, record);
            at += len;
        }
        assert_eq!(at, bytes.len());
    }

    #[test]
    fn a_record_that_is_cut_or_spoilt_anywhere_is_no_record() {
        let mut bytes = Vec::new();
        file("some/path").write(&mut bytes);
        for cut in 0..bytes.len() {
            assert_eq!(Record::read(&bytes[..cut]), None, "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut spoilt = bytes.clone();
            spoilt[at] ^= 0x40;
            assert_eq!(Record::read(&spoilt), None, "spoilt at {at}");
        }
    }
}
