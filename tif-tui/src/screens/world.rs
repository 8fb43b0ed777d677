//! A screen without a terminal or an agent: a service `orders` with its group, a host that exports for itself, a scripted backend.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Cell;
use ratatui::layout::Size;
use tif_core::model::histogram::{BUCKETS, bucket_of};
use tif_core::model::{
    Alarm, Argument, Cause, Changed, Declared, Descriptor, Dimensions, Epoch, Incarnation, InstrumentId, Key, Kind, Limits, MemberNumber,
    Name, NodeId, Number, Outage, OutageEnd, OutageId, ProcId, ProcessState, Quality, Report, RequestId, Role, SetResult, Stamp,
    TestPointKind, Time, Value, ValueType, Version, Weight, histogram::Histogram,
};
use tif_core::wire::{Announcement, ProcessRow};

use crate::app::{App, ExtraKey, Settings};
use crate::backend::{Answer, Backend, Request};
use crate::message::Message;
use crate::model::fact::{Fact, Link, Now, Standing};
use crate::view::{self, theme::Theme};

/// 2026-11-20 12:00:00Z.
pub(super) const NOON: u64 = 1_795_176_000_000_000_000;

/// A screen under test.
pub(super) struct Screen {
    pub(super) app: App,
    pub(super) now: Now,
    pub(super) theme: Theme,
    pub(super) backend: Scripted,
    terminal: Terminal<TestBackend>,
}

impl Screen {
    /// Empty, the link just up.
    pub(super) fn empty(width: u16, height: u16) -> Screen {
        Screen::with(width, height, Settings::default())
    }

    /// The same with settings.
    pub(super) fn with(width: u16, height: u16, settings: Settings) -> Screen {
        let now = Now { mono: Time(1_000_000_000), wall: Stamp(NOON) };
        let terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let app = App::new(settings, Size { width, height }, now);
        let theme = Theme { color: true, ascii: false };
        let mut screen = Screen { app, now, theme, backend: Scripted::default(), terminal };
        screen.facts(vec![Fact::Link(up())]);
        screen.serve();
        screen
    }

    /// With the orders and the host.
    pub(super) fn full(width: u16, height: u16) -> Screen {
        let mut screen = Screen::empty(width, height);
        screen.facts(world(screen.now));
        screen
    }

    pub(super) fn facts(&mut self, facts: Vec<Fact>) {
        self.app.update(Message::Facts(facts), self.now);
    }

    /// Keys: characters as they are, others as `<Tab>`.
    pub(super) fn press(&mut self, keys: &str) {
        let mut rest = keys;
        while let Some(c) = rest.chars().next() {
            let (code, len) = match rest.strip_prefix('<').and_then(|inner| inner.split_once('>')) {
                Some((name, _)) => (named(name), name.len() + 2),
                None => (KeyCode::Char(c), c.len_utf8()),
            };
            self.app.update(Message::Key(KeyEvent::new(code, KeyModifiers::NONE)), self.now);
            rest = &rest[len..];
        }
    }

    pub(super) fn click(&mut self, x: u16, y: u16) {
        let kind = MouseEventKind::Down(MouseButton::Left);
        self.app.update(Message::Mouse(MouseEvent { kind, column: x, row: y, modifiers: KeyModifiers::NONE }), self.now);
    }

    /// One notch of the wheel.
    pub(super) fn wheel_down(&mut self, x: u16, y: u16) {
        let event = MouseEvent { kind: MouseEventKind::ScrollDown, column: x, row: y, modifiers: KeyModifiers::NONE };
        self.app.update(Message::Mouse(event), self.now);
    }

    /// The terminal has another size. The screen is not told yet.
    pub(super) fn stretch(&mut self, width: u16, height: u16) {
        self.terminal.backend_mut().resize(width, height);
    }

    /// The news of the terminal's size arrives.
    pub(super) fn told(&mut self, width: u16, height: u16) {
        self.app.update(Message::Resize(width, height), self.now);
    }

