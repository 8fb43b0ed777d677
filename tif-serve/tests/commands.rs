//! The commands against an agent that answers what a test wants: what they print, in every format, and how they end.

mod fake;

use std::ffi::OsString;
use std::path::Path;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, unbounded};
use fake::{FakeAgent, NOW, gauge, life, outage, report};
use tif_core::machine::confirm::{Cause, End, Guard};
use tif_core::model::control::Comparison;
use tif_core::model::notice::NoticeEvent;
use tif_core::model::{Changed, Notice, Number, Refusal, Report, RequestId, SetResult, Setting, Value, Version};
use tif_core::wire::{Announced, KeepAsked, ToAgent, ToProcess};
use tif_serve::cli::{Exit, Screen, run};

/// How a command ended, and what it printed.
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

/// Output that a test can wait for.
struct Pipe(Sender<String>);

impl std::io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // The test may have seen enough.
        let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn start(dir: &Path, line: &str, interrupts: Receiver<()>, out: Sender<String>, width: Option<u16>) -> JoinHandle<(Exit, String)> {
    let mut args: Vec<OsString> = vec!["tif-serve".into(), "--run-dir".into(), dir.into()];
    // A word in single quotation marks may have spaces.
    for (n, part) in line.split('\'').enumerate() {
        if n % 2 == 1 { args.push(part.into()) } else { args.extend(part.split_whitespace().map(OsString::from)) }
    }
    spawn(move || {
        let (mut out, mut err) = (Pipe(out), Vec::new());
        let interrupts = Box::new(move || interrupts.clone());
        let exit = {
            let mut screen =
                Screen { out: &mut out, err: &mut err, colour: false, width, interrupts, unread: Box::new(never), now: || NOW };
            run(args.into_iter(), &mut screen)
        };
        (exit, String::from_utf8(err).unwrap())
    })
}

/// Runs a command to its end, without an agent.
fn alone(line: &str) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let (sender, out) = unbounded();
    let (exit, err) = start(dir.path(), line, never(), sender, Some(110)).join().unwrap();
    let err = err.replace(dir.path().to_str().unwrap(), "DIR");
    Ran { exit, out: out.try_iter().collect(), err }
}

/// Runs a command to its end, with an agent that answers so. Also yields what the agent was asked.
fn with(line: &str, answer: impl FnMut(&ToAgent) -> Vec<ToProcess> + Send + 'static) -> (Ran, Vec<ToAgent>) {
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::start(dir.path(), 1).serve(answer);
    let (sender, out) = unbounded();
    let (exit, err) = start(dir.path(), line, never(), sender, None).join().unwrap();
    fake::end(dir.path());
    (Ran { exit, out: out.try_iter().collect(), err }, agent.join().unwrap())
}

