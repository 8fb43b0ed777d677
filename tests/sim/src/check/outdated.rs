//! I5: what comes from a life that is over, or is meant for one, changes nothing.
//!
//! Such messages are rare in the world itself: a connection ends with its process, and a datagram of an agent's former life comes before the first of the next.
//! So now and then what has just come is said once more as if an earlier life had said it, or as if it had been meant for one, and the agent is looked at
//! with all that is in it. The world goes on as if that had not been: the answer goes to nobody.
// spec: PSM-7, PSM-11, FAB-3

use tif_core::agent::Agent;
use tif_core::agent::io::{Input, Moment, Output};
use tif_core::model::{Incarnation, Key};
use tif_core::wire::{PeerBody, ToProcess};

use super::{Verdict, wrong};

/// How often an input is said once more: all that is in the agent is compared, which takes as long as thousands of inputs.
pub const ONE_IN: u64 = 4096;

/// What an earlier life would have said instead, or what would have been meant for one; none if there was none, or if this says nothing of lives. `dead`: who is
/// known to be dead on this CPU.
pub fn of(input: &Input, agent: Key, dead: Option<Key>, which: u64) -> Option<Input> {
    match input.clone() {
        Input::Message { conn, from, to, body } => match which % 3 {
            0 => Some(Input::Message { conn, from, to: earlier(agent)?, body }),
            1 => Some(Input::Message { conn, from: earlier(from)?, to, body }),
            _ => Some(Input::Message { conn, from: dead?, to, body }),
        },
        Input::Peer { from, mut frame } => {
            frame.from = earlier(frame.from)?;
            // Or it says two things.
            if which.is_multiple_of(2) {
                match &mut frame.body {
                    PeerBody::Beat(beat) => beat.from = frame.from,
                    PeerBody::Link(part) => part.from = frame.from,
                    _ => {}
                }
            }
            Some(Input::Peer { from, frame })
        }
        Input::Exited { cause, .. } => Some(Input::Exited { key: dead?, cause }),
        Input::Observed { observed, .. } => Some(Input::Observed { key: dead?, observed }),
        Input::Table { changes, .. } => Some(Input::Table { key: dead?, changes }),
        Input::Sampled { samples, .. } => Some(Input::Sampled { key: dead?, samples, token: None }),
        _ => None,
    }
}

/// The life before.
fn earlier(key: Key) -> Option<Key> {
    let Key { inc, .. } = key;
    let before = match inc.counter() {
        0 | 1 => Incarnation::new(inc.epoch().checked_sub(1).filter(|epoch| *epoch > 0)?, inc.counter()),
        counter => Incarnation::new(inc.epoch(), counter - 1),
    };
    Some(Key { inc: before, ..key })
}

/// Says it to the agent, just after something else was.
///
/// # Errors
/// If anything in the agent is not as before, or it does anything but say that the key is not current.
pub fn look(agent: &mut Agent, now: Moment, input: Input) -> Verdict {
    let before = all_of(agent);
    let words = format!("{input:?}");
    let mut out = Vec::new();
    agent.handle(now, input, &mut out);
    let after = all_of(agent);
    let (was, is) = (lasting(&before), lasting(&after));
    if let Some((was, is)) = was.iter().zip(&is).find(|(was, is)| was != is) {
        return wrong("outdated", format!("{words} has changed `{}` to `{}`", was.trim(), is.trim()));
    }
    if was.len() != is.len() {
        return wrong("outdated", format!("{words} has changed what the agent holds"));
    }
    let only_tells = |output: &Output| match output {
        Output::Send { message, .. } => matches!(**message, ToProcess::StaleKey { .. }),
        Output::ToPeer { .. } => true,
        _ => false,
    };
    match out.iter().find(|output| !only_tells(output)) {
        Some(output) => wrong("outdated", format!("{words} had this done: {output:?}")),
        None => Ok(()),
    }
}

fn all_of(agent: &Agent) -> String {
    format!("{agent:#?}")
}

/// All lines but how many such messages came, and that their sender is to be told.
fn lasting(all: &str) -> Vec<&str> {
    let mut lines = all.lines();
    let mut lasting = Vec::new();
    while let Some(line) = lines.next() {
        let (indent, field) = line.split_at(line.len() - line.trim_start().len());
        if field.starts_with("refused: Some(") {
            lines.by_ref().find(|line| line.strip_prefix(indent) == Some("),"));
        } else if !field.starts_with("refused: ") && !field.starts_with("stale_keys: ") {
            lasting.push(line);
        }
    }
    lasting
}
