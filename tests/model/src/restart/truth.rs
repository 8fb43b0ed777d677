//! What is true of the consumer's records, whatever its machine believes.

use super::world::RECORDS;

/// What the consumer heard, and when each record was last fresh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Truth {
    /// The life that it heard to begin last, unless it was told since that this is over, or the stream broke.
    begun: Option<u8>,
    /// Which life said of a record that it is there, the last time.
    said: [Option<u8>; RECORDS],
    /// When a record was last known to be as the source has it.
    fresh_at: [Option<u8>; RECORDS],
}

impl Truth {
    pub fn begin(&mut self, life: u8) {
        if self.begun != Some(life) {
            self.said = [None; RECORDS];
        }
        self.begun = Some(life);
    }

    pub fn say(&mut self, life: u8, record: usize) {
        if self.begun == Some(life) {
            self.said[record] = Some(life);
        }
    }

    pub fn withdraw(&mut self, life: u8, record: usize) {
        if self.begun == Some(life) {
            self.said[record] = None;
        }
    }

    pub fn lose(&mut self, life: u8) {
        if self.begun == Some(life) {
            self.unknown();
        }
    }

    pub fn unknown(&mut self) {
        self.begun = None;
        self.said = [None; RECORDS];
    }

    /// Whether a record is as the source says, as far as the consumer can know.
    pub fn is_fresh(&self, record: usize) -> bool {
        self.begun.is_some() && self.said[record] == self.begun
    }

    /// Time stands here: what is fresh is fresh now.
    pub fn stamp(&mut self, now: u8) {
        for record in 0..RECORDS {
            if self.is_fresh(record) {
                self.fresh_at[record] = Some(now);
            }
        }
    }

    pub fn fresh_at(&self, record: usize) -> Option<u8> {
        self.fresh_at[record]
    }

    /// A record that is not held any more has no past.
    pub fn forget(&mut self, record: usize) {
        self.fresh_at[record] = None;
    }
}