/// What an agent with the zoo of instruments answers.
fn zoo(message: &ToAgent) -> Vec<ToProcess> {
    let fits = |pattern: &tif_core::model::Pattern, a: &tif_core::wire::Announcement| {
        pattern.matches(&a.name, &a.dims) && pattern.at().is_none_or(|at| *at == a.process || *at == a.source)
    };
    match message {
        ToAgent::List { req, pattern, .. } => {
            let rows = fake::list_rows().into_iter().filter(|row| fits(pattern, &row.announcement)).collect();
            vec![ToProcess::Listed { req: *req, rows, next: None }]
        }
        ToAgent::Sense { req, patterns, .. } => {
            let rows: Vec<_> = fake::zoo().into_iter().filter(|(a, _)| patterns.iter().any(|p| fits(p, a))).collect();
            let missing = patterns
                .iter()
                .filter(|p| p.is_literal() && !rows.iter().any(|(a, _)| fits(p, a)))
                .map(|p| Refusal::NotFound { name: p.to_string(), nearest: vec!["demo.files".into()] })
                .collect();
            vec![ToProcess::Sensed { req: *req, rows, missing, truncated: false }]
        }
        ToAgent::Set { req, request_id, settings, admission, .. } => vec![ToProcess::SetDone {
            req: *req,
            result: SetResult {
                request_id: request_id.clone(),
                changed: settings.iter().map(|s| changed(&s.name)).collect(),
                replicated: false,
                applied: true,
                dry_run: admission.dry_run,
                repeated: false,
            },
        }],
        ToAgent::Confirm { req, request_id, .. } => {
            let request_id = request_id.clone().unwrap_or_else(|| "k0".parse().unwrap());
            vec![ToProcess::Confirmed { req: *req, request_id }]
        }
        ToAgent::Fire { req, request_id, arguments, .. } => {
            let result = if arguments.is_empty() { Err("nothing to flush".into()) } else { Ok("17".into()) };
            vec![ToProcess::Fired { req: *req, request_id: request_id.clone(), result, repeated: false }]
        }
        ToAgent::Arm { req, name, .. } | ToAgent::Disarm { req, name } => vec![ToProcess::Armed { req: *req, name: name.clone() }],
        ToAgent::Processes { req } => vec![ToProcess::Processes { req: *req, rows: fake::process_rows() }],
        ToAgent::Outages { req } => vec![ToProcess::Outages { req: *req, rows: fake::outage_rows() }],
        ToAgent::Lookup { req, name } => {
            let notice = Notice { name: name.clone(), key: Some(life(1)), event: NoticeEvent::Born };
            vec![ToProcess::LookedUp { req: *req, notice }]
        }
        _ => vec![],
    }
}

fn changed(name: &str) -> Changed {
    Changed { name: name.to_owned(), old: Value::I64(4), new: Value::I64(-5), choices: vec![], version: Version(3) }
}

fn told(line: &str) -> Ran {
    with(line, zoo).0
}

fn refused(line: &str, refusal: Refusal) -> Ran {
    let answer = move |message: &ToAgent| match message {
        ToAgent::Set { req, .. } | ToAgent::Fire { req, .. } | ToAgent::Arm { req, .. } | ToAgent::Disarm { req, .. } => {
            vec![ToProcess::Refused { req: *req, refusal: refusal.clone() }]
        }
        other => zoo(other),
    };
    with(line, answer).0
}

#[test]
fn help_tells_the_commands_the_exit_statuses_and_the_json() {
    insta::assert_snapshot!("help", alone("--help").out);
    for command in ["ls", "get", "watch", "set", "confirm", "fire", "arm", "disarm", "drain", "ps", "outages", "wait"] {
        let ran = alone(&format!("{command} --help"));
        assert_eq!(ran.exit, Exit::Done);
        insta::assert_snapshot!(format!("help-{command}"), ran.out);
    }
}

// spec: SRV-3, INS-9
#[test]
fn tables_are_for_people_and_json_for_programs() {
    for (name, line) in [
        ("ls", "ls"),
        ("ls-long", "ls --long"),
        ("ls-long-control", "ls --long demo.workers"),
        ("ls-long-procedure", "ls --long demo.flush"),
        ("ls-long-point", "ls --long demo.before_write"),
        ("ls-long-jsonl", "ls --long demo.before_write --output jsonl"),
        ("ls-jsonl", "ls demo.** --output jsonl"),
        ("get", "get **"),
        ("get-json", "get demo.files demo.queue.* demo.shard.load --output json"),
        ("get-jsonl", "get ** --output jsonl"),
        ("set", "set demo.workers -5 --request-id r-1 --if-version 2 --reason why"),
        ("set-json", "set demo.workers -5 --request-id r-1 --dry-run --output json"),
        ("fire", "fire demo.flush limit=3 --request-id r-2"),
        ("fire-json", "fire demo.flush --request-id r-2 --output jsonl"),
        ("arm", "arm demo.before_write delay=100ms --probability 0.5 --hits 3 --for 10s --where size>4096 --outlive"),
        ("arm-json", "arm demo.before_write fail --where size>4096 --outlive --output json"),
        ("disarm", "disarm demo.before_write"),
        ("ps", "ps"),
        ("ps-jsonl", "ps --output jsonl"),
        ("outages", "outages"),
        ("outages-jsonl", "outages --output jsonl"),
        ("wait-now", "wait 'demo.files > 1000' --now --output json"),
    ] {
        let ran = told(line);
        insta::assert_snapshot!(name, format!("$ tif-serve {line}\n{}{}(status {})", ran.out, ran.err, ran.exit.status()));
        let objects = if line.contains("--output jsonl") { ran.out.lines().map(str::to_owned).collect() } else { vec![ran.out.clone()] };
        if line.contains("--output") {
            for object in objects {
                let json: serde_json::Value = serde_json::from_str(&object).unwrap();
                let first = json.as_array().map_or(&json, |rows| &rows[0]);
                assert_eq!(first["v"], 1, "{object}");
            }
        }
    }
}

