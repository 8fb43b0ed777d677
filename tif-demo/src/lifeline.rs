//! How every part of the demo ends with it, however it ends and whoever started the part.
//!
//! The demo holds a lock; each part waits for it on a thread of its own. The kernel takes the lock from a demo that is gone, also one that
//! was killed, and the parts let go of a second lock when they have ended.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use crossbeam_channel::{Receiver, bounded};

const HELD: &str = "lifeline";
const ALIVE: &str = "alive";

/// The demo's end of the line.
#[derive(Debug)]
pub struct Lifeline {
    held: File,
    alive: File,
}

impl Lifeline {
    /// Takes the line, in the demo's directory.
    ///
    /// # Errors
    /// If that cannot be locked.
    pub fn hold(place: &Path) -> anyhow::Result<Lifeline> {
        let held = open(place, HELD)?;
        held.lock().context("cannot lock the lifeline")?;
        Ok(Lifeline { held, alive: open(place, ALIVE)? })
    }

    /// Lets go, and waits until every part has ended. False if that took too long.
    pub fn release(self, patience: Duration) -> bool {
        drop(self.held);
        let (send, gone) = bounded(1);
        let alive = self.alive;
        // It ends with the process if a part does not.
        let waiter = thread::Builder::new().spawn(move || {
            let locked = alive.lock().is_ok();
            // Nobody listens any more if it took too long.
            let _ = send.send(locked);
        });
        waiter.is_ok() && gone.recv_timeout(patience).unwrap_or(false)
    }
}

/// A part's end of the line. Lives as long as the part.
#[derive(Debug)]
pub struct Tether {
    _alive: File,
    over: Receiver<()>,
}

impl Tether {
    /// Ties this process to the demo of that directory.
    ///
    /// # Errors
    /// If there is no such demo.
    pub fn tie(place: &Path) -> anyhow::Result<Tether> {
        let (alive, held) = (open(place, ALIVE)?, open(place, HELD)?);
        alive.lock_shared().context("cannot lock the sign of life")?;
        let (send, over) = bounded(0);
        thread::Builder::new().name("lifeline".into()).spawn(move || {
            // An error is the end of the line, too. Dropping the sender is the message.
            let _ = held.lock_shared();
            drop(send);
        })?;
        Ok(Tether { _alive: alive, over })
    }

    /// Disconnected when the demo is over.
    pub fn over(&self) -> &Receiver<()> {
        &self.over
    }
}

fn open(place: &Path, name: &str) -> anyhow::Result<File> {
    let path = place.join(name);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    file.with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_told_when_the_line_is_let_go_and_the_demo_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let line = Lifeline::hold(dir.path()).unwrap();
        let tether = Tether::tie(dir.path()).unwrap();
        assert!(tether.over().try_recv().unwrap_err().is_empty());
        let part = thread::spawn(move || tether.over().recv().is_err());
        assert!(line.release(Duration::from_secs(10)));
        assert!(part.join().unwrap());
    }

    #[test]
    fn a_part_that_does_not_end_is_not_waited_for_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let line = Lifeline::hold(dir.path()).unwrap();
        let _tether = Tether::tie(dir.path()).unwrap();
        assert!(!line.release(Duration::from_millis(20)));
    }
}