    /// Lets time pass, second by second, as the loop would.
    pub(super) fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now.mono = self.now.mono + Duration::from_secs(1);
            self.now.wall = Stamp(self.now.wall.0 + 1_000_000_000);
            self.app.tick(self.now);
        }
    }

    /// Answers what the screen asks.
    pub(super) fn serve(&mut self) {
        for (ticket, request) in self.app.take_outbox() {
            let result = self.backend.perform(&request);
            self.app.update(Message::Answer { ticket, result }, self.now);
        }
    }

    /// Moves the table's cursor to the row of that address.
    pub(super) fn select(&mut self, address: &str) {
        self.press("1<Tab>");
        while self.app.context() != crate::keymap::Context::Table {
            self.press("<Tab>");
        }
        self.press("g");
        for _ in 0..1_000 {
            if self.app.selected_row().is_some_and(|row| row.address == address) {
                return;
            }
            self.press("j");
        }
        panic!("{address} is not in the table");
    }

    /// The screen as text.
    pub(super) fn show(&mut self) -> String {
        let (app, theme, now) = (&self.app, &self.theme, self.now);
        let buffer = self.terminal.draw(|frame| view::draw(frame, app, theme, now)).unwrap().buffer.clone();
        let width = usize::from(buffer.area.width);
        let lines = buffer.content.chunks(width);
        lines.map(|line| visible(line).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    /// The cells of the first line that has `text`.
    pub(super) fn cells(&mut self, text: &str) -> Vec<Cell> {
        let shown = self.show();
        let at = shown.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("no line has {text:?}:\n{shown}"));
        let buffer = self.terminal.backend().buffer();
        let width = usize::from(buffer.area.width);
        buffer.content[at * width..(at + 1) * width].to_vec()
    }

    /// All cells.
    pub(super) fn all_cells(&mut self) -> Vec<Cell> {
        self.show();
        self.terminal.backend().buffer().content.clone()
    }
}

/// A line as the terminal shows it: the cell behind a wide character is under it.
fn visible(line: &[Cell]) -> String {
    let (mut text, mut at) = (String::new(), 0);
    while let Some(cell) = line.get(at) {
        text.push_str(cell.symbol());
        at += crate::view::text::width(cell.symbol()).max(1);
    }
    text
}

fn named(name: &str) -> KeyCode {
    match name {
        "Tab" => KeyCode::Tab,
        "BackTab" => KeyCode::BackTab,
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "PgDn" => KeyCode::PageDown,
        "Back" => KeyCode::Backspace,
        "End" => KeyCode::End,
        "Home" => KeyCode::Home,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "PgUp" => KeyCode::PageUp,
        other => panic!("no key is called {other}"),
    }
}

/// Answers as it is told, and remembers what it was asked.
pub(super) struct Scripted {
    pub(super) asked: Mutex<Vec<Request>>,
    pub(super) refusal: Option<String>,
    pub(super) processes: Vec<ProcessRow>,
}

impl Default for Scripted {
    fn default() -> Scripted {
        Scripted { asked: Mutex::default(), refusal: None, processes: processes() }
    }
}

impl Backend for Scripted {
    fn perform(&self, request: &Request) -> Result<Answer, String> {
        self.asked.lock().unwrap().push(request.clone());
        match (request, &self.refusal) {
            (Request::Processes, _) => Ok(Answer::Processes(self.processes.clone())),
            (Request::Outages, _) => Ok(Answer::Outages(Vec::new())),
            (_, Some(refusal)) => Err(refusal.clone()),
            (Request::Set { name, value }, _) => Ok(Answer::Set(SetResult {
                request_id: "0123abcd".parse::<RequestId>().unwrap(),
                changed: vec![Changed {
                    name: name.clone(),
                    old: Value::U64(64),
                    new: Value::U64(value.parse().unwrap()),
                    choices: Vec::new(),
                    version: Version(2),
                }],
                replicated: false,
                applied: true,
                dry_run: false,
                repeated: false,
            })),
            (Request::Fire { .. }, _) => Ok(Answer::Fired(Ok("42".to_owned()))),
            (Request::Arm { .. } | Request::Disarm { .. }, _) => Ok(Answer::Armed),
            (Request::Extra, _) => Ok(Answer::Extra("orders-1 (pid 4711) was killed".to_owned())),
        }
    }
}

/// The caller's key of the demonstration.
pub(super) fn extra() -> Settings {
    let confirm = Some("Kill the primary?".to_owned());
    Settings { extra: Some(ExtraKey { key: 'K', label: "kill the primary".to_owned(), confirm }), ..Settings::default() }
}

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A key: process `proc` in its life `life`.
pub(super) fn key(proc: u64, life: u32) -> Key {
    Key { node: NodeId(1), proc: ProcId(proc), inc: Incarnation::new(1, life) }
}

