//! The screen's state and the one function that changes it: [`App::update`].
//!
//! The loop hands in messages; what is to be asked of the agent waits in the outbox until the loop takes it. Nothing here reads a clock,
//! a terminal or a socket, so a test drives it with the same key events as the loop.

mod act;
mod dialog;
mod field;
pub(crate) mod form;
mod list;
mod log;
mod mouse;
mod navigate;
pub(crate) mod palette;
mod perform;
mod settle;
mod status;
mod tree;
mod ui;

use std::collections::BTreeMap;
use std::time::Duration;

use crossterm::event::{KeyEvent, KeyEventKind};
use ratatui::layout::Size;
use tif_core::model::{Outage, Time};

pub(crate) use dialog::{Confirm, Dialog};
pub(crate) use list::List;
pub(crate) use log::{Log, Outcome};
pub(crate) use status::Status;
pub(crate) use tree::TreeState;
pub(crate) use ui::{ExtraKey, Pane, Settings, Tone, Ui};

use crate::backend::{Answer, Request, Ticket};
use crate::keymap::{self, Command, Context, Tab};
use crate::message::Message;
use crate::model::Model;
use crate::model::fact::{Fact, Now};
use crate::model::row::Row;
use crate::model::tree::{NodeId, Tree};
use crate::view::areas::{self, Areas};
use crate::view::outages::headline;

/// How often the processes are asked for while they are on the screen.
const PROCESSES_EVERY: Duration = Duration::from_secs(2);
/// How often ages on the screen change.
const AGES_EVERY: Duration = Duration::from_secs(1);

/// The display as it was when it was frozen.
struct Frozen {
    model: Model,
    now: Now,
}

/// The whole screen.
pub(crate) struct App {
    model: Model,
    frozen: Option<Frozen>,
    pub(crate) ui: Ui,
    pub(crate) log: Log,
    pub(crate) settings: Settings,
    outbox: Vec<(Ticket, Request)>,
    pending: BTreeMap<Ticket, Request>,
    next_ticket: u64,
    processes_asked: Option<Time>,
    aged_at: Time,
    /// The moment of the last message or tick.
    clock: Time,
    /// The extra key has done its work since this was last asked.
    extra_done: bool,
    dirty: bool,
    pub(crate) quit: bool,
}

impl App {
    /// An empty screen of that size.
    pub(crate) fn new(settings: Settings, size: Size, now: Now) -> App {
        let ui = Ui::new(&settings, size);
        let mut app = App {
            model: Model::new(now),
            frozen: None,
            ui,
            log: Log::default(),
            settings,
            outbox: Vec::new(),
            pending: BTreeMap::new(),
            next_ticket: 0,
            processes_asked: None,
            aged_at: now.mono,
            clock: now.mono,
            extra_done: false,
            dirty: true,
            quit: false,
        };
        app.ask(Request::Outages);
        app.ask_processes(now);
        app
    }

    /// What is shown: the present, or what was frozen.
    pub(crate) fn model(&self) -> &Model {
        self.frozen.as_ref().map_or(&self.model, |frozen| &frozen.model)
    }

    /// The moment that is shown.
    pub(crate) fn shown_now(&self, now: Now) -> Now {
        self.frozen.as_ref().map_or(now, |frozen| frozen.now)
    }

    /// When the display was frozen; none if it is not.
    pub(crate) fn frozen_at(&self) -> Option<Now> {
        self.frozen.as_ref().map(|frozen| frozen.now)
    }

    /// Where everything is on the screen.
    pub(crate) fn areas(&self) -> Areas {
        areas::of(&self.ui)
    }

    /// Where keys go.
    pub(crate) fn context(&self) -> Context {
        match self.ui.dialogs.last() {
            Some(dialog) => dialog.context(),
            None => self.pane_context(),
        }
    }

    /// Where keys go when no dialog is open.
    pub(crate) fn pane_context(&self) -> Context {
        match (self.ui.tab, self.ui.pane) {
            (Tab::Instruments, Pane::Tree) => Context::Tree,
            (Tab::Instruments, Pane::Table) => Context::Table,
            (Tab::Instruments, Pane::Detail) => Context::Detail,
            (Tab::Outages, _) => Context::Outages,
            (Tab::Processes, _) => Context::Processes,
            (Tab::Actions, _) => Context::Actions,
        }
    }

    /// The instrument that is selected, as shown.
    pub(crate) fn selected_row(&self) -> Option<&Row> {
        self.model().row(self.ui.selected?)
    }

    /// Takes in a message.
    pub(crate) fn update(&mut self, message: Message, now: Now) {
        self.clock = now.mono;
        match message {
            Message::Key(event) => self.key(event, now),
            Message::Mouse(event) => self.mouse(event, now),
            Message::Paste(text) if !areas::is_too_small(self.ui.size) => self.paste(&text),
            Message::Paste(_) => {}
            Message::Resize(width, height) => self.ui.size = Size { width, height },
            Message::Facts(facts) => self.facts(facts, now),
            Message::Answer { ticket, result } => self.answer(ticket, result, now),
            Message::Status(text) if self.ui.notice == text => return,
            Message::Status(text) => self.ui.notice = text,
            Message::Quit => self.quit = true,
        }
        self.dirty = true;
        self.settle(now);
    }