// spec: SRV-3, CTL-1, CTL-5
#[test]
fn every_failure_has_its_status_what_was_wrong_and_a_way_out() {
    let name = || "demo.workers".to_owned();
    let set = "set demo.workers 5";
    let check = |ran: Ran, exit: Exit, what: &str, hint: &str| {
        assert_eq!(ran.exit, exit, "{}", ran.err);
        let lines: Vec<&str> = ran.err.lines().collect();
        assert!(lines.iter().any(|l| l.starts_with("error: ") && l.contains(what)), "{}", ran.err);
        assert!(lines.last().is_some_and(|l| l.starts_with("try: ") && l.contains(hint)), "{}", ran.err);
    };
    check(told("get demo.fils"), Exit::NotFound, "no instrument is called `demo.fils`", "demo.files");
    check(told("ls demo.fils"), Exit::NotFound, "no instrument is called `demo.fils`", "demo.files");
    check(told("ls --cpu cpu9"), Exit::NotFound, "no CPU is called `cpu9`; known: cpu1", "--cpu cpu1");
    check(told("wait 'demo.nope == 1' --now"), Exit::NotFound, "`demo.nope`", "demo.files");
    check(alone("ps"), Exit::Unreachable, "no agent answers in DIR", "tif-monitor --cpu NAME --run-dir DIR");
    let unfit = Refusal::Unfit { name: name(), reason: "70 is out of range: allowed are -8 to 64".into() };
    check(refused(set, unfit), Exit::Usage, "allowed are -8 to 64", "ls --long");
    let ambiguous = Refusal::Ambiguous { name: name(), candidates: vec!["demo.workers@a".into(), "demo.workers@b".into()] };
    check(refused(set, ambiguous), Exit::Usage, "fits more than one", "demo.workers@a, demo.workers@b");
    check(refused(set, Refusal::Denied { reason: "not yours".into() }), Exit::Denied, "not yours", "or as root");
    let stale = Refusal::StaleVersion { name: name(), expected: Version(1), current: Version(2) };
    check(refused(set, stale), Exit::Stale, "at version 2, not 1", "--if-version 2");
    let reused = Refusal::RequestIdReused { id: "r".into(), was: "set a 1".into() };
    check(refused(set, reused), Exit::Stale, "already used", "--request-id");
    let outage = Refusal::NoExporter { name: name(), state: "outage".into() };
    check(refused("fire demo.flush", outage), Exit::Unreachable, "no live exporter", "outages");
    let silent = with("set demo.workers 5 --request-id r-7 --timeout 30ms", |_| vec![]).0;
    check(silent, Exit::TimedOut, "whether r-7 was done is not known", "--request-id r-7");
}

