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
pub const ONE_IN: u64 = 8192;

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
    if before != after {
        let same = before.chars().zip(after.chars()).take_while(|(was, is)| was == is);
        let at = same.map(|(c, _)| c.len_utf8()).sum();
        let (was, is) = (around(&before, at), around(&after, at));
        return wrong("outdated", format!("{words} has changed `{was}` to `{is}`"));
    }
    let only_tells = |output: &Output| match output {
        Output::Send { message, .. } => matches!(**message, ToProcess::StaleKey { .. } | ToProcess::Refused { .. }),
        Output::ToPeer { frame, .. } => {
            matches!(frame.body, PeerBody::Refused { .. } | PeerBody::Hello { .. } | PeerBody::Incompatible { .. })
        }
        _ => false,
    };
    match out.iter().find(|output| !only_tells(output)) {
        Some(output) => wrong("outdated", format!("{words} had this done: {output:?}")),
        None => Ok(()),
    }
}

/// All that is in it, but how many such messages came and who is to be told that its life is over; and not when the agent last looked at the clock.
fn all_of(agent: &Agent) -> String {
    let all = format!("{agent:?}");
    let mut lasting = String::with_capacity(all.len());
    let mut rest = all.as_str();
    while let Some((before, field)) = [", refused: ", ", stale_keys: ", "Doubt { last: "]
        .iter()
        .filter_map(|name| rest.split_once(name))
        .min_by_key(|(before, _)| before.len())
    {
        lasting.push_str(before);
        rest = &field[value_len(field)..];
    }
    lasting + rest
}

/// How long the value is with which this begins.
fn value_len(text: &str) -> usize {
    let mut depth = 0;
    let ends = |c: char| {
        match c {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            _ => {}
        }
        depth < 0 || (depth == 0 && c == ',')
    };
    text.find(ends).unwrap_or(text.len())
}

fn around(text: &str, at: usize) -> &str {
    let from = text[..at].char_indices().rev().nth(60).map_or(0, |(from, _)| from);
    let to = text[at..].char_indices().nth(60).map_or(text.len(), |(to, _)| at + to);
    &text[from..to]
}
