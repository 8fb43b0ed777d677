//! When the agent last knew that whoever it takes for living lives: written down again and again, so that an agent that starts after it can say since when,
//! at the earliest, a process may have been dead that it finds dead. In the run directory, not in the store: nothing waits for it, no disk is worn.
// spec: OUT-4, OUT-6, MON-7

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use tif_core::agent::io::Moment;
use tif_core::model::{Stamp, Time};
use tif_process::RunDir;

/// The file, of fixed length: an interrupted write leaves nothing longer behind.
#[derive(Debug)]
pub struct Seen {
    path: PathBuf,
    boot: String,
    file: Option<File>,
}

impl Seen {
    /// Of this run directory, in this boot.
    pub fn of(run_dir: &RunDir, boot: &str) -> Seen {
        Seen { path: run_dir.path().join("agent.seen"), boot: boot.to_owned(), file: None }
    }

    /// What the agent before this one wrote last; none if that was in another boot, or there was none.
    pub fn last(&self, now: Moment) -> Option<Moment> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        let mut words = text.split_whitespace();
        let (boot, time, stamp) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let then = Moment { time: Time(time), stamp: Stamp(stamp), ..Moment::default() };
        (boot == self.boot && then.time <= now.time).then_some(then)
    }

    /// All that were not seen dead lived at this moment. That it cannot be written costs only precision, and is not worth a word.
    pub fn write(&mut self, at: Moment) {
        if self.file.is_none() {
            self.file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path).ok();
        }
        if let Some(file) = &self.file {
            let _ = file.write_all_at(format!("{} {:020} {:020}\n", self.boot, at.time.0, at.stamp.0).as_bytes(), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: OUT-4, PSM-9
    #[test]
    fn what_was_written_last_is_found_in_the_same_boot_only() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::resolve(Some(dir.path()));
        let at = |n| Moment { time: Time(n), stamp: Stamp(n + 7), ..Moment::default() };
        let mut seen = Seen::of(&run_dir, "boot-1");
        assert_eq!(seen.last(at(9)), None);
        seen.write(at(12345));
        seen.write(at(20000));
        assert_eq!(Seen::of(&run_dir, "boot-1").last(at(30000)), Some(at(20000)));
        assert_eq!(Seen::of(&run_dir, "boot-1").last(at(19999)), None, "not after now");
        assert_eq!(Seen::of(&run_dir, "boot-2").last(at(30000)), None);
    }
}
