//! Reading and hashing one file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::entry::Entry;
use super::tree::FILE_SIZE_MAX;

const CHUNK: usize = 64 << 10;

/// Reads a file and hashes it.
#[tif::procedure_metrics(service = "indexer")]
pub fn hash(path: &Path) -> std::io::Result<Entry> {
    // One that grows while it is read must not keep a worker for ever.
    let mut file = File::open(path)?.take(FILE_SIZE_MAX);
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    let mut size = 0;
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(Entry { size, hash: Some(hasher.finalize().into()) }),
            n => {
                hasher.update(&chunk[..n]);
                size += n as u64;
            }
        }
    }
}
