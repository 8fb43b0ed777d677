//! The importer against an agent that does whatever a test wants: outages, restarts, end marks that do not fit, and consumers that sleep.

mod fake;

use std::path::Path;
use std::thread::spawn;
use std::time::{Duration, Instant};

use fake::{FakeAgent, LONG, Peer, gauge, life, outage, report};
use tif_core::model::{Coarsen, Refusal};
use tif_core::wire::{Announced, ReportsEnd, ToAgent, ToProcess};
use tif_serve::importer::{Event, FireRequest, Importer, Link, Options, RequestError, SetRequest, Standing, Table};

fn open(dir: &Path) -> Importer {
    let options = Options {
        run_dir: Some(dir.to_owned()),
        program: "test 1".into(),
        name: "tif-serve".parse().unwrap(),
        timeout: LONG,
        heartbeat: None,
    };
    Importer::open(options).unwrap()
}

/// An importer and its agent's end of the line.
fn pair(dir: &Path) -> (FakeAgent, Importer, Peer) {
    let agent = FakeAgent::start(dir, 1);
    let opening = spawn({
        let dir = dir.to_owned();
        move || open(&dir)
    });
    let peer = agent.accept();
    (agent, opening.join().unwrap(), peer)
}

/// Applies events to the table until one is as wanted.
fn until(importer: &Importer, table: &mut Table, wanted: impl Fn(&Event) -> bool) -> Event {
    let deadline = Instant::now() + LONG;
    loop {
        let event = importer.events().recv_deadline(deadline).expect("an event is due");
        table.apply(&event);
        if wanted(&event) {
            return event;
        }
    }
}

fn is_synced(event: &Event) -> bool {
    matches!(event, Event::Synced { .. })
}

/// Name, value and standing of each row.
fn rows(table: &Table) -> Vec<(String, Option<u64>, &'static str)> {
    let value = |row: &tif_serve::importer::Row| row.report.as_ref().and_then(|r| r.value.as_ref()?.to_bits());
    table.rows().map(|row| (row.address(), value(row), row.standing.word())).collect()
}

fn row(name: &str, value: u64, standing: &'static str) -> (String, Option<u64>, &'static str) {
    (name.to_owned(), Some(value), standing)
}

// spec: SRV-2, SRV-8
#[test]
fn a_subscription_brings_what_is_there_and_then_what_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (_agent, importer, mut peer) = pair(dir.path());
    let mut table = Table::new();
    let subscription = importer.subscribe("demo.**".parse().unwrap(), Coarsen::default());
    assert!(matches!(peer.expect(), ToAgent::Subscribe { pattern, .. } if pattern.to_string() == "demo.**"));
    let (a, b) = (gauge(1, "a"), gauge(2, "b"));
    peer.send_source(life(1), &[(a.clone(), 10), (b.clone(), 20)]);
    until(&importer, &mut table, is_synced);
    assert_eq!(rows(&table), [row("demo.a", 10, "live"), row("demo.b", 20, "live")]);

    peer.send(ToProcess::Reports { reports: vec![report(&a, life(1), 11)], coalesced: 3 });
    assert_eq!(until(&importer, &mut table, |e| matches!(e, Event::Coalesced(_))), Event::Coalesced(3));
    // What another life still says is not shown.
    peer.send(ToProcess::Reports { reports: vec![report(&a, life(0), 99)], coalesced: 0 });
    peer.send(ToProcess::Withdrawn { instruments: vec![b.instrument] });
    until(&importer, &mut table, |e| matches!(e, Event::Removed(_)));
    assert_eq!(rows(&table), [row("demo.a", 11, "live")]);

    importer.unsubscribe(subscription);
    until(&importer, &mut table, |e| matches!(e, Event::Removed(_)));
    assert!(matches!(peer.expect(), ToAgent::Unsubscribe { .. }) && table.is_empty());
}

