//! Messages, writes and orders in words. What is rare is shown as it is written in Rust, only shorter.

use std::fmt::{Debug, Display};

use tif_core::agent::io::{ControlRecord, Output, Record};
use tif_core::machine::book::Entry;
use tif_core::machine::link::{Body, Frame};
use tif_core::model::notice::NoticeEvent;
use tif_core::model::{Changed, Coarsen, Notice, Outage, Report, SetResult, Setting, Weight};
use tif_core::wire::{Admission, Announced, GroupMessage, Hello, Identity, PeerBody, Registration, ToAgent, ToPeer, ToProcess, Welcome};

use super::brief;

/// Of a list so many are named.
const NAMED_MAX: usize = 6;

fn raw(what: &impl Debug) -> String {
    brief(&format!("{what:?}"))
}

fn list<T: Display>(all: impl IntoIterator<Item = T>) -> String {
    let mut all = all.into_iter();
    let mut named: Vec<String> = all.by_ref().take(NAMED_MAX).map(|one| one.to_string()).collect();
    match (all.count(), named.is_empty()) {
        (0, true) => "nothing".to_owned(),
        (0, false) => named.join(", "),
        (more, _) => {
            named.push(format!("and {more} more"));
            named.join(", ")
        }
    }
}

fn result<T: Display, E: Display>(result: &Result<T, E>) -> String {
    match result {
        Ok(value) => format!("ok: {value}"),
        Err(error) => format!("error: {error}"),
    }
}

fn consent(result: &Result<(), String>) -> String {
    result.as_ref().map_or_else(|why| format!("no: {why}"), |()| "yes".to_owned())
}

/// What a process says to its agent.
pub fn said(body: &ToAgent) -> String {
    match body {
        ToAgent::Hello(hello) => registers(hello),
        ToAgent::Ready => "it is ready".into(),
        ToAgent::Unregister => "it takes its leave".into(),
        ToAgent::Heartbeat => "it lives".into(),
        ToAgent::Pong { .. } => "it is there".into(),
        ToAgent::Validated { req, result } => format!("question {req}: would it take the value? {}", consent(result)),
        ToAgent::Applied { slot, version } => format!("it runs with version {version} of slot {slot}"),
        ToAgent::Computed { req, failed } if failed.is_empty() => format!("question {req}: computed"),
        ToAgent::Computed { req, failed } => {
            format!("question {req}: computed, but for slots {}", list(failed.iter().map(|(slot, _)| slot)))
        }
        ToAgent::Returned { req, result: returned } => format!("question {req}: the call returned {}", result(returned)),
        ToAgent::ArmedAs { req, result } => format!("question {req}: armed? {}", consent(result)),
        ToAgent::Promoted { epoch } => format!("it leads in term {epoch}"),
        ToAgent::LetGo { epoch } => format!("it has let go in term {epoch}"),
        ToAgent::Subscribe { subscription, pattern, coarsen } => format!("subscription {subscription}: {pattern}{}", coarsened(coarsen)),
        ToAgent::Unsubscribe { subscription } => format!("subscription {subscription} is over"),
        ToAgent::List { req, pattern, .. } => format!("request {req}: list {pattern}"),
        ToAgent::Sense { req, patterns, .. } => format!("request {req}: read {}", list(patterns)),
        ToAgent::Set { req, request_id, settings, admission, .. } => {
            let wanted = |s: &Setting| {
                let version = s.if_version.map(|version| format!(", if it has version {version}"));
                format!("{} to {}{}", s.name, s.value, version.unwrap_or_default())
            };
            let wanted: Vec<String> = settings.iter().map(wanted).collect();
            format!("request {req}, {request_id}: set {}{}", wanted.join(" and "), conditions(admission))
        }
        ToAgent::Confirm { req, name, .. } => format!("request {req}: what holds {name} may stay"),
        ToAgent::Fire { req, request_id, name, .. } => format!("request {req}, {request_id}: call {name}"),
        ToAgent::Recall { req, request_id } => format!("request {req}: what became of {request_id}?"),
        ToAgent::Processes { req } => format!("request {req}: which processes are there?"),
        ToAgent::Lookup { req, name } => format!("request {req}: look {name} up"),
        ToAgent::Drain { req, name, to } => {
            format!("request {req}: {name} is to hand over{}", to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default())
        }
        other => raw(other),
    }
}

