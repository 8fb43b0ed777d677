//! Commands that last: `watch`, `wait` and `arm`, and how Ctrl-C or the loss of the agent ends them and others.

use super::*;

/// Lines as they come.
struct Lines {
    pieces: Receiver<String>,
    rest: String,
}

impl Lines {
    fn next(&mut self) -> String {
        loop {
            if let Some((line, rest)) = self.rest.split_once('\n') {
                let line = line.to_owned();
                self.rest = rest.to_owned();
                return line;
            }
            self.rest += &self.pieces.recv_timeout(fake::LONG).expect("a line is due");
        }
    }
}

fn watching(dir: &Path, line: &str, interrupts: Receiver<()>) -> (JoinHandle<(Exit, String)>, Lines) {
    let (sender, pieces) = unbounded();
    (start(dir, line, interrupts, sender, None), Lines { pieces, rest: String::new() })
}

// spec: SRV-8, OUT-2, INS-7
#[test]
fn watch_tells_reports_notices_and_outages_as_they_come_until_ctrl_c() {
    for format in ["table", "jsonl"] {
        let dir = tempfile::tempdir().unwrap();
        let agent = FakeAgent::start(dir.path(), 1);
        let (interrupt, interrupts) = bounded(1);
        let (command, mut lines) = watching(dir.path(), &format!("watch demo.** --deadband 2 --output {format}"), interrupts);
        let mut peer = agent.accept();
        assert!(matches!(peer.expect(), ToAgent::Subscribe { coarsen, .. } if coarsen.deadband == Some(2.0)));
        peer.send_source(life(1), &[(gauge(1, "files"), 10)]);
        let ToAgent::Lookup { req, name } = peer.expect() else { panic!("the exporter is looked up") };
        let notice = |event| Notice { name: name.clone(), key: Some(life(1)), event };
        peer.send(ToProcess::LookedUp { req, notice: notice(NoticeEvent::Born) });
        peer.send(ToProcess::Notice(notice(NoticeEvent::Died { cause: outage(false).cause })));
        peer.send(ToProcess::Outage(outage(false)));
        peer.send_source(life(2), &[(gauge(1, "files"), 11)]);
        peer.send(ToProcess::Outage(outage(true)));
        let printed: Vec<String> = (0..6).map(|_| lines.next()).collect();
        insta::assert_snapshot!(format!("watch-{format}"), printed.join("\n"));
        interrupt.send(()).unwrap();
        let (exit, err) = command.join().unwrap();
        assert_eq!((exit, err.as_str()), (Exit::Interrupted, ""));
        assert_eq!(peer.next(), Some(ToAgent::Unregister), "it takes its leave");
    }
}

// spec: PSM-4, MON-7
#[test]
fn watch_tells_after_a_restart_of_the_agent_only_what_has_happened() {
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::start(dir.path(), 1);
    let (interrupt, interrupts) = bounded(1);
    let (command, mut lines) = watching(dir.path(), "watch demo.files", interrupts);
    let mut peer = agent.accept();
    peer.expect();
    peer.send_source(life(1), &[(gauge(1, "files"), 10)]);
    let ToAgent::Lookup { req, name } = peer.expect() else { panic!("the exporter is looked up") };
    let notice = |n, event| Notice { name: name.clone(), key: Some(life(n)), event };
    peer.send(ToProcess::LookedUp { req, notice: notice(1, NoticeEvent::Born) });
    assert!(lines.next().ends_with("demo.files = 10"));
    drop((agent, peer));
    let agent = FakeAgent::start(dir.path(), 2);
    assert!(lines.next().ends_with("agent: connection lost"));
    assert!(lines.next().contains("demo: stale"));
    let mut peer = agent.accept();
    peer.expect();
    let ToAgent::Lookup { req, .. } = peer.expect() else { panic!("it is looked up again") };
    assert!(lines.next().ends_with("agent of cpu1: connected"));
    // It lived all the time.
    peer.send(ToProcess::LookedUp { req, notice: notice(1, NoticeEvent::Born) });
    for _ in 0..2 {
        peer.send(ToProcess::Notice(notice(1, NoticeEvent::Died { cause: outage(false).cause })));
    }
    peer.send(ToProcess::Notice(notice(2, NoticeEvent::Born)));
    assert!(lines.next().contains("process demo-1 (1:7#1.1): died"));
    assert!(lines.next().contains("process demo-1 (1:7#1.2): born"));
    interrupt.send(()).unwrap();
    assert_eq!(command.join().unwrap().0, Exit::Interrupted);
}

