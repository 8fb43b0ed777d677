//! What lies over the panes and takes the keys: forms, confirmations, the palette, the filter, texts.

use crossterm::event::{Event, KeyEvent};
use tui_input::Input;
use tui_input::backend::crossterm::EventHandler;

use super::form::{Form, Purpose};
use super::palette::{self, Palette};
use super::{App, List, Tone};
use crate::backend::Request;
use crate::keymap::{self, Command, Context};
use crate::model::fact::Now;
use crate::model::row::RowId;
use crate::view::dialog::text_lines;

/// What is about to be done, for the last look.
#[derive(Clone, Debug)]
pub(crate) struct Confirm {
    pub(crate) title: String,
    pub(crate) lines: Vec<String>,
    /// The equivalent command line.
    pub(crate) line: Option<String>,
    pub(crate) request: Request,
}

/// What lies over the panes.
#[derive(Clone, Debug)]
pub(crate) enum Dialog {
    Form(Form),
    Confirm(Confirm),
    Palette(Palette),
    /// With the filter as it was before.
    Filter {
        input: Input,
        before: String,
        /// The instrument that was selected then: it stays so wherever it fits.
        selected: Option<RowId>,
    },
    Text {
        title: String,
        lines: Vec<String>,
        list: List,
    },
}

impl Dialog {
    /// Where keys go.
    pub(crate) fn context(&self) -> Context {
        match self {
            Dialog::Form(_) => Context::Form,
            Dialog::Confirm(_) => Context::Confirm,
            Dialog::Palette(_) => Context::Palette,
            Dialog::Filter { .. } => Context::Filter,
            Dialog::Text { .. } => Context::Text,
        }
    }

    pub(super) fn filter(text: &str, selected: Option<RowId>) -> Dialog {
        Dialog::Filter { input: Input::new(text.to_owned()), before: text.to_owned(), selected }
    }

    pub(super) fn palette(app: &App) -> Dialog {
        Dialog::Palette(Palette::new(app))
    }

    /// The keys of the focused pane, what they do, and what the marks mean.
    // spec: TUI-3
    pub(super) fn help(app: &App) -> Dialog {
        let context = app.pane_context();
        let mut lines: Vec<String> =
            keymap::of(context).map(|binding| format!("{:<12} {}", palette::keys(binding), binding.help)).collect();
        if let Some(extra) = &app.settings.extra {
            lines.push(format!("{:<12} {}", extra.key, extra.label));
        }
        lines.push(String::new());
        lines.push("! warning, !! critical, ~ old: stale, lost or in an outage.".to_owned());
        lines.push("An old value is dimmed; its age counts from when it became old.".to_owned());
        lines.push(String::new());
        lines.push("What a dialog takes stands in the last line. In a field Ctrl-u clears".to_owned());
        lines.push("all, Ctrl-w the word before the cursor; what is filled in is replaced".to_owned());
        lines.push("by what you type, unless an arrow, Home or End comes first.".to_owned());
        Dialog::Text { title: format!("Help: {}", context.title()), lines, list: List::default() }
    }
}

