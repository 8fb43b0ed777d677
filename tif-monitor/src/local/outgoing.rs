//! Bytes on their way out of one connection, in order, with the descriptors that go with the first of them.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use tif_process::fd::send_with_fds;

/// What waits to be written.
#[derive(Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    start: usize,
    fds: Vec<OwnedFd>,
}

impl Outgoing {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The buffer to append to.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        &mut self.bytes
    }

    /// A descriptor for the first byte that waits.
    pub fn attach(&mut self, fd: OwnedFd) {
        self.fds.push(fd);
    }

    /// Writes what goes. True: all of it went; false: the other end must read first.
    pub fn write(&mut self, socket: impl AsFd) -> Result<bool, Errno> {
        while self.start < self.bytes.len() {
            let fds: Vec<_> = self.fds.iter().map(AsFd::as_fd).collect();
            match send_with_fds(&socket, &self.bytes[self.start..], &fds) {
                Ok(sent) => {
                    self.start += sent;
                    self.fds.clear();
                }
                Err(Errno::AGAIN) => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        self.bytes.clear();
        // One great burst shall not hold its memory for ever.
        self.bytes.shrink_to(64 << 10);
        self.start = 0;
        Ok(true)
    }
}