#[test]
fn a_mistake_in_the_command_line_is_status_2_and_says_what_would_be_right() {
    for (line, expect) in [
        ("", "Usage"),
        ("frobnicate", "unrecognized"),
        ("get", "PATTERN"),
        ("get A.b", "lower-case"),
        ("ls --timeout soon", "as 250ms"),
        ("ls --timeout 0s", "more than nothing"),
        ("wait demo.x --timeout 0", "more than nothing"),
        ("watch ** --for 0s", "more than nothing"),
        ("arm demo.x explode", "count, record"),
        ("arm demo.x fail --probability 2", "from 0 to 1"),
        ("arm demo.x fail --where size", "field"),
        ("fire demo.flush limit", "limit=100"),
        ("set demo.x 1 --request-id 'a b'", "request id"),
        ("watch ** --count 0", "write a whole number from 1"),
        ("arm demo.x fail --hits 0", "write a whole number from 1"),
        ("wait 'demo.x >'", "write a value"),
        ("watch demo.x demo.x@p#1.2", "tif-serve get 'demo.x@p#1.2'"),
        ("set demo.x --dry-rum", "--dry-rum"),
        ("set demo.x", "no value is given for `demo.x`"),
        ("set demo.x=1 demo.y", "`demo.y` is not NAME=VALUE"),
        ("set demo.x=1 demo.y=2 --if-version 3", "one control only"),
        ("set demo.x 1 --confirm-within 0s", "--confirm-within"),
        ("set demo.x 1 --guard demo.y=0..1", "--confirm-within"),
        ("set demo.x 1 --confirm-within 3s --guard demo.y=..", "orders.depth=0..100"),
    ] {
        let ran = alone(line);
        assert_eq!(ran.exit, Exit::Usage, "{line}: {}", ran.err);
        assert!(ran.err.contains(expect), "{line}: {}", ran.err);
        assert_eq!(ran.out, "");
    }
}

#[test]
fn negative_values_and_flags_in_any_order_are_understood() {
    let (ran, asked) = with("set -- demo.name --dry-rum", zoo);
    assert!(ran.exit == Exit::Done && matches!(&asked[0], ToAgent::Set { settings, .. } if settings[0].value == "--dry-rum"), "{asked:?}");
    for line in
        ["set demo.workers -5", "set demo.workers -5 --dry-run", "set --dry-run demo.workers -5", "set demo.workers -1.5e3 --reason x"]
    {
        let (ran, asked) = with(line, zoo);
        assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
        let Some(ToAgent::Set { settings, admission, .. }) = asked.first() else { panic!("{asked:?}") };
        assert!(settings[0].value.starts_with('-') && admission.dry_run == line.contains("--dry-run"));
    }
}

// spec: CTL-6
#[test]
fn several_controls_are_asked_for_in_one_step_and_each_is_told() {
    let (ran, asked) = with("set demo.workers=5 'demo.shard{id=3}=a=b'", zoo);
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    let Some(ToAgent::Set { settings, .. }) = asked.first() else { panic!("{asked:?}") };
    assert_eq!(*settings, [Setting::new("demo.workers", "5"), Setting::new("demo.shard{id=3}", "a=b")]);
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
    let (_, asked) = with("set 'demo.shard{id=3}' 7", zoo);
    assert!(matches!(asked.first(), Some(ToAgent::Set { settings, .. }) if *settings == [Setting::new("demo.shard{id=3}", "7")]));
}

// spec: CTL-6
#[test]
fn on_what_terms_a_change_stays_reaches_the_agent_and_is_told() {
    let (ran, asked) = with("set demo.workers 5 --confirm-within 3s --guard demo.rate{shard=1}=-2.5..", zoo);
    assert!(ran.out.contains("to be confirmed within 3s: tif-serve confirm 'demo.workers'"), "{}", ran.out);
    let Some(ToAgent::Set { keep: Some(keep), .. }) = asked.first() else { panic!("{asked:?}") };
    let guard = Guard { indicator: "demo.rate{shard=1}".into(), low: Number::Float(-2.5), high: Number::Float(f64::INFINITY) };
    assert_eq!(*keep, KeepAsked { within: Duration::from_secs(3), guard: Some(guard), while_connected: false });
    let ran = with("set demo.workers 5 --confirm-within 3s --output jsonl", zoo).0;
    assert!(ran.out.contains("\"confirm_within_ms\":3000"), "{}", ran.out);
    let (ran, asked) = with("confirm demo.workers --request-id k1", zoo);
    assert!(ran.exit == Exit::Done && ran.out.contains("the change k1 stays"), "{}", ran.out);
    assert!(matches!(asked.first(), Some(ToAgent::Confirm { name, request_id: Some(_), .. }) if name == "demo.workers"), "{asked:?}");
}

