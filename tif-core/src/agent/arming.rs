//! In-path test points are armed and disarmed.
// spec: TST-1, TST-5

use std::time::Duration;

use super::io::{Conn, Moment};
use super::{Agent, Outbox, Question, Requester};
use crate::limits;
use crate::model::control::FaultAction;
use crate::model::{Argument, Arming, Key, Kind, Refusal, Slot, TestPointKind};
use crate::wire::ToProcess;

/// How long a service may take to arm a point.
const ARM_TIMEOUT: Duration = Duration::from_secs(2);

/// A point that is being armed or disarmed.
#[derive(Debug)]
pub(super) struct ArmingUnderWay {
    requester: Option<Requester>,
    pub key: Key,
    pub slot: Slot,
    address: String,
    /// It is to be disarmed when the session ends.
    for_session: bool,
}

impl Agent {
    /// Arms, or with no arming disarms.
    pub(super) fn on_arm(&mut self, now: Moment, conn: Conn, req: u64, name: &str, arming: Option<Arming>, out: &mut Outbox) {
        match self.admit_arming(name, arming.as_ref()) {
            Err(refusal) => self.refuse(out, conn, req, refusal),
            Ok((key, slot, address)) => {
                if !self.begin_request(conn, req, out) {
                    return;
                }
                let for_session = arming.as_ref().is_some_and(|a| !a.outlives_session);
                let underway = ArmingUnderWay { requester: Some((conn, req)), key, slot, address, for_session };
                let number = self.ask(now, Question::Arm(underway), ARM_TIMEOUT);
                if !self.tell(out, key, ToProcess::Arm { req: number, slot, arming }) {
                    self.answered(number);
                    self.end_request(conn);
                    let refusal = Refusal::NoExporter { name: name.to_owned(), state: "its process cannot be reached".into() };
                    self.refuse(out, conn, req, refusal);
                }
            }
        }
    }

    fn admit_arming(&self, name: &str, arming: Option<&Arming>) -> Result<(Key, Slot, String), Refusal> {
        let (id, address) = self.test_point(name)?;
        let Some(instrument) = self.table.find(id) else { return Err(self.table.not_found(name, name)) };
        let Kind::TestPoint(TestPointKind::InPath { fields }) = &instrument.descriptor.kind else {
            let wanted = "only in-path test points can be armed".to_owned();
            return Err(Refusal::WrongKind { name: address, kind: instrument.descriptor.kind.word().into(), wanted });
        };
        if let Some(arming) = arming {
            check_arming(arming, fields).map_err(|reason| Refusal::Unfit { name: address.clone(), reason })?;
        }
        let (key, slot) =
            instrument.here().ok_or_else(|| Refusal::NoExporter { name: address.clone(), state: instrument.quality.to_string() })?;
        Ok((key, slot, address))
    }

    pub(super) fn on_armed(&mut self, key: Key, req: u64, result: Result<(), String>, out: &mut Outbox) {
        let ours = matches!(self.questions.get(&req), Some(Question::Arm(a)) if a.key == key);
        if ours && let Some(Question::Arm(arming)) = self.answered(req) {
            self.finish_arming(arming, result, out);
        }
    }

    pub(super) fn finish_arming(&mut self, arming: ArmingUnderWay, result: Result<(), String>, out: &mut Outbox) {
        let Some((conn, req)) = arming.requester else { return };
        self.end_request(conn);
        if let Err(reason) = result {
            return self.refuse(out, conn, req, Refusal::Invalid { name: arming.address, reason });
        }
        // Whoever armed it before: this arming is the one that counts.
        for session in self.sessions.values_mut() {
            session.armed.remove(&(arming.key, arming.slot));
        }
        match self.sessions.get_mut(&conn) {
            Some(session) if arming.for_session => {
                session.armed.insert((arming.key, arming.slot));
            }
            Some(_) => {}
            // The session ended while the point was being armed for it.
            // spec: TST-5
            None if arming.for_session => return self.disarm_for_session(arming.key, arming.slot, out),
            None => return,
        }
        self.send(out, conn, ToProcess::Armed { req, name: arming.address });
    }

    /// It has disarmed itself: no session needs to.
    pub(super) fn on_disarmed(&mut self, key: Key, slot: Slot) {
        for session in self.sessions.values_mut() {
            session.armed.remove(&(key, slot));
        }
    }

    /// The session that armed it has ended.
    // spec: TST-5
    pub(super) fn disarm_for_session(&mut self, key: Key, slot: Slot, out: &mut Outbox) {
        let req = self.number();
        self.tell(out, key, ToProcess::Arm { req, slot, arming: None });
    }
}

/// Whether an arming is within its bounds.
///
/// # Errors
/// With what is wrong and what would be right.
// spec: TST-1
fn check_arming(arming: &Arming, fields: &[Argument]) -> Result<(), String> {
    if !(0.0..=1.0).contains(&arming.probability) {
        return Err(format!("the probability {} is out of range: allowed are 0 to 1", arming.probability));
    }
    if arming.hits_max == Some(0) {
        return Err("a hit limit of 0 would never hit: allowed are 1 and more".into());
    }
    if arming.expires_after.is_zero() || arming.expires_after > limits::ARM_EXPIRY_MAX {
        return Err(format!("armed for {:?}: allowed are more than 0 and up to {:?}", arming.expires_after, limits::ARM_EXPIRY_MAX));
    }
    if let FaultAction::Delay(delay) = arming.action
        && delay > limits::ARM_DELAY_MAX
    {
        return Err(format!("a delay of {delay:?}: at most {:?} are allowed", limits::ARM_DELAY_MAX));
    }
    if arming.conditions.len() > limits::ARGUMENTS_MAX {
        return Err(format!("{} conditions: at most {} are allowed", arming.conditions.len(), limits::ARGUMENTS_MAX));
    }
    for condition in &arming.conditions {
        let Some(field) = fields.iter().find(|f| f.name == condition.field) else {
            let known: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
            let known = if known.is_empty() { "it has no fields".to_owned() } else { format!("its fields are {}", known.join(", ")) };
            return Err(format!("no field is called `{}`; {known}", condition.field));
        };
        field.admit(&condition.literal).map_err(|e| format!("{}: {e}", field.name))?;
    }
    Ok(())
}
