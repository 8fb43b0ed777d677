//! Where a command's output goes, and what it needs to know of the world.

use std::io::{self, IsTerminal, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam_channel::Receiver;
use tif_core::model::Stamp;

use super::{interrupt, reader};

/// A command's surroundings.
pub struct Screen<'a> {
    /// Data.
    pub out: &'a mut dyn Write,
    /// Everything else.
    pub err: &'a mut dyn Write,
    /// Whether to colour, unless `--color` says otherwise.
    pub colour: bool,
    /// How many columns there are; none: lines are as long as they are.
    pub width: Option<u16>,
    /// Told when the user presses Ctrl-C. Asked for only by commands that wait.
    pub interrupts: Box<dyn Fn() -> Receiver<()> + 'a>,
    /// Told when nobody reads `out` any more. Asked for only by commands whose output has no end.
    pub unread: Box<dyn Fn() -> Receiver<()> + 'a>,
    /// The wall clock.
    pub now: fn() -> Stamp,
}

impl<'a> Screen<'a> {
    /// The terminal or whatever stdout and stderr are.
    pub fn terminal(out: &'a mut io::Stdout, err: &'a mut io::Stderr) -> Screen<'a> {
        // Says "never" where there is no terminal or NO_COLOR is set, else what CLICOLOR and CLICOLOR_FORCE say.
        let colour = anstream::AutoStream::choice(out) != anstream::ColorChoice::Never;
        let width =
            if out.is_terminal() { rustix::termios::tcgetwinsize(&*out).ok().map(|size| size.ws_col).filter(|w| *w > 0) } else { None };
        let (interrupts, unread) = (Box::new(interrupt::receiver), Box::new(reader::gone));
        Screen { out, err, colour, width, interrupts, unread, now: wall_clock }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.err.flush()
    }

    /// Data for people: a line, or several.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", harmless(text, LAYOUT))
    }

    /// Tells the user something that is not data.
    pub(super) fn note(&mut self, text: &str) {
        // Notes are a courtesy: that they cannot be written must not end a command.
        let _ = writeln!(self.err, "{}", harmless(text, LAYOUT));
    }
}

/// Control characters that a text of several lines may have.
pub(super) const LAYOUT: &[char] = &['\n', '\t'];

/// A text with everything but `kept` written out that would steer the terminal: part of it may be a stranger's. A new line becomes `\n`,
/// an escape `\u{1b}`.
pub(super) fn harmless(text: &str, kept: &[char]) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) && !kept.contains(&c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// The same, on one line.
pub(super) fn escaped(text: &str) -> String {
    harmless(text, &[])
}

/// Control characters, and those that turn the direction of writing, break lines or take no room: text would not be what it looks like.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

fn wall_clock() -> Stamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