// spec: OUT-2, OUT-3, SYN-1, SYN-3, SRV-8
#[test]
fn after_an_outage_the_same_subscription_goes_on_and_only_the_differences_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (_agent, importer, mut peer) = pair(dir.path());
    let mut table = Table::new();
    importer.subscribe("**".parse().unwrap(), Coarsen::default());
    peer.expect();
    let (a, b, c) = (gauge(1, "a"), gauge(2, "b"), gauge(3, "c"));
    peer.send_source(life(1), &[(a.clone(), 10), (b, 20)]);
    until(&importer, &mut table, is_synced);

    peer.send(ToProcess::Outage(outage(false)));
    let standing = until(&importer, &mut table, |e| matches!(e, Event::Standing { .. }));
    let Event::Standing { standing: Standing::Stale { since }, .. } = standing else { panic!("{standing:?}") };
    assert_eq!(since, outage(false).since);
    assert_eq!(rows(&table), [row("demo.a", 10, "stale"), row("demo.b", 20, "stale")]);

    let mut moved = a.clone();
    moved.process = "demo-2".parse().unwrap();
    for message in fake::source(life(2), &[(moved, 10), (c, 30)]) {
        let last = matches!(message, ToProcess::ReportsEnd(_));
        peer.send(message);
        if !last {
            assert!(!table.rows().any(|row| row.address() == "demo.b" && row.standing.is_live()));
        }
    }
    let mut removed = Vec::new();
    while let Event::Removed(gone) = until(&importer, &mut table, |e| matches!(e, Event::Removed(_) | Event::Synced { .. })) {
        removed.push(gone.name.to_string());
    }
    assert_eq!(removed, ["demo.b"]);
    assert_eq!(rows(&table), [row("demo.a", 10, "live"), row("demo.c", 30, "live")]);
    peer.send(ToProcess::Outage(outage(true)));
    until(&importer, &mut table, |e| matches!(e, Event::Outage(o) if o.end.is_some()));
    assert_eq!(rows(&table).len(), 2, "the end of an outage makes nothing stale");
    // Nothing was asked for again.
    drop(importer);
    assert_eq!(peer.next(), Some(ToAgent::Unregister));
}

// spec: MON-5, SYN-6, EXP-3
#[test]
fn after_the_agents_restart_everything_is_subscribed_anew_and_is_stale_in_between() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, importer, mut peer) = pair(dir.path());
    let mut table = Table::new();
    importer.subscribe("demo.**".parse().unwrap(), Coarsen { deadband: Some(2.0), at_most_every: None });
    peer.expect();
    peer.send_source(life(1), &[(gauge(1, "a"), 10), (gauge(2, "b"), 20)]);
    until(&importer, &mut table, is_synced);
    let own = peer.own;
    drop((agent, peer));
    until(&importer, &mut table, |e| matches!(e, Event::Standing { .. }));
    assert!(matches!(table.link(), Some(Link::Down { .. })) && matches!(importer.link(), Link::Down { .. }));
    assert_eq!(rows(&table), [row("demo.a", 10, "stale"), row("demo.b", 20, "stale")]);

    let agent = FakeAgent::start(dir.path(), 2);
    let mut peer = agent.accept();
    assert_eq!(peer.hello.resume.map(|r| r.key), Some(own));
    assert!(matches!(peer.expect(), ToAgent::Subscribe { coarsen: Coarsen { deadband: Some(2.0), .. }, .. }));
    until(&importer, &mut table, |e| matches!(e, Event::Link(Link::Up { .. })));
    assert!(rows(&table).iter().all(|(_, _, standing)| *standing == "stale"), "a connection alone makes nothing fresh");
    // The exporter lives on under its key; the agent has new numbers; one instrument was withdrawn meanwhile.
    peer.send_source(life(1), &[(gauge(71, "a"), 12)]);
    until(&importer, &mut table, is_synced);
    assert_eq!(rows(&table), [row("demo.a", 12, "live")]);
}