// spec: CTL-6
#[test]
fn a_command_that_holds_a_change_ends_with_its_end() {
    for (end, exit, words) in
        [(End::Confirmed, Exit::Done, "was confirmed"), (End::Reverted(Cause::GuardLeft), Exit::False, "its guard left")]
    {
        let answer = move |message: &ToAgent| {
            let mut answers = zoo(message);
            if let ToAgent::Set { request_id, .. } = message {
                answers.push(ToProcess::Settled { request_id: request_id.clone(), end });
            }
            answers
        };
        let (ran, asked) = with("set demo.workers 5 --while-connected", answer);
        assert!(ran.exit == exit && ran.err.contains(words), "{}", ran.err);
        assert!(matches!(asked.first(), Some(ToAgent::Set { keep: Some(keep), .. }) if keep.while_connected), "{asked:?}");
    }
}

// spec: CTL-3, CTL-5
#[test]
fn what_the_flags_of_set_say_reaches_the_agent() {
    let (_, asked) = with("set demo.workers 5 --request-id r-1 --if-version 2 --reason 'too slow'", zoo);
    let Some(ToAgent::Set { request_id, settings, reason, .. }) = asked.first() else { panic!("{asked:?}") };
    assert_eq!(*request_id, RequestId::try_from("r-1".to_owned()).unwrap());
    assert_eq!((settings[0].if_version, reason.as_deref()), (Some(Version(2)), Some("too slow")));
    let (_, asked) = with("arm demo.x fail --where size>4096 --where name==a --outlive --for 2min", zoo);
    let Some(ToAgent::Arm { arming, .. }) = asked.first() else { panic!("{asked:?}") };
    assert!(arming.outlives_session && arming.expires_after.as_secs() == 120 && arming.conditions.len() == 2);
    assert_eq!(arming.conditions[1].comparison, Comparison::Equal);
}

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

/// Control characters in what others say: a value, a result, a reason.
const STEERING: &str = "\x1b[2Jgone\x07\nsecond line";

// spec: SRV-3
#[test]
fn what_strangers_say_does_not_steer_the_terminal() {
    let with_values = |message: &ToAgent| match zoo(message).as_slice() {
        [ToProcess::SetDone { req, result }] => {
            let mut result = result.clone();
            result.changed[0].old = Value::Text(STEERING.into());
            vec![ToProcess::SetDone { req: *req, result }]
        }
        [ToProcess::Fired { req, request_id, result, .. }] => {
            let result = result.as_ref().map(|_| STEERING.into()).map_err(|_| STEERING.into());
            vec![ToProcess::Fired { req: *req, request_id: request_id.clone(), result, repeated: false }]
        }
        [ToProcess::Armed { req, .. }] => vec![ToProcess::Armed { req: *req, name: STEERING.into() }],
        other => other.to_vec(),
    };
    for line in ["set demo.workers 5", "fire demo.flush limit=3", "fire demo.flush", "disarm demo.x", "arm demo.x fail --outlive"] {
        let ran = with(line, with_values).0;
        let all = ran.out + &ran.err;
        assert!(all.contains("gone") && !all.contains(|c: char| c.is_control() && c != '\n'), "{line}: {all:?}");
    }
    let ran = with("fire demo.flush limit=3", with_values).0;
    assert_eq!(ran.out, "\\u{1b}[2Jgone\\u{7}\nsecond line\n", "a result may have several lines");
    let invalid = Refusal::Invalid { name: "demo.workers".into(), reason: STEERING.into() };
    let ran = refused("set demo.workers 5", invalid.clone());
    assert!(ran.err.contains("gone") && !ran.err.contains(['\x1b', '\x07']), "{:?}", ran.err);
    // JSON has its own way of writing them, and colours are ours.
    let ran = with("fire demo.flush limit=3 --output json", with_values).0;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()["result"], STEERING);
}

