//! The status line: what was said last, for as long as it takes to read; an error until somebody has seen it.

use std::time::Duration;

use tif_core::model::Time;

use super::Tone;

/// The least time that a message stays if no key is pressed.
const STAYS: Duration = Duration::from_secs(4);
/// So much longer for each of its characters: a slow reader's pace.
const PER_CHARACTER: Duration = Duration::from_millis(60);

/// A message that goes by itself.
#[derive(Clone, Debug)]
struct Passing {
    text: String,
    tone: Tone,
    until: Time,
}

/// What the status line has to say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    passing: Option<Passing>,
    /// Stays until it is acknowledged, below whatever passes.
    error: Option<String>,
    /// The last key has taken away what hid the error: nobody had a chance to read it before.
    uncovered: bool,
}

impl Status {
    /// Says something that ends with the next key, or with the time that it takes to read.
    pub(super) fn say(&mut self, text: String, tone: Tone, now: Time) {
        let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        self.passing = Some(Passing { text, tone, until: now + STAYS + PER_CHARACTER * length });
    }

    /// Says what went wrong, until it is acknowledged.
    pub(super) fn fail(&mut self, text: String) {
        (self.passing, self.error) = (None, Some(text));
    }

    /// What went wrong has been put right.
    pub(super) fn take_back(&mut self, text: &str) {
        if self.error.as_deref() == Some(text) {
            self.error = None;
        }
    }

    /// A key or a button was pressed: whatever passes has been read.
    pub(super) fn on_key(&mut self) {
        self.uncovered = self.passing.take().is_some() && self.error.is_some();
    }

    /// Somebody has seen the error. Returns whether there was one to be seen.
    pub(super) fn acknowledge(&mut self) -> bool {
        self.uncovered || self.error.take().is_some()
    }

    /// Whether there is an error to be acknowledged.
    pub(crate) fn has_error(&self) -> bool {
        self.error.is_some()
    }

    /// Takes away what has been there long enough. Returns whether anything was.
    pub(super) fn tick(&mut self, now: Time) -> bool {
        self.passing.take_if(|passing| passing.until <= now).is_some()
    }

    /// When [`Status::tick`] has something to do.
    pub(super) fn due(&self) -> Option<Time> {
        self.passing.as_ref().map(|passing| passing.until)
    }

    /// Whether what the line shows is an error to be acknowledged.
    pub(crate) fn is_error(&self) -> bool {
        self.passing.is_none() && self.error.is_some()
    }

    /// What the line shows now.
    pub(crate) fn shown(&self) -> Option<(&str, Tone)> {
        match (&self.passing, &self.error) {
            (Some(passing), _) => Some((&passing.text, passing.tone)),
            (None, Some(error)) => Some((error, Tone::Bad)),
            (None, None) => None,
        }
    }
}
