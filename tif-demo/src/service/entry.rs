//! What the index knows of one file.

/// Size and hash of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its length in bytes.
    pub size: u64,
    /// The BLAKE3 hash of its content; none if it could not be read.
    pub hash: Option<[u8; 32]>,
}