pub(super) fn up() -> Link {
    Link::Up { cpu: name("cpu1"), agent: key(0, 1) }
}

/// What is declared of `service.path`, with as little as possible.
pub(super) fn descriptor(path: &str, kind: Kind, value_type: ValueType) -> Descriptor {
    Descriptor {
        help: format!("What {path} tells."),
        declared: Declared { crate_name: "orders".into(), version: "1.2.0".into(), file: "src/orders.rs".into(), line: 31 },
        ..Descriptor::bare(name(path), kind, value_type)
    }
}

/// Announces it: of a group if `solo` is none, else of that process.
pub(super) fn announce(id: u64, service: &str, process: &str, solo: bool, dims: &[(&str, &str)], d: Descriptor) -> Arc<Announcement> {
    Arc::new(Announcement {
        instrument: InstrumentId(id),
        source: name(if solo { process } else { service }),
        name: name(service).join(&d.path).unwrap(),
        dims: Dimensions::new(dims.iter().copied()).unwrap(),
        cpu: name("cpu1"),
        process: name(process),
        descriptor: d,
        version: Version(1),
    })
}

/// A good report.
pub(super) fn report(a: &Arc<Announcement>, value: Value, alarm: Alarm, now: Now) -> Fact {
    let report = Report {
        instrument: a.instrument,
        value: Some(value),
        quality: Quality::Good,
        key: key(5, 1),
        seq: 1,
        stamp: now.wall,
        coalesced: 0,
        alarm,
    };
    Fact::Report { announcement: a.clone(), report }
}

/// The instruments of the orders, as process `process` exports them.
pub(super) fn orders(process: &str) -> Vec<(Arc<Announcement>, Value, Alarm)> {
    let of = |id, dims: &[(&str, &str)], d| announce(id, "orders", process, false, dims, d);
    let mut depth = descriptor("queue.depth", Kind::Gauge, ValueType::U64);
    depth.help = "Orders waiting.".into();
    depth.limits = Limits { warn_above: Some(1e3), critical_above: Some(1e4), hysteresis: 50.0, ..Limits::default() };
    let mut shard = descriptor("queue.shard", Kind::Gauge, ValueType::U64);
    shard.dimensions = vec!["shard".into()];
    let mut oldest = descriptor("oldest", Kind::Dynamic { every: Duration::from_secs(1) }, ValueType::F64);
    oldest.unit = "s".parse().unwrap();
    let mut latency = descriptor("latency", Kind::Histogram, ValueType::Histogram);
    latency.unit = "s".parse().unwrap();
    latency.help = "Time to handle one order.".into();
    let mut batch = descriptor("batch", Kind::Control { memorized: true, validated: false }, ValueType::U64);
    batch.help = "Orders handled in one batch.".into();
    (batch.range, batch.default) = (Some((Number::Whole(1), Number::Whole(4096))), Some(Value::U64(64)));
    let mut mode = descriptor("mode", Kind::Control { memorized: false, validated: true }, ValueType::Choice);
    (mode.choices, mode.default) = (vec!["fast".into(), "safe".into()], Some(Value::Choice(0)));
    let argument = |name: &str, value_type| Argument { name: name.into(), value_type, choices: Vec::new(), range: None };
    let point = TestPointKind::InPath { fields: vec![argument("size", ValueType::U64)] };
    let flush = TestPointKind::Procedure {
        arguments: vec![argument("limit", ValueType::U64), argument("quiet", ValueType::Bool)],
        returns: "Result<u64, FlushError>".into(),
        timeout: Duration::from_secs(5),
        idempotent: false,
    };
    vec![
        (of(1, &[], descriptor("accepted", Kind::Counter, ValueType::U64)), Value::U64(120_345), Alarm::Ok),
        (of(2, &[], depth), Value::U64(1_204), Alarm::Warning),
        (of(3, &[("shard", "2")], shard.clone()), Value::U64(700), Alarm::Ok),
        (of(4, &[("shard", "10")], shard), Value::U64(504), Alarm::Ok),
        (of(5, &[], oldest), Value::F64(12.5), Alarm::Critical),
        (of(6, &[], latency), Value::Histogram(Box::new(histogram())), Alarm::Ok),
        (of(7, &[], batch), Value::U64(64), Alarm::Ok),
        (of(8, &[], mode), Value::Choice(1), Alarm::Ok),
        (of(9, &[], descriptor("before_commit", Kind::TestPoint(point), ValueType::U64)), Value::U64(0), Alarm::Ok),
        (of(10, &[], descriptor("flush", Kind::TestPoint(flush), ValueType::Text)), Value::Text("never".into()), Alarm::Ok),
    ]
}

