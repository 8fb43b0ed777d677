//! Where launched processes write: one file per service, turned over when it has grown long.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use tif_core::model::Name;

/// A log longer than this becomes `NAME.log.1` at the next launch: two such files are kept at most.
const LOG_LEN_MAX: u64 = 4 << 20;

/// Opens the service's log for appending.
pub fn open(dir: &Path, service: &Name) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let path = dir.join(format!("{service}.log"));
    if fs::metadata(&path).is_ok_and(|m| m.len() > LOG_LEN_MAX) {
        fs::rename(&path, dir.join(format!("{service}.log.1")))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_long_log_is_turned_over_once() {
        let dir = tempfile::tempdir().unwrap();
        let service = "orders".parse().unwrap();
        for _ in 0..3 {
            open(dir.path(), &service).unwrap().write_all(&vec![b'x'; LOG_LEN_MAX as usize + 1]).unwrap();
        }
        open(dir.path(), &service).unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read(dir.path().join("orders.log")).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
