//! What changes the system: orders go to the agent after a confirmation, and into the log with their command line.
// spec: TUI-2

use std::borrow::Cow;

use tif_core::model::Changed;

use super::form::Form;
use super::{App, Confirm, Dialog, List, Outcome, Tone};
use crate::backend::{Answer, Request, Ticket};
use crate::keymap::Command;
use crate::model::fact::Now;

/// An order that waits for the link would take effect at a time that nobody chose.
const NO_LINK: &str = "the link to the agent is down: nothing is sent until it is back";

impl App {
    /// Does what was confirmed; without a link the confirmation stays.
    pub(super) fn confirmed(&mut self, confirm: Confirm, now: Now) {
        if self.model.link_down().is_some() && confirm.request != Request::Extra {
            self.ui.dialogs.push(Dialog::Confirm(confirm));
            self.refuse(NO_LINK);
            return;
        }
        self.ui.dialogs.clear();
        self.order(confirm.request, now);
    }

    /// What the control of a form shows now; what it showed when the form was opened, if it is gone.
    pub(crate) fn current<'a>(&self, form: &Form, old: &'a str) -> Cow<'a, str> {
        self.model().row(form.row).map_or(Cow::Borrowed(old), |row| row.shown_value().into())
    }

    /// Opens the form or the confirmation for an action on the selected instrument.
    pub(super) fn begin(&mut self, command: Command, _now: Now) {
        if self.ui.read_only {
            let why = if self.settings.read_only { "read-only: started with --read-only" } else { "read-only: press r to allow changes" };
            self.refuse(why);
            return;
        }
        if self.model.link_down().is_some() {
            self.refuse(NO_LINK);
            return;
        }
        let Some((id, row)) = self.ui.selected.and_then(|id| Some((id, self.model().row(id)?))) else {
            self.refuse("select an instrument first");
            return;
        };
        let old = row.trust(self.model().link_down()).old_since().is_some();
        let (address, kind) = (row.address.clone(), row.announcement.descriptor.kind.word());
        let form = match command {
            Command::Edit => Form::set(id, row),
            Command::Fire => Form::fire(id, row),
            Command::Arm => Form::arm(id, row),
            _ => None,
        };
        let wanted = match command {
            Command::Edit => "only a control can be edited",
            Command::Fire => "only a procedure can be fired",
            _ => "only an in-path test point can be armed",
        };
        match (form, command) {
            (Some(mut form), _) => {
                if old {
                    form.about.push("No live exporter stands behind it at present: the agent may refuse.".to_owned());
                }
                if form.fields.is_empty()
                    && let Ok(request) = form.request()
                {
                    let lines = vec![address];
                    let line = self.settings.writer.of(&request);
                    let confirm = Confirm { title: "Fire this procedure?".to_owned(), lines, line, request };
                    self.ui.dialogs.push(Dialog::Confirm(confirm));
                } else {
                    self.ui.dialogs.push(Dialog::Form(form));
                }
            }
            (None, Command::Disarm) if kind == "test_point" => {
                let request = Request::Disarm { name: address.clone() };
                let line = self.settings.writer.of(&request);
                let confirm = Confirm { title: "Disarm this test point?".to_owned(), lines: vec![address], line, request };
                self.ui.dialogs.push(Dialog::Confirm(confirm));
            }
            (None, _) => self.refuse(&format!("{address} is a {kind}; {wanted}")),
        }
    }

    /// The caller's own key.
    pub(super) fn begin_extra(&mut self, now: Now) {
        let Some(extra) = self.settings.extra.clone() else { return };
        if self.ui.read_only {
            self.refuse("read-only: press r to allow changes");
            return;
        }
        match extra.confirm {
            None => self.order(Request::Extra, now),
            Some(question) => {
                let confirm = Confirm { title: question, lines: vec![extra.label], line: None, request: Request::Extra };
                self.ui.dialogs.push(Dialog::Confirm(confirm));
            }
        }
    }

    /// Sends it off and writes it down.
    pub(super) fn order(&mut self, request: Request, now: Now) {
        let called = self.settings.extra.as_ref().map_or("", |extra| &extra.label);
        let line = self.settings.writer.of(&request).unwrap_or_else(|| format!("({called})"));
        let ticket = self.ask(request);
        self.log.begin(ticket, now.wall, line.clone());
        self.say(format!("{line}: under way"), Tone::Plain);
    }

    /// An action has ended.
    pub(super) fn done(&mut self, ticket: Ticket, result: Result<Answer, String>) {
        let outcome = match result {
            Ok(answer) => match answer {
                Answer::Fired(Err(reason)) => Outcome::Failed(format!("the procedure answers an error: {reason}")),
                Answer::Unknown(reason) => Outcome::Unknown(reason),
                answer => Outcome::Done(in_words(&answer)),
            },
            Err(reason) => Outcome::Failed(reason),
        };
        match &outcome {
            Outcome::Done(text) => self.say(text.clone(), Tone::Good),
            Outcome::Failed(text) => self.ui.status.fail(format!("not done: {text}")),
            Outcome::Unknown(text) => self.ui.status.fail(text.clone()),
            Outcome::UnderWay => {}
        }
        self.log.end(ticket, outcome);
    }

    /// The command lines that show what is selected.
    pub(super) fn show_command_line(&mut self) {
        let Some(row) = self.ui.selected.and_then(|id| self.model().row(id)) else { return };
        let writer = &self.settings.writer;
        let mut lines = vec![writer.watch(&row.address), writer.sense(&row.address)];
        if row.announcement.descriptor.is_control()
            && let Some(value) = row.value()
        {
            let value = value.show(&row.announcement.descriptor.choices).to_string();
            lines.extend(writer.of(&Request::Set { name: row.address.clone(), value }));
        }
        if let Some(last) = self.log.entries().next() {
            lines.extend([String::new(), "last action:".to_owned(), last.line.clone()]);
        }
        self.ui.dialogs.push(Dialog::Text { title: "The same on the command line".to_owned(), lines, list: List::default() });
    }
}

fn in_words(answer: &Answer) -> String {
    match answer {
        Answer::Set(set) => {
            let shown = |c: &Changed| {
                let (old, new) = (c.old.show(&c.choices), c.new.show(&c.choices));
                format!("{}: {old} -> {new}, version {}", c.name, c.version)
            };
            let mut text = set.changed.iter().map(shown).collect::<Vec<_>>().join("; ");
            text.push_str(if set.replicated { ", replicated" } else { ", local" });
            if !set.applied {
                text.push_str("; accepted, the service has not yet said that it runs with it");
            }
            text.push_str(&format!(" (request {})", set.request_id));
            text
        }
        Answer::Fired(Ok(result)) => format!("answers {result}"),
        Answer::Fired(Err(reason)) | Answer::Unknown(reason) => reason.clone(),
        Answer::Armed => "done".to_owned(),
        Answer::Extra(text) => text.clone(),
        Answer::Processes(_) | Answer::Outages(_) => String::new(),
    }
}
