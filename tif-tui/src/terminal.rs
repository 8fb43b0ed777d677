//! The terminal: set up, read from, and left as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{io, thread};

use crossbeam_channel::{Receiver, Sender, bounded};
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event};
use crossterm::execute;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::message::Message;

/// How often the terminal's reader looks whether it is still wanted.
pub(crate) const READER_LOOKS: Duration = Duration::from_millis(100);
/// How long it takes in what there is. Without any time it would not even look.
const TAKING_IN: Duration = Duration::from_millis(1);

/// Takes the mouse and pasted text.
pub(crate) fn enter() -> anyhow::Result<()> {
    // A panic must leave the terminal as it was, mouse and all; `ratatui` has put its own part there already.
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let _ = execute!(io::stdout(), DisableMouseCapture, DisableBracketedPaste);
        before(info);
    }));
    Ok(execute!(io::stdout(), EnableMouseCapture, EnableBracketedPaste)?)
}

/// Gives everything back.
pub(crate) fn leave() {
    // A terminal that is gone cannot be restored, and need not.
    let _ = execute!(io::stdout(), DisableMouseCapture, DisableBracketedPaste);
    let _ = ratatui::try_restore();
}

/// Whether the locale lets characters beyond ASCII be shown, as `LC_ALL`, `LC_CTYPE` or `LANG` says, the first that is set.
pub(crate) fn utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    set.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// Whether the terminal has something to say. Looked at before every read, because the reader below it makes nothing of a terminal that was hung up.
fn is_there() -> io::Result<bool> {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let patience = Timespec { tv_sec: 0, tv_nsec: READER_LOOKS.as_nanos() as i64 };
    match poll(&mut fds, Some(&patience)) {
        // A change of the window's size interrupts; the reader knows of it.
        Ok(0) | Err(rustix::io::Errno::INTR) => {}
        Ok(_) if fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) => {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    crossterm::event::poll(TAKING_IN)
}

/// Passes on what the terminal tells, until `stop`.
///
/// The receiver that it returns is disconnected when the reader has ended.
pub(crate) fn read(send: Sender<Message>, stop: Arc<AtomicBool>) -> io::Result<Receiver<()>> {
    let (running, ended) = bounded(0);
    thread::Builder::new().name("tif-tui-terminal".into()).spawn(move || {
        let _running: Sender<()> = running;
        while !stop.load(Ordering::Relaxed) {
            let event = match is_there() {
                Ok(false) => continue,
                Ok(true) => crossterm::event::read(),
                Err(error) => Err(error),
            };
            let message = match event {
                Ok(Event::Key(key)) => Message::Key(key),
                Ok(Event::Mouse(mouse)) => Message::Mouse(mouse),
                Ok(Event::Paste(text)) => Message::Paste(text),
                Ok(Event::Resize(width, height)) => Message::Resize(width, height),
                Ok(Event::FocusGained | Event::FocusLost) => continue,
                // The terminal is gone.
                Err(_) => Message::Quit,
            };
            let last = matches!(message, Message::Quit);
            if send.send(message).is_err() || last {
                return;
            }
        }
    })?;
    Ok(ended)
}