#[test]
fn watch_ends_after_its_count_or_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::start(dir.path(), 1);
    let (command, mut lines) = watching(dir.path(), "watch demo.files --count 2", never());
    let mut peer = agent.accept();
    peer.expect();
    peer.send(ToProcess::Announced(Announced { instruments: vec![gauge(1, "files")] }));
    let ToAgent::Lookup { req, .. } = peer.expect() else { panic!("the exporter is looked up") };
    peer.send(ToProcess::Refused { req, refusal: Refusal::Denied { reason: "no notices for you".into() } });
    for n in 1..=3 {
        peer.send(ToProcess::Reports { reports: vec![report(&gauge(1, "files"), life(1), n)], coalesced: 0 });
    }
    assert_eq!((lines.next(), lines.next()), ("17:29:23.000Z  demo.files = 1".into(), "17:29:23.000Z  demo.files = 2".into()));
    assert_eq!(command.join().unwrap().0, Exit::Done);
    assert_eq!(told("watch ** --for 10ms").exit, Exit::Done);
    assert_eq!(told("watch ** --for 10ms --count 1").exit, Exit::TimedOut);
}

// spec: PSM-3
#[test]
fn watch_does_not_wait_for_an_agent_that_is_slow_to_say_what_a_process_is() {
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::start(dir.path(), 1);
    let (interrupt, interrupts) = bounded(1);
    let (command, mut lines) = watching(dir.path(), "watch demo.** --timeout 1h", interrupts);
    let mut peer = agent.accept();
    peer.expect();
    peer.send_source(life(1), &[(gauge(1, "files"), 10)]);
    let ToAgent::Lookup { req, name } = peer.expect() else { panic!("the exporter is looked up") };
    assert!(lines.next().ends_with("demo.files = 10"));
    // The answer comes late and is news by then.
    let event = NoticeEvent::Died { cause: outage(false).cause };
    peer.send(ToProcess::LookedUp { req, notice: Notice { name, key: Some(life(1)), event } });
    assert!(lines.next().contains("process demo-1 (1:7#1.1): died"));
    interrupt.send(()).unwrap();
    assert_eq!(command.join().unwrap().0, Exit::Interrupted);
}