    /// Does what time alone makes due.
    pub(crate) fn tick(&mut self, now: Now) {
        self.clock = now.mono;
        self.dirty |= self.ui.status.tick(now.mono);
        if self.ui.tab == Tab::Processes && self.processes_asked.is_none_or(|at| now.mono >= at + PROCESSES_EVERY) {
            self.ask_processes(now);
        }
        let shows_ages = self.frozen.is_none() && (self.model.tally().rows > 0 || self.model.link_down().is_some());
        if shows_ages && now.mono >= self.aged_at + AGES_EVERY {
            self.aged_at = now.mono;
            self.dirty = true;
        }
        if self.overdue().is_some_and(|due| now.mono >= due) {
            self.dirty = true;
        }
        if self.dirty {
            self.settle(now);
        }
    }

    /// When [`App::tick`] has something to do next.
    pub(crate) fn deadline(&self) -> Time {
        let ages = self.aged_at + AGES_EVERY;
        let processes = (self.ui.tab == Tab::Processes).then(|| self.processes_asked.unwrap_or(Time::ZERO) + PROCESSES_EVERY);
        [self.overdue(), processes, self.ui.status.due()].into_iter().flatten().fold(ages, Time::min)
    }

    fn overdue(&self) -> Option<Time> {
        let (table, tree) = (self.ui.index.overdue(self.model(), self.ui.sort), self.ui.tree.overdue(self.model()));
        [table, tree].into_iter().flatten().min()
    }

    /// Whether the screen has changed since it was last asked.
    pub(crate) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// Whether the screen has changed.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Whether the extra key has done its work since this was last asked.
    pub(crate) fn take_extra_done(&mut self) -> bool {
        std::mem::take(&mut self.extra_done)
    }

    /// What is to be asked of the agent.
    pub(crate) fn take_outbox(&mut self) -> Vec<(Ticket, Request)> {
        std::mem::take(&mut self.outbox)
    }

    fn key(&mut self, event: KeyEvent, now: Now) {
        if event.kind == KeyEventKind::Release {
            return;
        }
        if areas::is_too_small(self.ui.size) {
            // Nobody does on purpose what cannot be seen; leaving is what the screen offers.
            self.quit |= keymap::command(Context::Table, event, None) == Some(Command::Quit);
            return;
        }
        self.ui.status.on_key();
        let context = self.context();
        let extra = self.settings.extra.as_ref().map(|extra| extra.key);
        match keymap::command(context, event, extra) {
            Some(command) => self.perform(command, now),
            None if context.takes_text() => self.type_into(event),
            None => {}
        }
    }

    fn facts(&mut self, facts: Vec<Fact>, now: Now) {
        for fact in facts {
            match &fact {
                Fact::Outage(_) | Fact::ProcessChanged => self.ask_processes(now),
                Fact::Link(crate::model::fact::Link::Up { .. }) => {
                    self.ask(Request::Outages);
                    self.ask_processes(now);
                }
                _ => {}
            }
            if let Fact::Outage(outage) = &fact {
                let began = Outage { end: None, ..outage.clone() };
                self.ui.status.take_back(&headline(&began).0);
                match headline(outage) {
                    (text, Tone::Bad) => self.ui.status.fail(text),
                    (text, tone) => self.say(text, tone),
                }
            }
            self.model.apply(fact, now);
        }
    }

    fn answer(&mut self, ticket: Ticket, result: Result<Answer, String>, now: Now) {
        let request = self.pending.remove(&ticket);
        self.extra_done |= request == Some(Request::Extra);
        match (request, result) {
            (_, Ok(Answer::Processes(rows))) => {
                self.model.processes = rows;
                self.model.processes_at = Some(now.wall);
            }
            (_, Ok(Answer::Outages(rows))) => self.model.remember(rows),
            (Some(Request::Processes | Request::Outages), Err(reason)) => self.say(reason, Tone::Bad),
            (_, result) => self.done(ticket, result),
        }
    }

    /// Asks the agent for something that nobody sees as an action.
    fn ask(&mut self, request: Request) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.pending.insert(ticket, request.clone());
        self.outbox.push((ticket, request));
        ticket
    }

    fn ask_processes(&mut self, now: Now) {
        self.processes_asked = Some(now.mono);
        if !self.pending.values().any(|request| *request == Request::Processes) {
            self.ask(Request::Processes);
        }
    }

    /// Puts a text into the status line, for as long as it takes to read.
    fn say(&mut self, text: impl Into<String>, tone: Tone) {
        self.ui.status.say(text.into(), tone, self.clock);
    }

    /// The node whose instruments the table shows.
    pub(crate) fn scope(&self) -> NodeId {
        self.ui.tree.scope(self.model()).unwrap_or(Tree::ROOT)
    }
}
