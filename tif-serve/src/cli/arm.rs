//! `arm`: make an in-path test point do something, for a time.

use std::io;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, never, select};
use serde_json::json;
use tif_core::limits::{ARM_DELAY_MAX, ARM_EXPIRY_DEFAULT, ARM_EXPIRY_MAX};
use tif_core::model::control::Condition;
use tif_core::model::value::parse_duration;
use tif_core::model::{Arming, Coarsen, FaultAction, Pattern, Report};
use tif_core::wire::Announcement;

use super::args::{Format, count, duration, parsed};
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::session::Session;
use crate::importer::{Event, Importer, Link, address};
use crate::json::VERSION;

/// Arm an in-path test point, and keep it armed until it expires
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Actions: count, record (capture the declared fields), delay=100ms, fail (the caller gets the declared error), panic, \
pause (until disarmed or expired).\n\n\
An armed test point is disarmed when the session that armed it ends. So this command stays in the foreground until the time given with \
--for is over or the hits given with --hits are reached, and then ends with status 0; Ctrl-C disarms at once (status 130). \
If the agent is lost the test point is disarmed as well (status 5). \
With --outlive it returns as soon as the test point is armed, which then disarms itself at its expiry or hit limit, or by `tif-serve disarm`.\n\
JSON: v, name, armed, action, probability, hits_max, expires_s, conditions, outlives_session."
)]
pub(super) struct Arm {
    /// Which test point
    name: String,
    /// What it does to code that passes: count, record, delay=T, fail, panic or pause
    #[arg(value_parser = action)]
    action: FaultAction,
    /// To which share of the passes, 0 to 1
    #[arg(long, value_name = "P", value_parser = probability, default_value = "1")]
    probability: f64,
    /// Disarm after this many hits
    #[arg(long, value_name = "N", value_parser = count)]
    hits: Option<u64>,
    /// Disarm after this time, at most 24h [default: 60s]
    #[arg(long = "for", value_name = "T", value_parser = expiry)]
    expires_after: Option<Duration>,
    /// Only passes whose captured field compares so, as size>4096; may be given several times: all must hold
    #[arg(long = "where", value_name = "COND", value_parser = parsed::<Condition>)]
    conditions: Vec<Condition>,
    /// Stay armed when this command ends
    #[arg(long)]
    outlive: bool,
}

fn action(text: &str) -> Result<FaultAction, String> {
    let delay = |text| match parse_duration(text) {
        Some(delay) if delay <= ARM_DELAY_MAX => Ok(FaultAction::Delay(delay)),
        Some(_) => Err(format!("a delay is at most {ARM_DELAY_MAX:?}")),
        None => Err("write a delay as delay=100ms".to_owned()),
    };
    match text.split_once('=') {
        Some(("delay", length)) => return delay(length),
        Some(_) => {}
        None => match text {
            "count" => return Ok(FaultAction::Count),
            "record" => return Ok(FaultAction::Record),
            "fail" => return Ok(FaultAction::Fail),
            "panic" => return Ok(FaultAction::Panic),
            "pause" => return Ok(FaultAction::Pause),
            "delay" => return delay(""),
            _ => {}
        },
    }
    Err("write count, record, delay=100ms, fail, panic or pause".to_owned())
}

fn probability(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|p| (0.0..=1.0).contains(p)).ok_or_else(|| "write a number from 0 to 1, as 0.25".to_owned())
}

fn expiry(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time.is_zero() || time > ARM_EXPIRY_MAX {
        Err(format!("more than nothing and at most {}h", ARM_EXPIRY_MAX.as_secs() / 3600))
    } else {
        Ok(time)
    }
}

