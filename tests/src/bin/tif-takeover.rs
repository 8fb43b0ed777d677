//! How long an importer is without a value when a primary is killed: `tif-takeover [ROUNDS [MIB]]`, where the
//! services hold so much memory each.
//!
//! Each round kills the primary (SIGKILL) of a real pair under a real agent and measures, in an importer in this process, the time to the outage report
//! and to the first live value from the backup; beside them, as the baseline of the same round, the time until a pidfd tells of the death of a
//! process that does nothing. Prints medians, 99th percentiles and greatest.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tif_core::model::{Coarsen, Key, Quality};
use tif_serve::importer::{Event, Importer, Options};
use tif_tests::process::PATIENCE;
use tif_tests::world::World;

fn main() -> ExitCode {
    let rounds = match std::env::args().nth(1).map(|n| n.parse()) {
        None => 30,
        Some(Ok(rounds @ 1..=10_000)) => rounds,
        Some(_) => {
            eprintln!("tif-takeover: the number of rounds is 1 to 10000");
            return ExitCode::from(2);
        }
    };
    let ballast = std::env::args().nth(2).unwrap_or_else(|| "0".into());
    if ballast.parse::<u32>().is_err() {
        eprintln!("tif-takeover: the memory of the services is a number of MiB");
        return ExitCode::from(2);
    }
    let fixture = std::env::current_exe().ok().and_then(|p| p.parent().map(|d| d.join("tif-fixture"))).filter(|p| p.exists());
    let Some(fixture) = fixture else {
        eprintln!("tif-takeover: tif-fixture is not beside this program: cargo build -p tif-tests --bins");
        return ExitCode::from(2);
    };
    measure(&fixture, rounds, &ballast);
    ExitCode::SUCCESS
}

fn measure(fixture: &Path, rounds: usize, ballast: &str) {
    let member = ["--standby", "--ballast", ballast];
    let world = World::new(fixture.to_str().expect("a path in UTF-8"));
    let _agent = world.agent();
    let importer = Importer::open(Options {
        run_dir: Some(world.run_dir()),
        program: "tif-takeover".into(),
        name: "tif-takeover".parse().expect("a name"),
        timeout: PATIENCE,
        heartbeat: None,
    })
    .expect("the agent was just started");
    importer.subscribe("shop.**".parse().expect("a pattern"), Coarsen::default());

    let mut primary = world.service(&member);
    let (mut outage, mut live, mut pidfd) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let standby = world.service(&member);
        let old = wait(&importer, |event| match event {
            Event::Report { report, .. } if report.quality == Quality::Good => Some(report.key),
            _ => None,
        });
        pidfd.push(bare_pidfd());
        let killed = Instant::now();
        primary.signal(Signal::KILL);
        let told = wait(&importer, |event| matches!(event, Event::Outage(o) if o.key == old && o.end.is_none()).then(Instant::now));
        let first = wait(&importer, |event| is_live_from_another(event, old).then(Instant::now));
        outage.push(told.duration_since(killed));
        live.push(first.duration_since(killed));
        drop(std::mem::replace(&mut primary, standby));
    }
    show("kill to a bare pidfd", &mut pidfd);
    show("kill to the outage report", &mut outage);
    show("kill to the first live value", &mut live);
}

fn is_live_from_another(event: &Event, old: Key) -> bool {
    matches!(event, Event::Report { report, .. } if report.key != old && report.quality == Quality::Good)
}

fn wait<T>(importer: &Importer, mut fits: impl FnMut(&Event) -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        let event = importer.events().recv_deadline(until).expect("the agent reports in time");
        if let Some(found) = fits(&event) {
            return found;
        }
    }
}

/// The baseline: from the kill of a process that does nothing to its pidfd being readable.
fn bare_pidfd() -> Duration {
    let mut child = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().expect("sleep is on every machine");
    let pid = Pid::from_child(&child);
    let fd = pidfd_open(pid, PidfdFlags::empty()).expect("a child of ours");
    let killed = Instant::now();
    kill_process(pid, Signal::KILL).expect("a child of ours");
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).expect("a pidfd");
    let took = killed.elapsed();
    child.wait().expect("a child of ours");
    took
}

fn show(what: &str, all: &mut [Duration]) {
    all.sort();
    let at = |q: f64| all[((all.len() as f64 * q) as usize).min(all.len() - 1)];
    println!("{what:32} n={:<5} p50 {:>9.3?}  p99 {:>9.3?}  max {:>9.3?}", all.len(), at(0.5), at(0.99), all[all.len() - 1]);
}
