//! The commands against an agent that answers what a test wants: what they print, in every format, and how they end.

#[path = "commands/changing.rs"]
mod changing;
mod fake;
#[path = "commands/lasting.rs"]
mod lasting;

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
    for command in ["ls", "get", "watch", "set", "confirm", "fire", "result", "arm", "disarm", "drain", "ps", "outages", "wait"] {
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