fn registers(hello: &Hello) -> String {
    let name = match &hello.identity {
        Identity::Exactly(name) => name.to_string(),
        Identity::Pick(prefix) => format!("one of {prefix}"),
    };
    let trade = match &hello.registration {
        Registration::Importer => "an importer".to_owned(),
        Registration::Exporter { service, grouped: true, weight } if *weight == Weight::default() => format!("a member of {service}"),
        Registration::Exporter { service, grouped: true, weight } => format!("a member of {service} that weighs {weight}"),
        Registration::Exporter { service, grouped: false, .. } => format!("an exporter of {service}"),
    };
    let resumes = hello.resume.map(|resume| format!(", goes on as {}", resume.key)).unwrap_or_default();
    format!("it registers: {name}, {trade}{resumes}")
}

fn coarsened(coarsen: &Coarsen) -> String {
    let band = coarsen.deadband.map(|band| format!(", changes of {band}"));
    let pause = coarsen.at_most_every.map(|pause| format!(", at most every {pause:?}"));
    band.into_iter().chain(pause).collect()
}

fn conditions(admission: &Admission) -> String {
    let key = admission.if_key.map(|key| format!(", if {key} has it"));
    let dry = admission.dry_run.then(|| ", only to see".to_owned());
    key.into_iter().chain(dry).collect()
}

/// What an agent tells a process.
pub fn told(message: &ToProcess) -> String {
    match message {
        ToProcess::Welcome(welcome) => welcomed(welcome),
        ToProcess::Refused { req: 0, refusal } => format!("refused: {refusal}"),
        ToProcess::Refused { req, refusal } => format!("answer {req}: refused: {refusal}"),
        ToProcess::StaleKey { current: Some(key) } => format!("that key is not current, but {key}"),
        ToProcess::StaleKey { current: None } => "that key is not current".into(),
        ToProcess::Ping { .. } => "is it there?".into(),
        ToProcess::Validate { req, slot, value } => format!("question {req}: would it take {} for slot {slot}?", raw(value)),
        ToProcess::Apply => "new versions of controls are on the board".into(),
        ToProcess::Compute { req, slots } => format!("question {req}: compute slots {}", list(slots)),
        ToProcess::WatchChanged => "watch words have changed".into(),
        ToProcess::Call { req, slot, arguments, .. } => format!("question {req}: call slot {slot} with {}", raw(arguments)),
        ToProcess::Promote { epoch } => format!("take over in term {epoch}"),
        ToProcess::Numbered { number: Some(number) } => format!("it is member {number}"),
        ToProcess::Numbered { number: None } => "another member has its number".into(),
        ToProcess::Demote { epoch } => format!("term {epoch} has begun: it leads no more"),
        ToProcess::LetGo { epoch } => format!("let go of term {epoch}"),
        ToProcess::ReportsBegin { source, key, relieves, last } => {
            let relief = relieves.map(|old| format!(", which relieves {old}")).unwrap_or_default();
            let last = if *last { ", its last values" } else { "" };
            format!("{source} begins: {key}{relief}{last}")
        }
        ToProcess::Announced(Announced { instruments }) => {
            let names = instruments.iter().map(|a| format!("{}={}{}", a.instrument, a.name, a.dims));
            format!("announced: {}", list(names))
        }
        ToProcess::Withdrawn { instruments } => format!("withdrawn: {}", list(instruments)),
        ToProcess::Reports { reports, .. } => format!("reports: {}", list(reports.iter().map(reported))),
        ToProcess::ReportsEnd(end) => format!("{} is complete: {} of {}", end.source, end.count, end.key),
        ToProcess::Notice(notice) => noticed(notice),
        ToProcess::LookedUp { req, notice } => format!("answer {req}: {}", noticed(notice)),
        ToProcess::Outage(outage) => outage_is(outage),
        ToProcess::Listed { req, rows, .. } => format!("answer {req}: {} rows", rows.len()),
        ToProcess::Sensed { req, rows, .. } => {
            let values = rows.iter().map(|(a, r)| format!("{}{} {}", a.name, a.dims, reported(r)));
            format!("answer {req}: {}", list(values))
        }
        ToProcess::SetDone { req, result } => format!("answer {req}: {}", changed(result)),
        ToProcess::Fired { req, request_id, result: fired, .. } => format!("answer {req}, {request_id}: {}", result(fired)),
        ToProcess::Processes { req, rows } => {
            format!("answer {req}: {}", list(rows.iter().map(|row| format!("{} {} {}", row.name, row.key, row.state.word()))))
        }
        ToProcess::Drained { req, drained } => format!("answer {req}: handed over, term {}", drained.epoch),
        other => raw(other),
    }
}

