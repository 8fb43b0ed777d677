//! I15, of calls: a procedure is called at most once for each request id, on whatever CPU and whatever fails, and who asks is told what it answered.
// spec: TST-4

use std::collections::BTreeMap;

use tif_core::model::RequestId;

use super::{Verdict, wrong};

/// What a procedure answered, or whoever asked was told.
pub type Answer = Result<String, String>;

/// Something that happened to a call.
#[derive(Clone, Debug)]
pub enum Event {
    /// A procedure was called, on this CPU. The number that it was given as its argument is its request's own.
    Made(u32, u64, Answer),
    /// An agent tells the result.
    Told(RequestId, Answer),
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
    /// If it was made before, or was not, or had another result.
    pub fn on_event(&mut self, event: &Event) -> Verdict {
        match event {
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