pub(super) fn run(args: Arm, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let pattern: Pattern = args.name.parse()?;
    let importer = session.connect()?;
    let interrupts = if args.outlive { never() } else { (session.screen.interrupts)() };
    let arming = Arming {
        action: args.action,
        probability: args.probability,
        hits_max: args.hits,
        expires_after: args.expires_after.unwrap_or(ARM_EXPIRY_DEFAULT),
        conditions: args.conditions,
        outlives_session: args.outlive,
    };
    // Its value is its hits: those from before do not count towards the limit.
    let before = if arming.hits_max.is_some() && !args.outlive { importer.sense(std::slice::from_ref(&pattern))?.rows } else { vec![] };
    let name = importer.arm(&args.name, arming.clone())?;
    let expires = Instant::now() + arming.expires_after;
    let done = || format!("{name} was armed{}", if args.outlive { "" } else { " (and is disarmed again, as this command ends)" });
    announce(session, &name, &arming).and_then(|()| session.screen.flush()).map_err(Failure::unwritten(done))?;
    if args.outlive {
        return Ok(Exit::Done);
    }
    importer.subscribe(pattern, Coarsen::default());
    let before = before.iter().find_map(|(a, report)| hits(&name, a, report)).unwrap_or(0);
    let limit = arming.hits_max.map(|hits| before.saturating_add(hits));
    match wait(&importer, &name, limit, expires, &interrupts)? {
        Ended::Expired => session.screen.note(&format!("{name}: disarmed, its time is over")),
        Ended::Hits => session.screen.note(&format!("{name}: disarmed, its hits are reached")),
        Ended::Interrupted => {
            importer.disarm(&args.name)?;
            session.screen.note(&format!("{name}: disarmed"));
            return Ok(Exit::Interrupted);
        }
    }
    Ok(Exit::Done)
}

enum Ended {
    Expired,
    Hits,
    Interrupted,
}

fn wait(importer: &Importer, name: &str, limit: Option<u64>, expires: Instant, interrupts: &Receiver<()>) -> Result<Ended, Failure> {
    let time = after(expires.saturating_duration_since(Instant::now()));
    let lost = |what: &str| Failure::new(Exit::Unreachable, format!("{name}: disarmed, {what}"), "the same again");
    loop {
        let event = select! {
            recv(time) -> _ => return Ok(Ended::Expired),
            recv(interrupts) -> _ => return Ok(Ended::Interrupted),
            recv(importer.events()) -> event => event.map_err(|_| lost("the connection to the agent is over"))?,
        };
        match event {
            // The agent ends what the session armed. That it would take the importer back does not arm it again.
            // spec: TST-5
            Event::Link(Link::Down { .. }) => return Err(lost("the connection to the agent was lost")),
            Event::Report { announcement, report }
                if limit.is_some_and(|limit| hits(name, &announcement, &report).is_some_and(|hits| hits >= limit)) =>
            {
                return Ok(Ended::Hits);
            }
            _ => {}
        }
    }
}

/// The hits that a report tells of the one that is armed: its name without dimensions may fit others, too.
fn hits(name: &str, announcement: &Announcement, report: &Report) -> Option<u64> {
    (address(announcement) == name).then(|| report.value.as_ref()?.to_bits()).flatten()
}

fn announce(session: &mut Session<'_, '_>, name: &str, arming: &Arming) -> io::Result<()> {
    let conditions: Vec<String> = arming
        .conditions
        .iter()
        .map(|c| {
            let sign = tif_core::model::control::Comparison::ALL
                .iter()
                .find(|(_, comparison)| *comparison == c.comparison)
                .map_or("?", |(s, _)| s);
            format!("{}{sign}{}", c.field, c.literal)
        })
        .collect();
    if session.global.output != Format::Table {
        let line = json!({
            "v": VERSION,
            "name": name,
            "armed": true,
            "action": arming.action.to_string(),
            "probability": arming.probability,
            "hits_max": arming.hits_max,
            "expires_s": arming.expires_after.as_secs_f64(),
            "conditions": conditions,
            "outlives_session": arming.outlives_session,
        });
        return output::object(session.screen, &line);
    }
    let facts = [
        Some(format!("for {:?}", arming.expires_after)),
        arming.hits_max.map(|hits| format!("at most {hits} {}", if hits == 1 { "hit" } else { "hits" })),
        (arming.probability < 1.0).then(|| format!("probability {}", arming.probability)),
        (!conditions.is_empty()).then(|| format!("where {}", conditions.join(" and "))),
        arming.outlives_session.then(|| "outlives this session".to_owned()),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    session.screen.say(&format!("{name}: armed, {} ({})", arming.action, facts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: TST-1
    #[test]
    fn actions_are_read_as_they_are_written() {
        assert_eq!(action("delay=100ms"), Ok(FaultAction::Delay(Duration::from_millis(100))));
        assert_eq!(action("pause"), Ok(FaultAction::Pause));
        for (text, expect) in
            [("delay", "delay=100ms"), ("delay=2h", "at most 60s"), ("explode", "count, record"), ("fail=1", "count, record")]
        {
            let error = action(text).unwrap_err();
            assert!(error.contains(expect), "{error}");
        }
        assert!(expiry("25h").is_err() && expiry("0s").is_err() && probability("1.5").is_err() && probability("NaN").is_err());
    }
}
