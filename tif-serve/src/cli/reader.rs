//! Whether anybody still reads what we print: `tif-serve watch X | head -1` ends when `head` has, and not at the next change of X.

use std::io;

use crossbeam_channel::{Receiver, bounded, never};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// A message when the pipe that standard output is has no reader any more, or its terminal has hung up. Silent for files.
pub(super) fn gone() -> Receiver<()> {
    let (sender, receiver) = bounded(1);
    // Ends with the process.
    let spawned = std::thread::Builder::new().name("tif-reader".into()).spawn(move || {
        let out = io::stdout();
        loop {
            // Nothing is asked for: what remains are the conditions that are always told.
            let mut fds = [PollFd::new(&out, PollFlags::empty())];
            match poll(&mut fds, None) {
                Ok(_) if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::warn!(target: "tif::serve", %error, "whether the output is read cannot be seen");
                    // Dropped it would be heard, too.
                    return std::mem::forget(sender);
                }
            }
        }
        // Only fails if the command has ended.
        let _ = sender.send(());
    });
    match spawned {
        Ok(_) => receiver,
        Err(error) => {
            tracing::warn!(target: "tif::serve", %error, "whether the output is read cannot be seen");
            never()
        }
    }
}