fn welcomed(welcome: &Welcome) -> String {
    let again = if welcome.resumed { ", goes on" } else { "" };
    format!("welcome: {} is {}, {} in term {}{again}", welcome.name, welcome.key, welcome.role.word(), welcome.epoch)
}

fn reported(report: &Report) -> String {
    let value = report.value.as_ref().map_or_else(|| "no value".to_owned(), raw);
    let quality = if report.quality.word() == "good" { String::new() } else { format!(" {}", report.quality.word()) };
    format!("{}={value}{quality} #{}", report.instrument, report.seq)
}

fn noticed(Notice { name, key, event }: &Notice) -> String {
    let key = key.map(|key| format!(" ({key})")).unwrap_or_default();
    let event = match event {
        NoticeEvent::NotAvailable => "is not there".to_owned(),
        NoticeEvent::Born => "lives".to_owned(),
        NoticeEvent::Died { cause } => format!("is dead: {cause}"),
        NoticeEvent::PresumedDead { cause } => format!("is presumed dead: {cause}"),
        NoticeEvent::Unreachable => "is unreachable".to_owned(),
        NoticeEvent::Reachable => "is reachable again".to_owned(),
        NoticeEvent::Unregistered => "took its leave".to_owned(),
        NoticeEvent::Role { role, epoch } => format!("is {} in term {epoch}", role.word()),
    };
    format!("{name}{key} {event}")
}

fn outage_is(outage: &Outage) -> String {
    let lost = format!("outage {} of {}: {} {} was lost: {}", outage.id, outage.source, outage.process, outage.key, outage.cause);
    match &outage.end {
        None => lost,
        Some(end) => format!("{lost}; over by {} {}", end.process, end.key),
    }
}

fn changed(result: &SetResult) -> String {
    let flags =
        [(result.replicated, "replicated"), (result.applied, "applied"), (result.dry_run, "only tried"), (result.repeated, "repeated")];
    let flags: String = flags.iter().filter(|(is, _)| *is).map(|(_, word)| format!(", {word}")).collect();
    let one = |c: &Changed| format!("{} from {} to {}, version {}", c.name, raw(&c.old), raw(&c.new), c.version);
    let all: Vec<String> = result.changed.iter().map(one).collect();
    format!("{}: {}{flags}", result.request_id, all.join("; "))
}

/// What an agent writes down.
pub fn written(record: &Record) -> String {
    match record {
        Record::Process(p) => {
            let state = if p.ended { "ended" } else { p.role.word() };
            format!("{} is {}, {state}, term {}", p.name, p.key, p.term)
        }
        Record::Change(Entry { controls, change }) => {
            let one = |c: &ControlRecord| format!("{} {} is {} in version {}", c.source, c.name, raw(&c.value), c.version);
            let all: Vec<String> = controls.iter().map(one).collect();
            format!("{}, by {}", all.join("; "), change.request_id)
        }
        Record::Call(call) => format!("call {} of {}: {}", call.request_id, call.name, raw(&call.outcome)),
        Record::NotCalled(id) => format!("call {id} was not made"),
        Record::Forget { source, but } => {
            let but = if but.is_empty() { String::new() } else { format!(", but {}", list(but)) };
            format!("what {source} does not memorize is forgotten{but}")
        }
        Record::Outage { outage, told } => format!("{}; {told} were told", outage_is(outage)),
        Record::Term { service, epoch, leader } => {
            let leader = leader.as_ref().map(|l| format!(" with {} {}", l.name, l.key)).unwrap_or_default();
            format!("term {epoch} of {service}{leader}")
        }
        Record::Vote { service, vote } => format!("vote on {service}: {}", raw(vote)),
        Record::Replicated { service, record } => format!("log of {service}: {}", raw(record)),
    }
}

