//! I15, of calls: a procedure is called at most once for each request id on each CPU, whatever fails, and who asks is told what it answered.
//!
//! Each CPU has a journal of its own. That another CPU, which has taken a service over, makes a call again is not seen here: it does.
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
    /// By the CPU that made it and the call's number.
    made: BTreeMap<(u32, u64), Answer>,
}

impl Calls {
    /// Something happens to a call, on whatever CPU.
    ///
    /// # Errors
    /// If it was made before, or was not, or had another result.
    pub fn on_event(&mut self, event: &Event) -> Verdict {
        match event {
            Event::Made(node, number, answer) => match self.made.insert((*node, *number), answer.clone()) {
                Some(before) => wrong("calls", format!("call {number} is made again on cpu{node}; the first time it answered {before:?}")),
                None => Ok(()),
            },
            Event::Told(id, answer) => {
                let number = number_of(id);
                let made: Vec<&Answer> = self.made.iter().filter(|((_, of), _)| Some(*of) == number).map(|(_, made)| made).collect();
                if made.contains(&answer) {
                    return Ok(());
                }
                wrong("calls", format!("{id} is told to have answered {answer:?}, and did {made:?}"))
            }
        }
    }

    /// How many calls were made.
    pub fn made(&self) -> usize {
        self.made.len()
    }
}

/// The number that a call of this id gives its procedure.
pub fn number_of(id: &RequestId) -> Option<u64> {
    let (node, number) = id.as_str().strip_prefix('f')?.split_once('-')?;
    Some(node.parse::<u64>().ok()? << 32 | number.parse::<u64>().ok()?)
}
