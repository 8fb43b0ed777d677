//! What became of a request, asked for by its id alone.
//!
//! Whoever made it, or somebody who took over from there, knows the id and perhaps nothing else. Changes and calls have one space of ids, so one question fits
//! both. What is under way is waited for; what nobody knows is said to be known to nobody, never to have failed.
// spec: CTL-3, TST-4

use super::io::{Conn, Moment};
use super::{Agent, Outbox};
use crate::model::{Refusal, RequestId, SetResult};
use crate::wire::ToProcess;

impl Agent {
    pub(super) fn on_recall(&mut self, now: Moment, conn: Conn, req: u64, id: &RequestId, out: &mut Outbox) {
        if let Err(refusal) = super::settling::check_id(id) {
            return self.refuse(out, conn, req, refusal);
        }
        if let Some(done) = self.ledger.answer(id).cloned() {
            let result = SetResult { repeated: true, ..done.result };
            return self.send(out, conn, ToProcess::SetDone { req, result });
        }
        if self.used_by_change(id).is_some() {
            return self.join_change(conn, req, id, out);
        }
        self.give_up_lost_calls(now, out);
        if self.used_by_call(id).is_some() {
            return self.tell_call(now, conn, req, id, out);
        }
        self.refuse(out, conn, req, Refusal::UnknownRequest { id: id.to_string(), silent: String::new() });
    }
}
