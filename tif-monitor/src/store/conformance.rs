//! What every store must do: one suite, run on each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tif_core::agent::io::{ChangeRecord, ControlRecord, ProcessRecord, Record};
use tif_core::limits::{CALLS_KEPT_MAX, OUTAGES_KEPT_MAX, PROCESS_NUMBERS_AHEAD, RESULTS_KEPT_MAX};
use tif_core::machine::book::{Book, Entry, Line, Unsettled};
use tif_core::machine::calls::{CallRecord, Outcome};
use tif_core::machine::confirm::{End, Guard, Keep, Terms};
use tif_core::machine::replication::{self, Log, Seq};
use tif_core::machine::witness::{Ballot, Member, Term, Vote};
use tif_core::model::{
    Cause, Changed, Epoch, Incarnation, Key, MemberNumber, Name, NodeId, Number, Outage, OutageEnd, OutageId, ProcId, Role, SetResult,
    Stamp, Value, Version,
};
use tif_core::wire::Credentials;

use super::StateStore;

/// Opens the store once more, as a restarted agent would.
pub type Again = Box<dyn Fn() -> Box<dyn StateStore>>;

/// Runs everything, each story on a fresh store.
pub fn suite(fresh: impl Fn() -> Again) {
    epochs_grow(&fresh());
    what_is_committed_is_remembered(&fresh());
    what_waits_to_be_confirmed_is_remembered_until_its_end_however_old_it_is(&fresh());
    votes_and_logs_are_remembered_as_they_were_last(&fresh());
    a_source_that_ends_keeps_its_memorized_controls(&fresh());
    a_repeated_id_is_one_change(&fresh());
    old_changes_go(&fresh());
    a_call_is_remembered_with_what_became_of_it(&fresh());
    an_outage_is_remembered_as_it_was_last(&fresh());
    of_too_many_outages_the_oldest_ended_ones_go(&fresh());
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A process of that name and number.
pub fn process(text: &str, proc: u64) -> ProcessRecord {
    ProcessRecord {
        name: name(text),
        key: Key { node: NodeId(1), proc: ProcId(proc), inc: Incarnation::new(3, proc as u32) },
        nonce: u128::MAX - u128::from(proc),
        credentials: Credentials { pid: 4_000_000_000, uid: 1000, gid: 1001, started: u64::MAX },
        service: Some(name("orders")),
        grouped: true,
        role: Role::Standby,
        term: Epoch(proc),
        number: (proc > 1).then_some(MemberNumber(proc as u32)),
        ended: false,
        program: "orders 1.0".into(),
        cause: None,
        since: Stamp(u64::MAX - proc),
    }
}

fn control(text: &str, version: u64, memorized: bool) -> ControlRecord {
    ControlRecord {
        source: name("orders"),
        name: text.into(),
        version: Version(version),
        value: Value::Text("as the user wrote it: é".into()),
        memorized,
    }
}

fn change(id: &str) -> ChangeRecord {
    ChangeRecord {
        request_id: id.parse().unwrap(),
        request: "set orders.batch 64".into(),
        result: SetResult {
            request_id: id.parse().unwrap(),
            changed: vec![Changed {
                name: "orders.batch".into(),
                old: Value::F64(f64::NEG_INFINITY),
                new: Value::U64(u64::MAX),
                choices: vec!["fast".into()],
                version: Version(7),
            }],
            replicated: false,
            applied: true,
            dry_run: false,
            repeated: false,
        },
        who: name("tif-serve-1"),
        uid: 1000,
        reason: Some("load test".into()),
        at: Stamp(u64::MAX),
        keep: Keep::ForGood,
    }
}

// spec: PSM-1
fn epochs_grow(again: &Again) {
    let first = again().begin(5, "a").unwrap();
    assert_eq!(first, 5, "the least that was asked for");
    assert_eq!(again().begin(1, "a").unwrap(), 6);
    assert_eq!(again().begin(1, "b").unwrap(), 7);
    let seen = again().load().unwrap();
    assert_eq!((seen.boot.as_str(), seen.proc_max), ("b", 3 * PROCESS_NUMBERS_AHEAD), "each life has numbers of its own");
}

fn what_is_committed_is_remembered(again: &Again) {
    let mut store = again();
    store.begin(1, "a").unwrap();
    let (p, q) =
        (process("orders-1", 1), ProcessRecord { service: None, ended: true, cause: Some(Cause::Unregistered), ..process("alpha", 2) });
    let c = control("orders.note", u64::MAX, true);
    store
        .commit(&[
            Record::Process(ProcessRecord { role: Role::Primary, ..p.clone() }),
            Record::Process(q.clone()),
            Record::Change(Entry { controls: vec![c.clone()], change: change("one") }),
            Record::Term { service: name("orders"), epoch: Epoch(1), leader: None },
        ])
        .unwrap();
    // A term and who leads in it are one write.
    let leader = Some(Box::new(p.clone()));
    store.commit(&[Record::Term { service: name("orders"), epoch: Epoch(u64::MAX), leader }]).unwrap();
    drop(store);
    let seen = again().load().unwrap();
    assert_eq!(seen.processes, [q, p], "by name, the latest of each");
    assert_eq!(seen.proc_max, 2 + PROCESS_NUMBERS_AHEAD, "numbers are set apart ahead of those in use");
    assert_eq!(seen.controls, [c]);
    assert_eq!(seen.changes, [change("one")]);
    assert_eq!(seen.terms, [(name("orders"), Epoch(u64::MAX))]);
}

// spec: CTL-6
fn what_waits_to_be_confirmed_is_remembered_until_its_end_however_old_it_is(again: &Again) {
    let mut store = again();
    store.begin(1, "a").unwrap();
    let guard = Guard { indicator: "orders.depth".into(), low: Number::Whole(0), high: Number::Float(f64::INFINITY) };
    let terms = Terms::new(Duration::from_secs(30), Some(guard), Some(process("imp", 3).key)).unwrap();
    let kept = |id: &str, keep| Entry { controls: vec![control("orders.batch", 1, true)], change: ChangeRecord { keep, ..change(id) } };
    let waits = kept("waits", Keep::Until(terms.clone()));
    let end = Entry { controls: Vec::new(), ..kept("ended:confirmed", Keep::Settles("ended".parse().unwrap(), End::Confirmed)) };
    store.commit(&[Record::Change(waits.clone()), Record::Change(kept("ended", Keep::Until(terms)))]).unwrap();
    store.commit(&[Record::Change(end.clone())]).unwrap();
    let later: Vec<Record> = (0..RESULTS_KEPT_MAX).map(|i| Record::Change(kept(&format!("r{i}"), Keep::ForGood))).collect();
    let last = later.len() - 1;
    store.commit(&later[..last]).unwrap();
    let seen = again().load().unwrap();
    assert_eq!(seen.unsettled.iter().collect::<Vec<_>>(), [&waits]);
    assert_eq!(seen.changes.first(), Some(&end.change), "how one ended is remembered with it");
    store.commit(&later[last..]).unwrap();
    drop(store);
    let seen = again().load().unwrap();
    assert_eq!((seen.unsettled.iter().count(), seen.changes.len()), (1, RESULTS_KEPT_MAX));
}

// spec: CTL-4, GRP-9
fn votes_and_logs_are_remembered_as_they_were_last(again: &Again) {
    let mut store = again();
    let home = Member { node: NodeId(1), store: 9 };
    let term = Term { epoch: Epoch(2), primary: Some(process("orders-1", 1).key), home, in_sync: BTreeSet::from([home]) };
    let ballot = Ballot { round: 3, by: home, agent_epoch: 1 };
    let vote = Vote {
        voting: true,
        promised: Some(ballot),
        accepted: Some((ballot, term)),
        stores: BTreeMap::from([(NodeId(2), 7)]),
        ..Vote::default()
    };
    let entry = |n: u64| Line::Change(Entry { controls: vec![control("orders.batch", n, true)], change: change(&format!("r{n}")) });
    let log = |service: &str, record| Record::Replicated { service: name(service), record: Box::new(record) };
    let appended = |epoch, n| replication::Record::Appended { epoch: Epoch(epoch), seq: Seq(n), entry: entry(n) };
    let called =
        |epoch, n, outcome| replication::Record::Appended { epoch: Epoch(epoch), seq: Seq(n), entry: Line::Call(call("f1", outcome)) };
    let whole =
        Log { epoch: Epoch(4), seq: Seq(9), state: Book::of([control("billing.rate", 9, true)], Unsettled::default(), [call("f0", None)]) };
    store
        .commit(&[
            Record::Vote { service: name("orders"), vote: Vote::default() },
            Record::Vote { service: name("orders"), vote: vote.clone() },
            log("orders", replication::Record::Began { epoch: Epoch(1) }),
            log("orders", appended(1, 1)),
            log("orders", appended(1, 2)),
            log("orders", replication::Record::Began { epoch: Epoch(2) }),
            log("billing", appended(1, 1)),
            log("orders", called(2, 3, None)),
            log("orders", called(2, 4, Some(Outcome::Returned(Ok("3".into()))))),
            log("billing", replication::Record::Replaced(whole.clone())),
        ])
        .unwrap();
    let many: Vec<Record> = (10..=1100).map(|n| log("billing", appended(4, n))).collect();
    store.commit(&many).unwrap();
    let mut billing = whole;
    (10..=1100).for_each(|n| billing.take_in(&appended(4, n)));
    let mut orders = Log::default();
    let of_orders = [
        appended(1, 1),
        appended(1, 2),
        replication::Record::Began { epoch: Epoch(2) },
        called(2, 3, None),
        called(2, 4, Some(Outcome::Returned(Ok("3".into())))),
    ];
    of_orders.iter().for_each(|record| orders.take_in(record));
    let (number, seen) = (store.load().unwrap().store, again().load().unwrap());
    assert_eq!(seen.store, number, "it is the same store");
    assert_eq!(seen.votes, [(name("orders"), vote)]);
    assert_eq!(seen.logs, [(name("billing"), billing), (name("orders"), orders)]);
}

// spec: CTL-7
fn a_source_that_ends_keeps_its_memorized_controls(again: &Again) {
    let mut store = again();
    let kept = control("orders.kept", 1, true);
    store
        .commit(&[
            Record::Change(Entry { controls: vec![kept.clone()], change: change("one") }),
            Record::Change(Entry { controls: vec![control("orders.gone", 1, false)], change: change("two") }),
            Record::Change(Entry { controls: vec![control("orders.new", 1, false)], change: change("three") }),
            Record::Forget { source: name("orders"), but: vec!["orders.new".into()] },
        ])
        .unwrap();
    assert_eq!(again().load().unwrap().controls, [kept.clone(), control("orders.new", 1, false)]);
    store.commit(&[Record::Forget { source: name("orders"), but: Vec::new() }]).unwrap();
    assert_eq!(again().load().unwrap().controls, [kept]);
}

// spec: CTL-3
fn a_repeated_id_is_one_change(again: &Again) {
    let mut store = again();
    let record = |id| Record::Change(Entry { controls: vec![control("orders.batch", 1, true)], change: change(id) });
    store.commit(&[record("one"), record("two"), record("one")]).unwrap();
    assert_eq!(again().load().unwrap().changes, [change("two"), change("one")], "oldest first");
}

// spec: OUT-4, MON-7
fn an_outage_is_remembered_as_it_was_last(again: &Again) {
    let mut store = again();
    let key = process("orders-1", 1).key;
    let since = Stamp(5);
    let (cpu, source) = (name("cpu1"), name("orders"));
    let begun = Outage {
        id: OutageId(1),
        cpu,
        source,
        process: name("orders-1"),
        key,
        cause: Cause::Hung,
        since,
        end: None,
        found: Some(Stamp(6)),
    };
    let end =
        OutageEnd { process: name("orders-2"), key, at: Stamp(9), gap_ms: 4, remapped: 3, removed: 2, added: 1, carried: 0, counted: true };
    let over = Outage { end: Some(end), ..begun.clone() };
    let later = Outage { id: OutageId(7), ..begun.clone() };
    let record = |outage: &Outage, told| Record::Outage { outage: outage.clone(), told };
    store.commit(&[record(&begun, 0), record(&over, 3), record(&later, 1)]).unwrap();
    assert_eq!(again().load().unwrap().outages, [(over, 3), (later, 1)]);
}

// spec: OUT-4, MON-7
fn of_too_many_outages_the_oldest_ended_ones_go(again: &Again) {
    let mut store = again();
    let key = process("orders-1", 1).key;
    let end =
        OutageEnd { process: name("orders-2"), key, at: Stamp(9), gap_ms: 4, remapped: 3, removed: 2, added: 1, carried: 0, counted: true };
    let outage = |id: u64, ended: bool| {
        let (cpu, source) = (name("cpu1"), name("orders"));
        let end = ended.then(|| end.clone());
        let (id, process, since) = (OutageId(id), name("orders-1"), Stamp(5));
        let outage = Outage { id, cpu, source, process, key, cause: Cause::Hung, since, end, found: None };
        Record::Outage { outage, told: 0 }
    };
    let max = OUTAGES_KEPT_MAX as u64;
    let ids = |again: &Again| -> Vec<u64> { again().load().unwrap().outages.iter().map(|(o, _)| o.id.0).collect() };
    let full: Vec<Record> = (1..=max).map(|id| outage(id, id == 2 || id == 4)).collect();
    store.commit(&full).unwrap();
    assert_eq!(ids(again).len(), OUTAGES_KEPT_MAX);
    store.commit(&[outage(max + 1, false), outage(max + 2, false)]).unwrap();
    let expect: Vec<u64> = (1..=max + 2).filter(|id| *id != 2 && *id != 4).collect();
    assert_eq!(ids(again), expect, "those that still last stay");
    store.commit(&[outage(max + 3, false)]).unwrap();
    assert_eq!(ids(again), [&expect[1..], &[max + 3]].concat(), "none has ended: the oldest goes");
}

fn old_changes_go(again: &Again) {
    let mut store = again();
    let records: Vec<Record> = (0..RESULTS_KEPT_MAX + 10)
        .map(|i| Record::Change(Entry { controls: vec![control("orders.batch", i as u64, true)], change: change(&format!("r{i}")) }))
        .collect();
    store.commit(&records).unwrap();
    let changes = again().load().unwrap().changes;
    assert_eq!(changes.len(), RESULTS_KEPT_MAX);
    assert_eq!(changes.first(), Some(&change("r10")));
    assert_eq!(changes.last(), Some(&change(&format!("r{}", RESULTS_KEPT_MAX + 9))));
}

fn call(id: &str, outcome: Option<Outcome>) -> CallRecord {
    CallRecord {
        request_id: id.parse().unwrap(),
        request: "fire orders.flush".into(),
        name: "orders.flush".into(),
        key: process("orders-1", 1).key,
        who: name("tester"),
        uid: 1000,
        at: Stamp(3),
        outcome,
    }
}

// spec: TST-4, SEC-2
fn a_call_is_remembered_with_what_became_of_it(again: &Again) {
    let mut store = again();
    let outcomes =
        [Outcome::Returned(Ok("3".into())), Outcome::Returned(Err("disk full".into())), Outcome::Indeterminate("it ended".into())];
    let mut records: Vec<Record> = ["a", "b", "c", "d", "e"].map(|id| Record::Call(call(id, None))).into();
    records.extend(["a", "b", "c"].into_iter().zip(&outcomes).map(|(id, outcome)| Record::Call(call(id, Some(outcome.clone())))));
    records.push(Record::NotCalled("d".parse().unwrap()));
    store.commit(&records).unwrap();
    let [a, b, c] = outcomes;
    assert_eq!(again().load().unwrap().calls, [call("a", Some(a)), call("b", Some(b)), call("c", Some(c)), call("e", None)]);
    let many: Vec<Record> = (0..CALLS_KEPT_MAX).map(|n| Record::Call(call(&format!("m{n}"), None))).collect();
    store.commit(&many).unwrap();
    let calls = again().load().unwrap().calls;
    assert_eq!((calls.len(), calls.first()), (CALLS_KEPT_MAX, Some(&call("m0", None))), "the oldest go first");
}