// spec: SRV-3, INS-3
#[test]
fn a_text_value_has_one_line_that_looks_like_what_it_is_and_is_exact_in_json() {
    const TEXT: &str = "two\nlines\t\u{202e}drawkcab\u{200b}";
    let with_text = |message: &ToAgent| match zoo(message).as_slice() {
        [ToProcess::Sensed { req, rows, .. }] => {
            let rows = rows.iter().map(|(a, r)| (a.clone(), Report { value: Some(Value::Text(TEXT.into())), ..r.clone() })).collect();
            vec![ToProcess::Sensed { req: *req, rows, missing: vec![], truncated: false }]
        }
        other => other.to_vec(),
    };
    let table = with("get demo.name", with_text).0.out;
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains(r"two\nlines\t\u{202e}drawkcab\u{200b}"), "{table}");
    let json: serde_json::Value = serde_json::from_str(&with("get demo.name --output jsonl", with_text).0.out).unwrap();
    assert_eq!(json["value"], TEXT);
}

#[test]
fn a_long_mistake_is_not_told_back_in_full() {
    let long = "A".repeat(5000);
    let lines = [
        format!("get {long}"),
        format!("{long} x"),
        format!("get --{long}"),
        format!("wait {long}"),
        format!("get a.b{{{long}"),
        format!("arm x {long}"),
    ];
    for line in lines {
        let ran = alone(&line);
        assert_eq!(ran.exit, Exit::Usage);
        assert!(ran.err.len() < 900, "{} bytes: {}", ran.err.len(), ran.err);
    }
}

// spec: SRV-3, SRV-2
#[test]
fn that_nothing_fits_is_said_and_is_an_empty_list_for_programs() {
    for (line, exit, out, err) in [
        ("get nope.*", Exit::Done, "", "no instruments"),
        ("ls nope.*", Exit::Done, "", "no instruments"),
        ("get nope.* --output json", Exit::Done, "[]\n", "no instruments"),
        ("get demo.nope --output json", Exit::NotFound, "[]\n", "no instrument is called `demo.nope`"),
        ("ls demo.nope --output json", Exit::NotFound, "[]\n", "no instrument is called `demo.nope`"),
        ("ls demo.nope nope.* --output jsonl", Exit::NotFound, "", "no instrument is called `demo.nope`"),
        ("get demo.nope --output jsonl", Exit::NotFound, "", "no instrument is called `demo.nope`"),
    ] {
        let ran = told(line);
        assert_eq!((ran.exit, ran.out.as_str()), (exit, out), "{line}: {}", ran.err);
        assert!(ran.err.contains(err), "{line}: {}", ran.err);
    }
}

// spec: SRV-2, INS-8
#[test]
fn get_reads_all_that_fits_though_it_is_too_much_for_one_answer() {
    let in_parts = |message: &ToAgent| match (message, zoo(message).as_slice()) {
        (ToAgent::Sense { patterns, .. }, [ToProcess::Sensed { req, rows, .. }]) if patterns.iter().any(|p| !p.is_literal()) => {
            vec![ToProcess::Sensed { req: *req, rows: rows.iter().take(2).cloned().collect(), missing: vec![], truncated: true }]
        }
        // What is asked for by name comes with all its dimensions.
        (ToAgent::Sense { patterns, .. }, [ToProcess::Sensed { req, rows, .. }])
            if patterns.iter().any(|p| p.to_string().contains("shard")) =>
        {
            let mut rows = rows.clone();
            let mut other = rows.iter().find(|(a, _)| !a.dims.is_empty()).expect("the zoo has one").clone();
            other.0.dims = tif_core::model::Dimensions::new([("shard", "9")]).unwrap();
            rows.push(other);
            vec![ToProcess::Sensed { req: *req, rows, missing: vec![], truncated: false }]
        }
        (_, other) => other.to_vec(),
    };
    let whole: Vec<String> = told("get demo.** --output jsonl").out.lines().map(str::to_owned).collect();
    let (ran, _) = with("get demo.** --output jsonl", in_parts);
    let shard_9 = |line: &str| line.contains("shard=9");
    assert!(ran.out.contains("shard=9"));
    let mut parts: Vec<String> = ran.out.lines().filter(|line| !shard_9(line)).map(str::to_owned).collect();
    parts.sort_by_key(|line| whole.iter().position(|l| l == line));
    assert_eq!((parts, ran.err.as_str()), (whole, ""));
    // What has the name and not the dimensions was not asked for.
    let out = with("get demo.shard.*{shard=3} --output jsonl", in_parts).0.out;
    assert!(out.contains("shard=3") && !out.contains("shard=9"), "{out}");
}

