//! The loop: one channel, one kind of message; a message is taken in or the screen is drawn, never both at once.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{io, thread};

use anyhow::{Context, bail};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use ratatui::DefaultTerminal;
use ratatui::layout::Rect;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tif_core::model::{Coarsen, Stamp, Time};
use tif_serve::importer::{self, Importer};

use crate::app::{App, ExtraKey, Settings};
use crate::backend::importer::{Agent, REQUEST_TIMEOUT, fact, link};
use crate::backend::{self, Request, Ticket};
use crate::command_line::Writer;
use crate::keymap;
use crate::message::Message;
use crate::model::fact::{Fact, Now};
use crate::options::Options;
use crate::terminal;
use crate::view::{self, theme::Theme};

/// At most 20 frames a second: more can nobody read.
const FRAME: Duration = Duration::from_millis(50);
/// Messages that wait for the loop. Facts come in batches, so this is room for seconds.
const MESSAGES_MAX: usize = 1_024;
/// Facts in one batch: a frame's worth, so that a key never waits behind more.
const BATCH_MAX: usize = 4_096;

/// No agent answers, or it does not admit us; in words that say what to do.
#[derive(Debug)]
pub(crate) struct Unreachable(String);

impl std::fmt::Display for Unreachable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreachable {}

/// Shows the screen until the user quits.
///
/// # Errors
/// If no agent answers, or standard output is no terminal. The terminal is as it was before.
pub fn run(options: Options) -> anyhow::Result<()> {
    if let Some(extra) = &options.extra
        && keymap::is_taken(extra.key)
    {
        bail!("the key `{}` is used by the screen itself: choose another one", extra.key);
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        bail!("the screen needs a terminal on standard input and output; in a pipe use `tif-serve watch`");
    }
    let name = "tif-tui".parse().context("the screen's own name")?;
    let program = format!("tif-tui {}", env!("CARGO_PKG_VERSION"));
    let heartbeat = options.forwarded.then_some(importer::HEARTBEAT);
    let open = importer::Options { run_dir: options.run_dir.clone(), program, name, timeout: REQUEST_TIMEOUT, heartbeat };
    let importer = Importer::open(open).map_err(|error| Unreachable(error.to_string()))?;
    let importer = Arc::new(importer);
    importer.subscribe(options.pattern.clone(), Coarsen::default());

    let (send, messages) = bounded(MESSAGES_MAX);
    let (orders, waiting) = unbounded();
    backend::start(Arc::new(Agent { importer: importer.clone(), extra: options.extra.clone() }), &waiting, &send)?;
    forward(&importer, send.clone())?;
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT])?;
    let signals_end = signals.handle();
    let quit = send.clone();
    thread::Builder::new().name("tif-tui-signals".into()).spawn(move || {
        if signals.forever().next().is_some() {
            // A loop that has ended needs no telling.
            let _ = quit.send(Message::Quit);
        }
    })?;

    let stop = Arc::new(AtomicBool::new(false));
    let screen = ratatui::try_init().context("the terminal cannot be set up")?;
    let result = terminal::enter().and_then(|()| {
        let reader = terminal::read(send, stop.clone())?;
        let result = Loop::new(options, screen, messages, orders, link(importer.link()))?.go();
        stop.store(true, Ordering::Relaxed);
        // It ends within READER_LOOKS; whatever reads the terminal next must not lose a key to it. What a terminal sends of a key and does not finish
        // keeps it for ever: it is not waited for.
        let _ = reader.recv_timeout(3 * terminal::READER_LOOKS);
        result
    });
    terminal::leave();
    signals_end.close();
    result
}

struct Loop {
    options: Options,
    terminal: DefaultTerminal,
    theme: Theme,
    app: App,
    messages: Receiver<Message>,
    orders: Sender<(Ticket, Request)>,
    started: Instant,
    /// Nothing of what the terminal shows can be relied on.
    repaint: bool,
}

impl Loop {
    fn new(
        options: Options,
        terminal: DefaultTerminal,
        messages: Receiver<Message>,
        orders: Sender<(Ticket, Request)>,
        link: crate::model::fact::Link,
    ) -> anyhow::Result<Loop> {
        let started = Instant::now();
        let now = now(started);
        let settings = Settings {
            read_only: options.read_only,
            writer: Writer { run_dir: options.run_dir.clone() },
            extra: options.extra.as_ref().map(|extra| ExtraKey {
                key: extra.key,
                label: extra.label.clone(),
                confirm: extra.confirm.clone(),
            }),
        };
        let theme = Theme { color: options.color, ascii: !terminal::utf8() };
        let mut app = App::new(settings, terminal.size()?, now);
        app.update(Message::Facts(vec![Fact::Link(link)]), now);
        Ok(Loop { options, terminal, theme, app, messages, orders, started, repaint: false })
    }