impl App {
    /// An order while `dialog`, already taken off, was on top.
    pub(super) fn in_dialog(&mut self, dialog: Dialog, command: Command, now: Now) {
        match (dialog, command) {
            (Dialog::Filter { before, selected, .. }, Command::Cancel) => self.set_filter(&before, selected),
            (Dialog::Filter { .. }, Command::Accept) => {}
            (_, Command::Cancel) => {}
            (Dialog::Form(mut form), Command::Accept) => match form.request() {
                Ok(request) => {
                    let confirm = self.confirm(&form, request);
                    self.ui.dialogs.push(Dialog::Form(form));
                    self.ui.dialogs.push(Dialog::Confirm(confirm));
                }
                Err(()) => self.ui.dialogs.push(Dialog::Form(form)),
            },
            (Dialog::Form(mut form), command) => {
                let len = form.fields.len().max(1);
                match command {
                    Command::NextField => form.cursor = (form.cursor + 1) % len,
                    Command::PreviousField => form.cursor = (form.cursor + len - 1) % len,
                    Command::NextChoice | Command::PreviousChoice => {
                        let by = if command == Command::NextChoice { 1 } else { -1 };
                        let single = form.fields.len() == 1;
                        if let Some(field) = form.fields.get_mut(form.cursor)
                            && (single || field.has_choices())
                        {
                            field.turn(by);
                        } else {
                            form.cursor = (form.cursor as isize + by).rem_euclid(len as isize) as usize;
                        }
                    }
                    _ => {}
                }
                self.ui.dialogs.push(Dialog::Form(form));
            }
            (Dialog::Confirm(confirm), Command::Accept) => {
                self.confirmed(confirm, now);
            }
            (Dialog::Palette(palette), Command::Accept) => {
                if let Some(command) = palette.chosen() {
                    self.perform(command, now);
                }
            }
            (Dialog::Palette(mut palette), command) => {
                match command {
                    Command::NextChoice => palette.step(1),
                    Command::PreviousChoice => palette.step(-1),
                    _ => {}
                }
                self.ui.dialogs.push(Dialog::Palette(palette));
            }
            (Dialog::Text { title, lines, mut list }, command) => {
                let areas = self.areas();
                let page = isize::try_from(areas.text_rows().saturating_sub(1)).unwrap_or(1).max(1);
                list.step(match command {
                    Command::Up => -1,
                    Command::Down => 1,
                    Command::PageUp => -page,
                    Command::PageDown => page,
                    Command::First => isize::MIN / 2,
                    Command::Last => isize::MAX / 2,
                    _ => 0,
                });
                let most = text_lines(&lines, &areas).len().saturating_sub(areas.text_rows());
                list.cursor = list.cursor.min(most);
                self.ui.dialogs.push(Dialog::Text { title, lines, list });
            }
            (dialog, _) => self.ui.dialogs.push(dialog),
        }
    }

    /// A character for the field that has the cursor.
    pub(super) fn type_into(&mut self, event: KeyEvent) {
        match self.ui.dialogs.last_mut() {
            Some(Dialog::Form(form)) => {
                if let Some(field) = form.fields.get_mut(form.cursor) {
                    field.type_into(event);
                    form.tried = true;
                }
            }
            Some(Dialog::Palette(palette)) => {
                palette.input.handle_event(&Event::Key(event));
                palette.refresh();
            }
            Some(Dialog::Filter { input, selected, .. }) => {
                input.handle_event(&Event::Key(event));
                let (text, selected) = (input.value().to_owned(), *selected);
                self.set_filter(&text, selected);
            }
            _ => {}
        }
    }

    /// Pasted text goes where typed text goes, in one line.
    pub(super) fn paste(&mut self, text: &str) {
        for c in text.chars().filter(|c| !c.is_control()).take(tif_core::limits::TEXT_LEN_MAX) {
            self.type_into(KeyEvent::new(crossterm::event::KeyCode::Char(c), crossterm::event::KeyModifiers::NONE));
        }
    }

    /// What is about to be done, with old and new.
    // spec: TUI-2
    fn confirm(&self, form: &Form, request: Request) -> Confirm {
        let line = self.settings.writer.of(&request);
        let (title, lines) = match (&form.purpose, &request) {
            (Purpose::Set { old }, Request::Set { value, .. }) => {
                let unit = if form.unit == tif_core::model::Unit::ONE { String::new() } else { format!(" {}", form.unit) };
                let old = self.current(form, old);
                ("Change this control?", vec![form.name.clone(), format!("{old}{unit}  ->  {value}{unit}")])
            }
            (Purpose::Fire { .. }, Request::Fire { arguments, .. }) => {
                let arguments: Vec<String> = arguments.iter().map(|(name, value)| format!("{name} = {value}")).collect();
                ("Fire this procedure?", std::iter::once(form.name.clone()).chain(arguments).collect())
            }
            (_, Request::Arm { arming, .. }) => {
                let mut lines = vec![form.name.clone(), format!("action {}, for {:?}", arming.action, arming.expires_after)];
                let hits = arming.hits_max.map_or_else(|| "any number of hits".to_owned(), |hits| format!("at most {hits} hits"));
                lines.push(format!("probability {}, {hits}", arming.probability));
                lines.push("The running service will do this. It disarms itself at the end".to_owned());
                lines.push("of this session, too.".to_owned());
                ("Arm this test point?", lines)
            }
            _ => ("Do this?", vec![form.name.clone()]),
        };
        Confirm { title: title.to_owned(), lines, line, request }
    }

    /// Says why nothing can be done.
    pub(super) fn refuse(&mut self, why: &str) {
        self.say(why, Tone::Bad);
    }
}