// spec: SYN-7
#[test]
fn an_end_mark_that_does_not_fit_sweeps_nothing_and_asks_for_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let (_agent, importer, mut peer) = pair(dir.path());
    let mut table = Table::new();
    importer.subscribe("**".parse().unwrap(), Coarsen::default());
    peer.expect();
    let (a, b) = (gauge(1, "a"), gauge(2, "b"));
    peer.send_source(life(1), &[(a.clone(), 10), (b, 20)]);
    until(&importer, &mut table, is_synced);
    peer.send(ToProcess::Outage(outage(false)));
    let mut partial = fake::source(life(2), &[(a.clone(), 11)]);
    let Some(ToProcess::ReportsEnd(ReportsEnd { count, .. })) = partial.last_mut() else { unreachable!() };
    *count += 1;
    partial.into_iter().for_each(|message| peer.send(message));
    assert!(matches!(peer.expect(), ToAgent::Unsubscribe { .. }));
    assert!(matches!(peer.expect(), ToAgent::Subscribe { .. }));
    until(&importer, &mut table, |e| matches!(e, Event::Report { report, .. } if report.key == life(2)));
    assert_eq!(rows(&table), [row("demo.a", 11, "live"), row("demo.b", 20, "stale")], "nothing was swept");
    peer.send(ToProcess::Withdrawn { instruments: vec![a.instrument] });
    until(&importer, &mut table, |e| matches!(e, Event::Standing { .. }));
    assert_eq!(rows(&table), [row("demo.a", 11, "stale"), row("demo.b", 20, "stale")], "what is asked for again is not gone");
    peer.send_source(life(2), &[(a, 12)]);
    until(&importer, &mut table, is_synced);
    assert_eq!(rows(&table), [row("demo.a", 12, "live")]);
}

// spec: MON-6, INS-8
#[test]
fn a_consumer_that_sleeps_gets_the_newest_values_a_count_and_every_outage() {
    const REPORTS: u64 = 60_000;
    let dir = tempfile::tempdir().unwrap();
    let (_agent, importer, mut peer) = pair(dir.path());
    importer.subscribe("**".parse().unwrap(), Coarsen::default());
    peer.expect();
    let a = gauge(1, "a");
    peer.send_source(life(1), &[(a.clone(), 0)]);
    let agent = spawn(move || {
        for n in (1..=REPORTS).step_by(100) {
            let reports = (n..n + 100).map(|n| report(&a, life(1), n)).collect();
            peer.send(ToProcess::Reports { reports, coalesced: 0 });
            if n == 50_001 {
                peer.send(ToProcess::Outage(outage(true)));
            }
        }
        // The request comes while all this is on its way, and is answered behind it.
        let ToAgent::Processes { req } = peer.expect() else { panic!("the processes are asked for") };
        peer.send(ToProcess::Processes { req, rows: fake::process_rows() });
        peer
    });
    assert_eq!(importer.processes().unwrap().len(), 2);
    let _peer = agent.join().unwrap();
    let (mut table, mut seen, mut outages) = (Table::new(), 0, 0);
    until(&importer, &mut table, |e| matches!(e, Event::Report { .. }));
    let mut last = 0;
    while last < REPORTS {
        match until(&importer, &mut table, |e| matches!(e, Event::Report { .. } | Event::Outage(_))) {
            Event::Report { report, .. } => {
                assert!(report.seq > last, "never back in time");
                seen += 1 + report.coalesced;
                last = report.seq;
            }
            _ => outages += 1,
        }
    }
    assert_eq!((seen, outages), (REPORTS, 1), "each report came or was counted");
    assert!(table.coalesced() > 0);
}

// spec: PSM-7
#[test]
fn a_deposed_importer_comes_back_as_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, importer, mut peer) = pair(dir.path());
    importer.subscribe("**".parse().unwrap(), Coarsen::default());
    peer.expect();
    peer.send(ToProcess::StaleKey { current: Some(life(5)) });
    let peer = agent.accept();
    assert_eq!(peer.hello.resume, None);
    // And when somebody else has its name by then:
    drop(peer);
    let (socket, _, _) = agent.hear();
    let mut taken = Vec::new();
    let refusal = Refusal::NameTaken { name: "tif-serve-1".into(), holder: life(6) };
    let body = ToProcess::Refused { req: 0, refusal };
    tif_core::wire::encode(&tif_core::wire::Envelope { from: agent.key, to: tif_core::model::Key::NONE, body }, &mut taken).unwrap();
    std::io::Write::write_all(&mut &socket, &taken).unwrap();
    let mut peer = agent.accept();
    assert!(matches!(peer.hello.identity, tif_core::wire::Identity::Pick(_)));
    assert!(matches!(peer.expect(), ToAgent::Subscribe { .. }));
    peer.send(ToProcess::Ping { nonce: 77 });
    assert_eq!(peer.expect(), ToAgent::Pong { nonce: 77 });
}

