//! One agent per run directory: whoever holds the lock on `agent.lock` is it. The kernel takes the lock back when its holder dies.
// spec: MON-1

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tif_process::RunDir;

/// How long a lock may be held in passing.
const PASSING: Duration = Duration::from_millis(300);

/// The run directory, held. Dropping it gives it back.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the run directory is not ours. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent has it.
    #[error("another agent looks after {}{}: stop it first, or name another directory with --run-dir", .run_dir.display(), pid(.holder))]
    Held {
        /// Which directory.
        run_dir: PathBuf,
        /// The other agent's process id, as it wrote it.
        holder: Option<u32>,
    },
    /// Others can write into it.
    #[error("{} {problem}: name another with --run-dir, or mend it with chmod and chown", .run_dir.display())]
    Unsafe {
        /// Which directory.
        run_dir: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file system said no.
    #[error("cannot use the run directory {}", .run_dir.display())]
    Io {
        /// Which directory.
        run_dir: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

fn pid(holder: &Option<u32>) -> String {
    holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl Lock {
    /// Takes the run directory; makes it, for its owner only, if there is none.
    ///
    /// # Errors
    /// If another agent has it, or others could write into it.
    pub fn take(run_dir: &RunDir) -> Result<Lock, LockError> {
        let path = run_dir.path();
        let io = |source| LockError::Io { run_dir: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        check(path, &fs::metadata(path).map_err(io)?)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(run_dir.lock()).map_err(io)?;
        match lock(&file) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // What cannot be read is not named; the refusal stands.
                let _ = file.take(32).read_to_string(&mut text);
                return Err(LockError::Held { run_dir: path.to_owned(), holder: text.trim().parse().ok() });
            }
            Err(e) => return Err(io(e.into())),
        }
        let written = file.rewind().and_then(|()| file.set_len(0)).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(io)?;
        Ok(Lock { _file: file })
    }
}

/// A child that a killed agent was just starting holds the lock, too, until it has become another program: that is waited for.
fn lock(file: &File) -> Result<(), Errno> {
    let until = Instant::now() + PASSING;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            result => return result,
        }
    }
}

// spec: SEC-1
fn check(path: &Path, found: &fs::Metadata) -> Result<(), LockError> {
    let own = rustix::process::geteuid().as_raw();
    let problem = if found.uid() != own && found.uid() != 0 {
        format!("belongs to user {}, not to {own}", found.uid())
    } else if found.mode() & 0o022 != 0 {
        format!("can be written by others (mode {:o})", found.mode() & 0o777)
    } else {
        return Ok(());
    };
    Err(LockError::Unsafe { run_dir: path.to_owned(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    // spec: MON-1
    #[test]
    fn a_second_agent_is_refused_and_told_who_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::resolve(Some(&dir.path().join("made/for/it")));
        let lock = Lock::take(&run_dir).unwrap();
        assert_eq!(fs::metadata(run_dir.path()).unwrap().mode() & 0o777, 0o700);
        let error = Lock::take(&run_dir).unwrap_err();
        assert!(error.to_string().contains(&format!("(process {})", std::process::id())), "{error}");
        drop(lock);
        Lock::take(&run_dir).unwrap();
    }

    // spec: SEC-1
    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = Lock::take(&RunDir::resolve(Some(dir.path()))).unwrap_err();
        assert!(error.to_string().contains("mode 777"), "{error}");
    }
}
