//! The one kind of thing that the loop waits for.

use crossterm::event::{KeyEvent, MouseEvent};

use crate::backend::{Answer, Ticket};
use crate::model::fact::Fact;

/// Something that may change the screen.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// A key went down.
    Key(KeyEvent),
    /// The mouse.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has another size.
    Resize(u16, u16),
    /// What the importer told, in order.
    Facts(Vec<Fact>),
    /// A request is answered.
    Answer {
        /// Which.
        ticket: Ticket,
        /// How.
        result: Result<Answer, String>,
    },
    /// The caller's status line has another text.
    Status(Option<String>),
    /// Leave: a signal asked for it, or the terminal is gone.
    Quit,
}
