//! One agent per run directory and per state directory: whoever holds the lock on `agent.lock` or `state.lock` in it is it. The kernel takes the lock back when its
//! holder dies.
// spec: MON-1

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tif_process::RunDir;

/// The file in a state directory that its agent holds locked.
const STATE_LOCK: &str = "state.lock";
/// How long a lock may be held in passing.
const PASSING: Duration = Duration::from_millis(300);

/// A directory, held. Dropping it gives it back.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the directory is not ours. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent has it.
    #[error("another agent{} has the {} {}: stop it first, or name another directory with {}", pid(.holder), .of.what(), .dir.display(), .of.option())]
    Held {
        /// Which directory.
        dir: PathBuf,
        /// What it is to the agent.
        of: Use,
        /// The other agent's process id, as it wrote it.
        holder: Option<u32>,
    },
    /// Others can write into it.
    #[error("{} {problem}: name another with --run-dir, or mend it with chmod and chown", .dir.display())]
    Unsafe {
        /// Which directory.
        dir: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file system said no.
    #[error("cannot use the {} {}", .of.what(), .dir.display())]
    Io {
        /// Which directory.
        dir: PathBuf,
        /// What it is to the agent.
        of: Use,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

fn pid(holder: &Option<u32>) -> String {
    holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// What a directory is to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Where processes find it.
    Run,
    /// Where it keeps what must survive it.
    State,
}

impl Use {
    fn what(self) -> &'static str {
        match self {
            Use::Run => "run directory",
            Use::State => "state directory",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Use::Run => "--run-dir",
            Use::State => "--state-dir",
        }
    }
}

impl Lock {
    /// Takes the run directory; makes it, for its owner only, if there is none.
    ///
    /// # Errors
    /// If another agent has it, or others could write into it.
    pub fn take(run_dir: &RunDir) -> Result<Lock, LockError> {
        Lock::of(run_dir.path(), &run_dir.lock(), Use::Run)
    }

    /// Takes the state directory; makes it likewise. Two agents that wrote one store would spoil each other's truth.
    ///
    /// # Errors
    /// If another agent has it.
    pub fn take_state(dir: &Path) -> Result<Lock, LockError> {
        Lock::of(dir, &dir.join(STATE_LOCK), Use::State)
    }

    fn of(path: &Path, lock_file: &Path, of: Use) -> Result<Lock, LockError> {
        let io = |source| LockError::Io { dir: path.to_owned(), of, source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        if of == Use::Run {
            check(path, &fs::metadata(path).map_err(io)?)?;
        }
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(lock_file).map_err(io)?;
        match lock(&file) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // What cannot be read is not named; the refusal stands.
                let _ = file.take(32).read_to_string(&mut text);
                return Err(LockError::Held { dir: path.to_owned(), of, holder: text.trim().parse().ok() });
            }
            Err(e) => return Err(io(e.into())),
        }
        // The lock holds without it: on a full disk nobody learns by whom.
        let _ = file.rewind().and_then(|()| file.set_len(0)).and_then(|()| writeln!(file, "{}", std::process::id()));
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
    Err(LockError::Unsafe { dir: path.to_owned(), problem })
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

    // spec: MON-1
    #[test]
    fn a_state_directory_has_one_agent_and_the_refusal_says_which_and_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take_state(dir.path()).unwrap();
        let error = Lock::take_state(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&dir.path().display().to_string()) && error.contains("--state-dir"), "{error}");
        drop(lock);
        Lock::take_state(dir.path()).unwrap();
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