// spec: SRV-8
#[test]
fn a_value_that_never_was_has_no_age() {
    let never = |message: &ToAgent| match zoo(message).as_slice() {
        [ToProcess::Sensed { req, rows, .. }] => {
            let never = |r: &Report| Report { value: None, stamp: tif_core::model::Stamp(0), ..r.clone() };
            let rows = rows.iter().map(|(a, r)| (a.clone(), never(r))).collect();
            vec![ToProcess::Sensed { req: *req, rows, missing: vec![], truncated: false }]
        }
        other => other.to_vec(),
    };
    let json: serde_json::Value = serde_json::from_str(&with("get demo.files --output jsonl", never).0.out).unwrap();
    assert!(json["age_ms"].is_null() && json["value"].is_null(), "{json}");
    let table = with("get demo.files", never).0.out;
    assert_eq!(table.lines().last().unwrap().split_whitespace().collect::<Vec<_>>(), ["demo.files", "-", "good", "-", "warning", "demo-1"]);
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

// spec: INS-9
#[test]
fn ls_takes_several_patterns_and_lists_each_instrument_once() {
    let ran = told("ls demo.files demo.f* demo.nope demo.mode --output jsonl");
    let names: Vec<String> = ran.out.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["name"].to_string()).collect();
    assert_eq!(names, ["\"demo.files\"", "\"demo.flush\"", "\"demo.mode\""]);
    assert_eq!(ran.exit, Exit::NotFound);
    assert!(ran.err.contains("no instrument is called `demo.nope`"), "{}", ran.err);
}

// spec: PSM-2
#[test]
fn ps_leaves_out_importers_that_took_their_leave_unless_asked() {
    let with_left = |message: &ToAgent| match zoo(message).as_slice() {
        [ToProcess::Processes { req, rows }] => {
            let mut rows = rows.clone();
            let left = |role, name: &str| tif_core::wire::ProcessRow {
                name: name.parse().unwrap(),
                state: tif_core::model::ProcessState::Unregistered,
                role,
                ..rows[0].clone()
            };
            let both = [left(tif_core::model::Role::Importer, "reader"), left(tif_core::model::Role::Solo, "service")];
            rows.extend(both);
            vec![ToProcess::Processes { req: *req, rows }]
        }
        other => other.to_vec(),
    };
    for format in ["table", "json", "jsonl"] {
        let some = with(&format!("ps --output {format}"), with_left).0.out;
        assert!(some.contains("service") && !some.contains("reader"), "{some}");
        let all = with(&format!("ps --all --output {format}"), with_left).0.out;
        assert!(all.contains("service") && all.contains("reader"), "{all}");
    }
}

// spec: TST-2
#[test]
fn the_hint_of_a_wrong_argument_leads_to_what_the_procedure_takes() {
    let unfit = Refusal::Unfit { name: "demo.flush limit".into(), reason: "\"x\" is not a u64".into() };
    let ran = refused("fire demo.flush limit=x", unfit);
    assert!(ran.err.contains("try: `tif-serve ls --long 'demo.flush'`"), "{}", ran.err);
    assert!(told("ls --long demo.flush").out.contains("limit=u64"));
}

#[test]
fn colours_come_only_when_wanted() {
    assert!(!told("get demo.files").out.contains('\x1b'));
    assert!(told("get demo.files --color always").out.contains("\x1b["));
    assert!(told("get demo.fils --color always").err.contains("\x1b[1;31merror:"));
}