#[test]
fn a_second_ctrl_c_ends_a_command_that_is_still_taking_leave() {
    use std::io::BufRead;
    use std::os::unix::process::ExitStatusExt;
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::start(dir.path(), 1);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tif-serve"))
        .args(["arm", "demo.before_write", "pause", "--timeout", "20s", "--run-dir"])
        .arg(dir.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut peer = agent.accept();
    let ToAgent::Arm { req, name, .. } = peer.expect() else { panic!("it is armed") };
    peer.send(ToProcess::Armed { req, name });
    let mut line = String::new();
    std::io::BufReader::new(command.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pid = rustix::process::Pid::from_child(&command);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(matches!(peer.expect(), ToAgent::Subscribe { .. }));
    assert!(matches!(peer.expect(), ToAgent::Disarm { .. }), "it disarms, and waits to be told that it is done");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(command.wait().unwrap().signal(), Some(2));
}

// spec: CTL-3, TST-4
#[test]
fn ctrl_c_ends_the_waiting_for_an_answer_and_tells_the_id_that_asks_again() {
    for line in ["fire demo.flush limit=3", "set demo.workers 5"] {
        let dir = tempfile::tempdir().unwrap();
        let agent = FakeAgent::start(dir.path(), 1);
        let (interrupt, interrupts) = bounded(1);
        let (command, _lines) = watching(dir.path(), &format!("{line} --timeout 1h"), interrupts);
        let mut peer = agent.accept();
        let (ToAgent::Fire { request_id, .. } | ToAgent::Set { request_id, .. }) = peer.expect() else { panic!("it is asked for") };
        interrupt.send(()).unwrap();
        assert_eq!(peer.next(), Some(ToAgent::Unregister), "it takes its leave");
        let (exit, err) = command.join().unwrap();
        assert_eq!(exit, Exit::Interrupted);
        assert!(err.contains("not known") && err.contains(&format!("try: the same again with --request-id {request_id}")), "{err}");
    }
}

// spec: TST-4, CTL-3
#[test]
fn what_is_promised_of_the_same_id_is_true_over_the_death_of_the_agent() {
    // Both are in the journal before anything comes of them.
    for line in ["set demo.workers 5", "fire demo.flush"] {
        let dir = tempfile::tempdir().unwrap();
        let agent = FakeAgent::start(dir.path(), 1);
        let (command, _lines) = watching(dir.path(), &format!("{line} --request-id r-1 --timeout 300ms"), never());
        let mut peer = agent.accept();
        assert!(matches!(peer.expect(), ToAgent::Fire { .. } | ToAgent::Set { .. }));
        drop((agent, peer));
        let (exit, err) = command.join().unwrap();
        assert_eq!(exit, Exit::Unreachable);
        assert!(err.contains("whether r-1 was done is not known") && err.contains("it is done at most once"), "{err}");
    }
}

// spec: SRV-8
#[test]
fn wait_ends_when_a_report_makes_it_true_and_not_by_an_old_value() {
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::start(dir.path(), 1);
    let (command, mut lines) = watching(dir.path(), "wait 'demo.files > 100 && demo.depth == 0' --timeout 20s", never());
    let mut peer = agent.accept();
    let mut subscribed = 0;
    for _ in 0..5 {
        match peer.expect() {
            ToAgent::Subscribe { .. } => subscribed += 1,
            // `demo.depth` is not there yet.
            ToAgent::List { req, pattern, .. } => {
                let found = pattern.to_string() == "demo.files";
                let rows = if found { fake::list_rows()[..1].to_vec() } else { vec![] };
                peer.send(ToProcess::Listed { req, rows, next: None });
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(subscribed, 2);
    let (files, depth) = (gauge(1, "files"), gauge(2, "depth"));
    peer.send_source(life(1), &[(files.clone(), 200)]);
    peer.send(ToProcess::Outage(outage(false)));
    // Now demo.files is stale: a live demo.depth does not make it true.
    peer.send_source(life(2), &[(files.clone(), 50), (depth.clone(), 0)]);
    peer.send(ToProcess::Reports { reports: vec![report(&depth, life(2), 7)], coalesced: 0 });
    peer.send(ToProcess::Reports { reports: vec![report(&files, life(2), 101)], coalesced: 0 });
    peer.send(ToProcess::Reports { reports: vec![report(&depth, life(2), 0)], coalesced: 0 });
    assert_eq!(lines.next(), "true");
    let (exit, err) = command.join().unwrap();
    assert_eq!(exit, Exit::Done);
    assert!(err.contains("note: no instrument is called `demo.depth` yet; waiting for it to appear"), "{err}");
}

#[test]
fn wait_says_how_things_stood_when_the_time_was_over() {
    let ran = told("wait 'demo.files > 5000' --timeout 50ms");
    assert_eq!(ran.exit, Exit::TimedOut);
    assert!(ran.err.contains("not true within 50ms: demo.files is not there"), "{}", ran.err);
    for (line, exit) in [
        ("wait 'demo.files > 5000' --now", Exit::False),
        ("wait 'demo.files > 1000 && demo.mode == safe' --now", Exit::Done),
        ("wait 'demo.queue.oldest < 3s' --now", Exit::False),
        ("wait 'demo.mode == slow' --now", Exit::Usage),
        ("wait 'demo.workers == -5' --now", Exit::Done),
    ] {
        let ran = told(line);
        assert_eq!(ran.exit, exit, "{line}: {}", ran.err);
    }
    let ran = alone("wait 'demo.files > 1 &&'");
    insta::assert_snapshot!("wait-mistake", ran.err);
}

// spec: TST-5
#[test]
fn an_armed_test_point_is_kept_armed_until_its_hits_its_time_or_ctrl_c() {
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::start(dir.path(), 1);
    let (command, mut lines) = watching(dir.path(), "arm demo.before_write count --hits 2 --for 1h", never());
    let mut peer = agent.accept();
    let point = gauge(1, "before_write");
    let ToAgent::Sense { req, .. } = peer.expect() else { panic!("the hits so far are asked for") };
    let rows = vec![(point.clone(), report(&point, life(1), 40))];
    peer.send(ToProcess::Sensed { req, rows, missing: vec![], truncated: false });
    let ToAgent::Arm { req, name, arming } = peer.expect() else { panic!("it is armed") };
    assert!(!arming.outlives_session);
    peer.send(ToProcess::Armed { req, name });
    assert!(lines.next().starts_with("demo.before_write: armed, count"));
    assert!(matches!(peer.expect(), ToAgent::Subscribe { .. }));
    peer.send_source(life(1), &[(point.clone(), 41)]);
    peer.send(ToProcess::Reports { reports: vec![report(&point, life(1), 42)], coalesced: 0 });
    let (exit, err) = command.join().unwrap();
    assert_eq!((exit, err.trim()), (Exit::Done, "demo.before_write: disarmed, its hits are reached"));

    assert!(told("arm demo.before_write pause --for 20ms").err.contains("its time is over"));

    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::start(dir.path(), 1).serve(zoo);
    let (interrupt, interrupts) = bounded(1);
    let (command, mut lines) = watching(dir.path(), "arm demo.before_write pause", interrupts);
    assert_eq!(lines.next(), "demo.before_write: armed, pause (for 60s)");
    interrupt.send(()).unwrap();
    assert_eq!(command.join().unwrap().0, Exit::Interrupted);
    assert!(agent.join().unwrap().iter().any(|m| matches!(m, ToAgent::Disarm { .. })));
}

// spec: TST-5
#[test]
fn only_the_hits_of_the_test_point_that_is_armed_are_counted() {
    for (hits, exit) in [(41, Exit::Unreachable), (42, Exit::Done)] {
        let dir = tempfile::tempdir().unwrap();
        let agent = FakeAgent::start(dir.path(), 1);
        let (command, mut lines) = watching(dir.path(), "arm demo.before_write count --hits 2 --for 1h", never());
        let mut peer = agent.accept();
        let (mut other, point) = (gauge(1, "before_write"), gauge(2, "before_write"));
        other.dims = tif_core::model::Dimensions::new([("shard", "1")]).unwrap();
        let ToAgent::Sense { req, .. } = peer.expect() else { panic!("the hits so far are asked for") };
        let rows = vec![(other.clone(), report(&other, life(1), 90)), (point.clone(), report(&point, life(1), 40))];
        peer.send(ToProcess::Sensed { req, rows, missing: vec![], truncated: false });
        let ToAgent::Arm { req, name, .. } = peer.expect() else { panic!("it is armed") };
        peer.send(ToProcess::Armed { req, name });
        lines.next();
        peer.expect();
        // The other's hits would be enough, counted from whichever start; then the agent goes, so that it ends either way.
        for message in fake::source(life(1), &[(other, 95), (point, hits)]) {
            peer.try_send(message);
        }
        drop((agent, peer));
        assert_eq!(command.join().unwrap().0, exit);
    }
}

// spec: TST-5
#[test]
fn arm_does_not_claim_to_be_armed_when_the_agent_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::start(dir.path(), 1);
    let (command, mut lines) = watching(dir.path(), "arm demo.before_write pause --for 1h", never());
    let mut peer = agent.accept();
    let ToAgent::Arm { req, name, .. } = peer.expect() else { panic!("it is armed") };
    peer.send(ToProcess::Armed { req, name });
    lines.next();
    drop((agent, peer));
    let (exit, err) = command.join().unwrap();
    assert_eq!(exit, Exit::Unreachable);
    assert!(err.starts_with("error: demo.before_write: disarmed, the connection to the agent was lost\ntry: "), "{err}");
}

// spec: SRV-2
#[test]
fn a_watch_for_what_is_not_there_says_so_and_what_is_near() {
    for (pattern, says) in [
        ("demo.fils", "note: nothing is there that fits `demo.fils`; waiting for it to appear (did you mean demo.files"),
        ("nope.*", "note: nothing is there that fits `nope.*`; waiting for it to appear\n"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (interrupt, interrupts) = bounded(1);
        let agent = FakeAgent::start(dir.path(), 1).serve(move |message| {
            // It is heard after what is being looked for has been told of.
            if matches!(message, ToAgent::List { .. }) {
                let _ = interrupt.try_send(());
            }
            zoo(message)
        });
        let (command, _lines) = watching(dir.path(), &format!("watch {pattern}"), interrupts);
        let (exit, err) = command.join().unwrap();
        assert_eq!(exit, Exit::Interrupted);
        assert!(err.contains(says), "{err}");
        agent.join().unwrap();
    }
}