/// What an agent wants done; none where that is seen elsewhere, or of no interest.
pub fn wanted(output: &Output) -> Option<String> {
    Some(match output {
        // It is seen where it arrives, or where it is sent.
        Output::Watch { .. } | Output::Sent { .. } | Output::HasReports { .. } | Output::ToPeer { .. } | Output::Send { .. } => {
            return None;
        }
        Output::Admit { key, epoch, controls, .. } => format!("admits {key} in term {epoch} with {} controls", controls.len()),
        Output::Close { conn } => format!("closes connection {}", conn.0),
        Output::Sample { key, slots, token } => format!("reads slots {} of {key}, question {token}", list(slots)),
        Output::Control { key, control } => {
            format!("puts slot {} on the board of {key}: {} in version {}", control.slot, raw(&control.value), control.version)
        }
        Output::Epoch { key, epoch } => format!("puts term {epoch} on the board of {key}"),
        Output::Release { key } => format!("releases {key}"),
        Output::Kill { key } => format!("ends {key}"),
        Output::Launch { service } => format!("launches {service}"),
        Output::Incompatible { node, why } => format!("does not speak with cpu{node}: {why}"),
        Output::BeginAnew { above } => format!("its life was given up: the next is greater than {above}"),
        Output::Store { ticket, record } => format!("write {}: {}", ticket.0, written(record)),
    })
}

/// What one agent hears of another; none for heartbeats and receipts.
pub fn between(body: &PeerBody) -> Option<String> {
    Some(match body {
        PeerBody::Beat(_) | PeerBody::Link(Frame { body: Body::Ack, .. }) => return None,
        PeerBody::Hello { offer, asks } => {
            format!("it speaks {} to {}{}", offer.min, offer.max, if *asks { ", and this one?" } else { "" })
        }
        PeerBody::Incompatible { offer } => format!("no version in common: it speaks {} to {}", offer.min, offer.max),
        PeerBody::Ask { about, .. } => format!("was {about} heard?"),
        PeerBody::Answered { about, ago, .. } => format!("{about} was heard {ago:?} ago"),
        PeerBody::Refused { whom, current } => format!("the life {whom} is over, {current} counts"),
        PeerBody::Link(Frame { stream, body: Body::Begin, .. }) => format!("stream {stream} begins"),
        PeerBody::Link(Frame { stream, body: Body::Message(number, message), .. }) => format!("{stream}/{number}: {}", of_peer(message)),
    })
}

fn of_peer(message: &ToPeer) -> String {
    match message {
        ToPeer::Greeting(greeting) => {
            let members = greeting.members.iter().map(|m| format!("{} {}", m.process, m.key));
            format!("it is {}, with {}; given up: {}", greeting.cpu, list(members), greeting.over)
        }
        ToPeer::Member(m) => {
            let number = m.number.map(|number| format!(", member {number}")).unwrap_or_default();
            let ready = if m.ready { ", ready" } else { "" };
            let makes_way = m.hands_over.map(|over| format!(", makes way for {}", over.to)).unwrap_or_default();
            format!("exporter {} {}, {} in term {}{ready}{number}{makes_way}", m.process, m.key, m.role.word(), m.epoch)
        }
        ToPeer::Host(host) => {
            let introduces = host.introduces.iter().map(|(service, members)| format!("{service} (has {members})"));
            format!("its CPU is busy by {} %, and can introduce {}", host.workload, list(introduces))
        }
        ToPeer::Claim { service, key, number } => format!("{key} claims to be member {number} of {service}"),
        ToPeer::MemberGone { key, cause } => format!("exporter {key} is gone: {cause}"),
        ToPeer::Request { on_behalf: Some((name, _)), body } => format!("for {name}: {}", said(body)),
        ToPeer::Request { on_behalf: None, body } => said(body),
        ToPeer::Wished => "these are all subscriptions".into(),
        ToPeer::Answer(message) => told(message),
        ToPeer::Group { service, message } => match &**message {
            GroupMessage::Log(log) => format!("log of {service}, term {}: {}", log.epoch, raw(&log.body)),
            other => format!("register of {service}: {}", raw(other)),
        },
    }
}

#[cfg(test)]
mod tests {
    use tif_core::model::{Epoch, InstrumentId};

    use super::*;

    #[test]
    fn messages_are_told_in_words() {
        assert_eq!(
            said(&ToAgent::Subscribe { subscription: 3, pattern: "orders.**".parse().unwrap(), coarsen: Coarsen::default() }),
            "subscription 3: orders.**"
        );
        assert_eq!(told(&ToProcess::Promote { epoch: Epoch(4) }), "take over in term 4");
    }

    #[test]
    fn of_long_lists_the_first_are_named() {
        let instruments = (1..=9).map(InstrumentId).collect();
        assert_eq!(told(&ToProcess::Withdrawn { instruments }), "withdrawn: 1, 2, 3, 4, 5, 6, and 3 more");
        assert_eq!(told(&ToProcess::Withdrawn { instruments: Vec::new() }), "withdrawn: nothing");
    }
}
