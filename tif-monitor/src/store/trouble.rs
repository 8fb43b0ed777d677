//! What is the matter when a store cannot be used though nothing in it is wrong, and what to do about it.
// spec: SEC-3

use std::fmt;
use std::io;
use std::path::Path;

use rusqlite::{Error, ErrorCode};

/// Why a sound store cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The disk is full.
    Full,
    /// The file or its directory may not be written.
    Forbidden,
    /// Another program holds it.
    Held,
    /// There is no memory.
    Memory,
    /// The disk fails, or a limit on the length of files is reached.
    Disk,
    /// Something else.
    Other,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::Full => "the disk is full; nothing in the store is lost, make room on the disk",
            Trouble::Forbidden => "the agent's user may not write the file or its directory; mend that with chmod and chown",
            Trouble::Held => "another program holds the file; end it",
            Trouble::Memory => "there is no memory",
            Trouble::Disk => "reading or writing fails; look at the disk and the kernel's log",
            Trouble::Other => "it cannot be used",
        })
    }
}

impl Trouble {
    /// What an error of the database means for a file in this directory.
    pub fn of(error: &Error, dir: &Path) -> Trouble {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Trouble::Full,
            // The memory that the database shares between its users is a file, too; of what it lacks the database does not say.
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if is_full(dir) => Trouble::Full,
            Some(ErrorCode::SystemIoFailure) => Trouble::Disk,
            Some(
                ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::AuthorizationForStatementDenied | ErrorCode::CannotOpen,
            ) => Trouble::Forbidden,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Held,
            Some(ErrorCode::OutOfMemory) => Trouble::Memory,
            _ => Trouble::Other,
        }
    }

    /// What an error of the file system means.
    pub fn of_io(error: &io::Error) -> Trouble {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::Full,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Trouble::Forbidden,
            io::ErrorKind::OutOfMemory => Trouble::Memory,
            _ => Trouble::Disk,
        }
    }
}

/// Whether the error says that what stands in the file is not what was written into it.
pub fn is_damage(error: &Error) -> bool {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => true,
        Some(_) => false,
        // What was read makes no sense.
        None => true,
    }
}

fn is_full(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|found| (found.f_blocks > 0 && found.f_bavail == 0) || (found.f_files > 0 && found.f_favail == 0))
}
