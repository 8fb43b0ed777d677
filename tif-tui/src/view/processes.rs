//! The processes with their keys, states and roles.
// spec: TUI-1

use ratatui::Frame;
use ratatui::style::Style;
use tif_core::model::{ProcessState, Role};
use tif_core::wire::ProcessRow;

use super::areas::Areas;
use super::theme::Theme;
use super::{grid, text};
use crate::app::{App, Tone};
use crate::model::fact::Now;

const COLUMNS: [grid::Column; 7] = [("process", 0), ("key", 16), ("state", 12), ("role", 9), ("service", 9), ("pid", 7), ("for", 5)];

pub(super) fn draw(frame: &mut Frame<'_>, areas: &Areas, app: &App, theme: &Theme, now: Now) {
    let model = app.model();
    let list = app.ui.processes;
    let asked = model.processes_at.map_or_else(|| "not known yet".to_owned(), |at| format!("as of {}", text::clock(at)));
    let title = format!("Processes: {}, {asked}", model.processes.len());
    let inner = super::pane(frame, areas.list, title, true, theme);
    grid::heading(frame, inner, &COLUMNS, theme);
    // Since they were asked for, they have grown older, too.
    let later = model.processes_at.map_or(0, |at| u64::try_from(now.since(at).as_millis()).unwrap_or(0));
    // A name is a CPU's own.
    let several = model.processes.iter().any(|row| row.cpu != model.processes[0].cpu);
    for (i, row) in model.processes.iter().enumerate().skip(list.top).take(usize::from(inner.height.saturating_sub(1))) {
        let cells = [
            if several { format!("{}.{}", row.cpu, row.name) } else { row.name.to_string() },
            row.key.to_string(),
            row.state.word().to_owned(),
            row.role.word().to_owned(),
            row.service.as_ref().map_or_else(String::new, ToString::to_string),
            if row.pid == 0 { "-".to_owned() } else { row.pid.to_string() },
            text::age(std::time::Duration::from_millis(row.since_ms + later)),
        ];
        let mut style = match row.state {
            _ if model.link_down().is_some() => theme.dim(),
            ProcessState::Dead | ProcessState::Unregistered => theme.dim(),
            ProcessState::Suspect | ProcessState::Unreachable => theme.tone(Tone::Bad),
            _ if row.role == Role::Primary => theme.heading(),
            _ => Style::new(),
        };
        if i == list.cursor {
            style = style.patch(theme.selected(true));
        }
        grid::row(frame, inner, 1 + u16::try_from(i - list.top).unwrap_or(0), &COLUMNS, &cells, style, theme);
    }
    let row = model.processes.get(list.cursor);
    let title = row.map_or_else(|| "No process".to_owned(), |row| row.name.to_string());
    let inner = super::pane(frame, areas.info, title, false, theme);
    if let Some(row) = row {
        grid::lines(frame, inner, &facts(row), Style::new());
    }
}

fn facts(row: &ProcessRow) -> Vec<String> {
    let cause = row.cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
    vec![
        format!("{}, key {}, on {}, {}{cause}", row.name, row.key, row.cpu, row.state.word()),
        match row.pid {
            0 => format!("program {}, on another kernel", row.program),
            pid => format!("program {}, OS process {pid}", row.program),
        },
        match &row.service {
            Some(service) => {
                let number = row.number.map(|number| format!(", its member {number}")).unwrap_or_default();
                let weight = row.weight.map(|weight| format!(", weight {weight}")).unwrap_or_default();
                format!("{} of {service}, term {}{number}{weight}", row.role.word(), row.epoch)
            }
            None => row.role.word().to_owned(),
        },
        format!("exports {} instruments", row.instruments),
        format!("{} subscriptions, {} reports to it were coalesced", row.subscriptions, row.coalesced),
    ]
}