    fn go(mut self) -> anyhow::Result<()> {
        let result = self.turns();
        if self.terminal.show_cursor().is_err() {
            // The terminal is gone. Dropped, it would say so on standard error, which may be gone as well, and that would be a panic.
            std::mem::forget(self.terminal);
        }
        result
    }

    fn turns(&mut self) -> anyhow::Result<()> {
        let mut drawn: Option<Instant> = None;
        let mut asked: Option<Instant> = None;
        while !self.app.quit {
            self.ask_status(&mut asked);
            let now = now(self.started);
            self.app.tick(now);
            for order in self.app.take_outbox() {
                self.orders.send(order).context("the workers are gone")?;
            }
            let frame_due = drawn.map_or(Duration::ZERO, |drawn| FRAME.saturating_sub(drawn.elapsed()));
            if self.app.is_dirty() && frame_due.is_zero() {
                self.fit()?;
                self.app.take_dirty();
                let (app, theme) = (&self.app, &self.theme);
                self.terminal.draw(|frame| view::draw(frame, app, theme, now))?;
                drawn = Some(Instant::now());
                continue;
            }
            let wait = if self.app.is_dirty() { frame_due } else { self.app.deadline().since(now.mono) };
            let Ok(message) = self.messages.recv_timeout(wait.max(Duration::from_millis(1))) else { continue };
            self.take_in(message)?;
            // What else is there already costs no further frame.
            while let Ok(message) = self.messages.try_recv() {
                self.take_in(message)?;
                if drawn.is_some_and(|drawn| drawn.elapsed() > 2 * FRAME) {
                    break;
                }
            }
        }
        Ok(())
    }

    fn take_in(&mut self, message: Message) -> io::Result<()> {
        // What is done with a key depends on what can be seen, and the news of a size may be older than the size that is there by now.
        match message {
            Message::Resize(..) => return self.measure(true),
            Message::Key(_) | Message::Mouse(_) | Message::Paste(_) => self.measure(false)?,
            _ => {}
        }
        self.app.update(message, now(self.started));
        Ok(())
    }

    /// The model learns the size that the terminal has, if that is another one; or, if it has changed meanwhile, in any case.
    fn measure(&mut self, changed: bool) -> io::Result<()> {
        let size = self.terminal.size()?;
        if changed || size != self.app.ui.size {
            self.repaint = true;
            self.app.update(Message::Resize(size.width, size.height), now(self.started));
        }
        Ok(())
    }

    /// The model learns the size of the terminal before it is drawn: the news of a change may still be on its way.
    fn fit(&mut self) -> io::Result<()> {
        self.measure(false)?;
        if std::mem::take(&mut self.repaint) {
            // The old picture means nothing, even in a size that came back: what did not fit meanwhile is lost. Not `clear`: that asks the terminal
            // where its cursor is, and the answer would be waited for behind the reader.
            self.terminal.resize(Rect::from(self.app.ui.size))?;
        }
        Ok(())
    }

    fn ask_status(&mut self, asked: &mut Option<Instant>) {
        let Some(status) = &self.options.status else { return };
        if asked.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) || self.app.take_extra_done() {
            *asked = Some(Instant::now());
            let text = status();
            self.app.update(Message::Status(text), now(self.started));
        }
    }
}

fn now(started: Instant) -> Now {
    let mono = Time(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
    Now { mono, wall: wall() }
}

fn wall() -> Stamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Passes on what the importer tells, in batches.
fn forward(importer: &Arc<Importer>, send: Sender<Message>) -> io::Result<()> {
    let events = importer.events().clone();
    thread::Builder::new().name("tif-tui-events".into()).spawn(move || {
        while let Ok(first) = events.recv() {
            let batch = std::iter::once(first).chain(events.try_iter().take(BATCH_MAX - 1));
            let facts: Vec<Fact> = batch.filter_map(|event| fact(event, wall())).collect();
            if !facts.is_empty() && send.send(Message::Facts(facts)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