fn histogram() -> Histogram {
    let mut counts = vec![0u64; BUCKETS];
    let mut sum = 0;
    for i in 0..1_000u64 {
        let ns = 200_000 + i * i * 9;
        sum += ns;
        counts[bucket_of(ns)] += 1;
    }
    Histogram::from_buckets(1e-9, sum, counts.into_iter())
}

/// The orders and the host, announced and with values.
pub(super) fn world(now: Now) -> Vec<Fact> {
    let mut busy = descriptor("cpu.busy", Kind::Gauge, ValueType::F64);
    busy.unit = "%".parse().unwrap();
    let busy = announce(20, "host", "host-1", true, &[], busy);
    let mut facts = Vec::new();
    for (a, value, alarm) in orders("orders-1").into_iter().chain([(busy, Value::F64(37.5), Alarm::Ok)]) {
        facts.push(Fact::Announced(a.clone()));
        facts.push(report(&a, value, alarm, now));
    }
    facts
}

/// The process `orders-1` is lost; the importer says so.
pub(super) fn lost(now: Now) -> Vec<Fact> {
    vec![Fact::Outage(outage(now)), Fact::Standing { source: name("orders"), standing: Standing::Stale { since: now.wall } }]
}

pub(super) fn outage(now: Now) -> Outage {
    Outage {
        id: OutageId(7),
        cpu: name("cpu1"),
        source: name("orders"),
        process: name("orders-1"),
        key: key(5, 1),
        cause: Cause::Signal { signal: 9, core: false },
        since: now.wall,
        end: None,
        found: None,
    }
}

/// `orders-2` has taken over: its instruments, their values, the end of the outage.
pub(super) fn back(began: Now, now: Now) -> Vec<Fact> {
    let mut facts = Vec::new();
    for (a, value, alarm) in orders("orders-2") {
        facts.push(Fact::Announced(a.clone()));
        facts.push(report(&a, value, alarm, now));
    }
    facts.push(Fact::Standing { source: name("orders"), standing: Standing::Live });
    let end = OutageEnd {
        process: name("orders-2"),
        key: key(6, 2),
        at: now.wall,
        gap_ms: 4_000,
        remapped: 10,
        removed: 0,
        added: 0,
        carried: 2,
        counted: true,
    };
    facts.push(Fact::Outage(Outage { end: Some(end), ..outage(began) }));
    facts
}

fn processes() -> Vec<ProcessRow> {
    let row = |name_: &str, proc, life, state, role, service: Option<&str>, pid, cause| ProcessRow {
        name: name(name_),
        cpu: name("cpu1"),
        key: key(proc, life),
        state,
        cause,
        role,
        service: service.map(name),
        epoch: Epoch(3),
        number: service.is_some_and(|service| service == "orders").then_some(MemberNumber((proc as u32).saturating_sub(4))),
        weight: service.is_some_and(|service| service == "orders").then(Weight::default),
        pid,
        program: "orders 1.2.0".into(),
        since_ms: 65_000,
        instruments: if service.is_some() { 10 } else { 0 },
        subscriptions: if service.is_some() { 0 } else { 1 },
        coalesced: 0,
    };
    vec![
        row("host-1", 3, 4, ProcessState::Alive, Role::Solo, Some("host"), 801, None),
        row("orders-1", 5, 5, ProcessState::Alive, Role::Primary, Some("orders"), 4711, None),
        row("orders-2", 6, 6, ProcessState::Alive, Role::Standby, Some("orders"), 4712, None),
        row("orders-3", 7, 7, ProcessState::Dead, Role::Standby, Some("orders"), 4713, Some(Cause::OutOfMemory)),
        row("tif-tui-1", 9, 8, ProcessState::Alive, Role::Importer, None, 5000, None),
    ]
}
