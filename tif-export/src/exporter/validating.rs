//! Asks the service's validators. Each has its own line: one that thinks long holds up neither the others nor what the steward does.
// spec: CTL-1

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tif_core::model::{Slot, Value};
use tif_core::wire::ToAgent;
use tif_process::Sender;

use super::pool::VALIDATING;
use super::steward::send;
use crate::home::{Home, Live};

/// A question of the agent.
struct Asked {
    sender: Sender,
    req: u64,
    value: Value,
}

/// The controls whose validators think now, and what each is to be asked next. That is one question at most: the agent asks one after the other, and of
/// two that wait it has given up the first.
#[derive(Clone, Default)]
pub(super) struct Validations(Arc<Mutex<BTreeMap<Slot, Option<Asked>>>>);

impl Validations {
    /// Asks the validator of the control in a slot, as soon as it has answered the question before.
    pub(super) fn ask(&self, home: &Home, sender: &Sender, req: u64, slot: Slot, value: Value) {
        let asked = Asked { sender: sender.clone(), req, value };
        let mut thinking = self.0.lock();
        if let Some(next) = thinking.get_mut(&slot) {
            *next = Some(asked);
            return;
        }
        thinking.insert(slot, None);
        drop(thinking);
        let (theirs, home) = (self.clone(), home.clone());
        if !VALIDATING.submit(move || theirs.answer(&home, slot, asked)) {
            self.0.lock().remove(&slot);
            send(sender, ToAgent::Busy { req, reason: "the service has too many questions to answer".into() });
        }
    }

    fn answer(&self, home: &Home, slot: Slot, mut asked: Asked) {
        loop {
            let result = match home.live(slot) {
                Some(Live::Control(control)) => control.validate(&asked.value),
                _ => Err("there is no such control".into()),
            };
            send(&asked.sender, ToAgent::Validated { req: asked.req, result });
            let mut thinking = self.0.lock();
            match thinking.get_mut(&slot).and_then(Option::take) {
                Some(next) => asked = next,
                None => {
                    thinking.remove(&slot);
                    return;
                }
            }
        }
    }
}
