//! Colours and marks. Whatever a colour says, a shape or a word says, too.
// spec: TUI-3

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::symbols::border;
use tif_core::model::Alarm;

use crate::app::Tone;
use crate::model::row::Trust;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Theme {
    /// Colours may be used.
    pub(crate) color: bool,
    /// Characters beyond ASCII may not.
    pub(crate) ascii: bool,
}

const ASCII_BORDER: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

impl Theme {
    fn colored(&self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// What is old or does not matter now.
    pub(crate) fn dim(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// The line that the cursor is on.
    pub(crate) fn selected(&self, focused: bool) -> Style {
        if focused { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new().add_modifier(Modifier::UNDERLINED) }
    }

    /// A heading.
    pub(crate) fn heading(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// A pane's title.
    pub(crate) fn title(&self, focused: bool) -> Style {
        if focused { self.colored(Color::Cyan).add_modifier(Modifier::BOLD) } else { Style::new() }
    }

    /// A pane's border.
    pub(crate) fn frame(&self, focused: bool) -> Style {
        if focused { self.colored(Color::Cyan) } else { self.dim() }
    }

    /// Its characters: the focused pane's are heavier, for those who see no colours.
    pub(crate) fn border(&self, focused: bool) -> border::Set<'static> {
        match (self.ascii, focused) {
            (true, _) => ASCII_BORDER,
            (false, true) => border::THICK,
            (false, false) => border::PLAIN,
        }
    }

    /// A key in the footer.
    pub(crate) fn key(&self) -> Style {
        self.colored(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// An alarm state. Yellow and magenta are told apart by the colour-blind, too.
    pub(crate) fn alarm(&self, alarm: Alarm) -> Style {
        match alarm {
            Alarm::Ok => Style::new(),
            Alarm::Warning => self.colored(Color::Yellow),
            Alarm::Critical => self.colored(Color::LightMagenta).add_modifier(Modifier::BOLD),
        }
    }

    /// Its mark.
    pub(crate) fn alarm_mark(&self, alarm: Alarm) -> &'static str {
        match alarm {
            Alarm::Ok => "",
            Alarm::Warning => "!",
            Alarm::Critical if self.ascii => "!!",
            Alarm::Critical => "‼",
        }
    }

    /// How far a value can be trusted.
    pub(crate) fn trust(&self, trust: &Trust) -> Style {
        match trust {
            Trust::Good => Style::new(),
            Trust::Failed(_) => self.colored(Color::Yellow),
            Trust::Nothing | Trust::Stale(_) | Trust::Outage(_) | Trust::Lost(_) => self.dim(),
        }
    }

    /// The status line.
    pub(crate) fn tone(&self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Good => self.colored(Color::Green),
            Tone::Bad => self.colored(Color::LightMagenta).add_modifier(Modifier::BOLD),
        }
    }

    /// A curve or a bar.
    pub(crate) fn plot(&self) -> Style {
        self.colored(Color::Cyan)
    }

    /// What a curve is drawn with.
    pub(crate) fn marker(&self) -> Marker {
        if self.ascii { Marker::Custom('*') } else { Marker::Braille }
    }

    /// What a bar is drawn with.
    pub(crate) fn bar(&self) -> &'static str {
        if self.ascii { "#" } else { "█" }
    }

    /// A node that is open, closed, or a leaf.
    pub(crate) fn node(&self, open_able: bool, open: bool) -> &'static str {
        match (open_able, open, self.ascii) {
            (false, _, _) => " ",
            (true, true, true) => "v",
            (true, true, false) => "▾",
            (true, false, true) => ">",
            (true, false, false) => "▸",
        }
    }

    /// Where a text was cut.
    pub(crate) fn cut(&self) -> &'static str {
        if self.ascii { "." } else { "…" }
    }
}