// spec: CTL-3
#[test]
fn a_change_is_asked_again_under_its_id_when_the_link_is_lost_and_a_call_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (agent, importer, mut peer) = pair(dir.path());
    std::thread::scope(|scope| {
        let change = scope.spawn(|| importer.set(SetRequest::of("demo.x", "1")));
        let ToAgent::Set { request_id: first, .. } = peer.expect() else { panic!("a change is due") };
        drop(peer);
        let mut peer = agent.accept();
        let ToAgent::Set { req, request_id: again, .. } = peer.expect() else { panic!("the change is due again") };
        assert_eq!(first, again);
        peer.send(ToProcess::Refused { req, refusal: Refusal::Denied { reason: "no".into() } });
        assert!(matches!(change.join().unwrap(), Err(RequestError::Refused(Refusal::Denied { .. }))));

        let call = scope.spawn(|| importer.fire(FireRequest { name: "demo.flush".into(), arguments: vec![], request_id: None }));
        assert!(matches!(peer.expect(), ToAgent::Fire { .. }));
        drop(peer);
        let error = call.join().unwrap().unwrap_err();
        assert!(matches!(error, RequestError::Unreachable { request_id: Some(_), .. }) && error.to_string().contains("not known"));
    });
}

#[test]
fn a_listing_is_fetched_page_by_page_and_a_silent_agent_is_a_time_out() {
    let dir = tempfile::tempdir().unwrap();
    let (_agent, importer, mut peer) = pair(dir.path());
    std::thread::scope(|scope| {
        let listing = scope.spawn(|| importer.list(&"**".parse().unwrap()));
        let rows = fake::list_rows();
        let ToAgent::List { req, after: None, .. } = peer.expect() else { panic!("the first page is due") };
        peer.send(ToProcess::Listed { req, rows: rows[..4].to_vec(), next: Some("demo.mode".into()) });
        let ToAgent::List { req, after: Some(after), .. } = peer.expect() else { panic!("the next page is due") };
        assert_eq!(after, "demo.mode");
        peer.send(ToProcess::Listed { req, rows: rows[4..].to_vec(), next: None });
        assert_eq!(listing.join().unwrap().unwrap(), rows);
    });
    importer.set_timeout(Duration::from_millis(20));
    assert!(matches!(importer.outages(), Err(RequestError::TimedOut { .. })));
}

// spec: PSM-3
#[test]
fn what_is_looked_up_once_is_told_of_also_after_the_agents_restart() {
    use tif_core::model::Notice;
    use tif_core::model::notice::NoticeEvent;
    let dir = tempfile::tempdir().unwrap();
    let (agent, importer, mut peer) = pair(dir.path());
    let notice = |event| Notice { name: "demo-1".parse().unwrap(), key: Some(life(1)), event };
    std::thread::scope(|scope| {
        let looked = scope.spawn(|| importer.lookup(&"demo-1".parse().unwrap()));
        let ToAgent::Lookup { req, .. } = peer.expect() else { panic!("a look-up is due") };
        peer.send(ToProcess::LookedUp { req, notice: notice(NoticeEvent::Born) });
        assert_eq!(looked.join().unwrap().unwrap().event, NoticeEvent::Born);
    });
    drop((agent, peer));
    let agent = FakeAgent::start(dir.path(), 2);
    let mut peer = agent.accept();
    let ToAgent::Lookup { req, .. } = peer.expect() else { panic!("the look-up is due again") };
    peer.send(ToProcess::LookedUp { req, notice: notice(NoticeEvent::Unregistered) });
    let event = until(&importer, &mut Table::new(), |e| matches!(e, Event::Notice(_)));
    assert_eq!(event, Event::Notice(notice(NoticeEvent::Unregistered)));
    importer.forget(&"demo-1".parse().unwrap());
    assert!(matches!(peer.expect(), ToAgent::Forget { .. }));
}

#[test]
fn instruments_that_appear_later_without_a_beginning_are_live() {
    let dir = tempfile::tempdir().unwrap();
    let (_agent, importer, mut peer) = pair(dir.path());
    let mut table = Table::new();
    importer.subscribe("demo.**".parse().unwrap(), Coarsen::default());
    peer.expect();
    peer.send(ToProcess::Announced(Announced { instruments: vec![gauge(1, "a")] }));
    peer.send(ToProcess::Reports { reports: vec![report(&gauge(1, "a"), life(1), 4)], coalesced: 0 });
    until(&importer, &mut table, |e| matches!(e, Event::Report { .. }));
    assert_eq!(rows(&table), [row("demo.a", 4, "live")]);
}
