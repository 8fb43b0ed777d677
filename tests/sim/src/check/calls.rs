//! I15, of calls: a procedure is called at most once for each request id, on whatever CPU and whatever fails, and who asks is told what it answered.
//!
//! I17: that nobody will know what became of a request is told of calls only, and only of those that were entered in a journal before they were begun. What
//! became of a change is always known in the end.
// spec: TST-4

use std::collections::BTreeMap;

use tif_core::machine::calls::{CallRecord, Outcome};
use tif_core::model::RequestId;
use tif_core::wire::ToAgent;

use super::{Verdict, Violation, violation, wrong};

/// What a procedure answered, or whoever asked was told.
pub type Answer = Result<String, String>;

/// Something that happened to a call.
#[derive(Clone, Debug)]
pub enum Event {
    /// A procedure was called, on this CPU. The number that it was given as its argument is its request's own.
    Made(u32, u64, Answer),
    /// An agent tells the result.
    Told(RequestId, Answer),
    /// An agent tells that nobody will know the result. Whether a journal has an entry of it on any CPU is asked where it is looked at.
    Unknown(RequestId),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Calls {
    /// By the call's number, with the CPU that made it.
    made: BTreeMap<u64, (u32, Answer)>,
}

impl Calls {
    /// Something happens to a call, on whatever CPU.
    ///
    /// # Errors
    /// If it was made before, or was not, or had another result; or if it is said not to be known and was not begun.
    pub fn on_event(&mut self, event: &Event, is_entered: impl Fn(&RequestId) -> bool) -> Verdict {
        match event {
            Event::Unknown(id) if is_entered(id) => Ok(()),
            Event::Unknown(id) => wrong("calls", format!("nobody is to know what became of {id}, and it was never begun")),
            Event::Made(node, number, answer) => match self.made.insert(*number, (*node, answer.clone())) {
                Some((first, before)) => wrong(
                    "calls",
                    format!("call {number} is made again on cpu{node}; the first time, on cpu{first}, it answered {before:?}"),
                ),
                None => Ok(()),
            },
            Event::Told(id, answer) => match number_of(id).and_then(|number| self.made.get(&number)) {
                Some((_, made)) if made == answer => Ok(()),
                made => wrong("calls", format!("{id} is told to have answered {answer:?}, and did {made:?}")),
            },
        }
    }

    /// How many calls were made.
    pub fn made(&self) -> usize {
        self.made.len()
    }
}

/// Somebody who asked for this is told that nobody will know what became of it; none: it has asked others since. `entry`: what the journal of this CPU, if there
/// is no other, has of a call. Returns which call it is.
///
/// # Errors
/// If it was no call, or it is known after all.
pub fn look_at_unknown<'a>(
    request: Option<&ToAgent>,
    entry: impl Fn(&RequestId) -> Option<&'a CallRecord>,
) -> Result<Option<RequestId>, Violation> {
    let id = match request {
        Some(ToAgent::Fire { request_id, .. }) => request_id,
        Some(other) => return Err(violation("calls", format!("nobody is to know what became of {other:?}"))),
        None => return Ok(None),
    };
    match entry(id).and_then(|call| call.outcome.as_ref()) {
        Some(Outcome::Returned(result)) => {
            Err(violation("calls", format!("nobody is to know what became of {id}, and the journal has {result:?}")))
        }
        _ => Ok(Some(id.clone())),
    }
}

/// The result of a call is told. `is_durable`: as far as the store can be written.
///
/// # Errors
/// If it is not.
pub fn look_at_answer(id: &RequestId, is_durable: bool) -> Verdict {
    if is_durable { Ok(()) } else { wrong("calls", format!("what became of {id} is told, and is not in the journal")) }
}

/// The number that a call of this id gives its procedure.
pub fn number_of(id: &RequestId) -> Option<u64> {
    let (node, number) = id.as_str().strip_prefix('f')?.split_once('-')?;
    Some(node.parse::<u64>().ok()? << 32 | number.parse::<u64>().ok()?)
}
