//! The agent's socket in the run directory.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use tif_process::RunDir;

/// Listens. Dropping it removes the socket's file, so that nobody waits at a door behind which nobody is.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens in the run directory. The caller holds its lock, so a socket that is there already is a dead agent's, and is replaced.
    ///
    /// # Errors
    /// What the operating system says.
    // spec: SEC-1, MON-7
    pub fn bind(run_dir: &RunDir) -> io::Result<Listener> {
        let path = run_dir.socket();
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let socket = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        socket.set_nonblocking(true)?;
        Ok(Listener { socket, path })
    }

    /// The next connection, if one waits.
    ///
    /// # Errors
    /// What the operating system says; descriptors may be used up for the moment.
    pub fn accept(&self) -> io::Result<Option<UnixStream>> {
        match self.socket.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                Ok(Some(stream))
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // The other end has given up already; the next may be there.
            Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => self.accept(),
            Err(e) => Err(e),
        }
    }
}

/// Descriptors that must be free for another connection: its own, three that it may bring, and those that are opened for a moment to look at it.
const DESCRIPTORS_FREE_MIN: usize = 16;

impl Listener {
    /// Whether there are descriptors enough to let somebody in and to find out who it is.
    // spec: SEC-3
    pub fn has_room(&self) -> bool {
        let mut held = Vec::with_capacity(DESCRIPTORS_FREE_MIN);
        while held.len() < DESCRIPTORS_FREE_MIN {
            match self.socket.try_clone() {
                Ok(one) => held.push(one),
                Err(_) => return false,
            }
        }
        true
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // If it is gone already, all the better.
        let _ = fs::remove_file(&self.path);
    }
}
