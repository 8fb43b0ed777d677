//! `watch`: monitor.

use std::collections::BTreeMap;
use std::time::Duration;

use crossbeam_channel::{after, never, select};
use tif_core::model::notice::NoticeEvent;
use tif_core::model::{Coarsen, Key, Name, Notice, Pattern};

use super::args::{Format, count, parsed, time};
use super::exit::Exit;
use super::failure::Failure;
use super::line::line;
use super::output;
use super::session::Session;
use crate::importer::{Event, Importer, Link, fits};
use crate::json;

/// If nothing has come by then it is looked whether anything is there.
const QUIET: Duration = Duration::from_millis(300);

/// Print every significant change, notice and outage as it happens
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Instruments that are not there yet are watched from when they appear; standard error says for which patterns nothing is there. It goes on over outages and restarts of the agent, and says so.\n\
Ends after --count reports or after --for, whichever is first; with both, status 6 if the time was over before the count was reached. \
Without either: at Ctrl-C (status 130). As soon as nobody reads its output any more it ends with status 0, as in `tif-serve watch X | head -1`.\n\n\
JSON (json and jsonl alike): one object a line, each with \"event\":\n\
\x20\x20report     v, name, value, quality, age_ms, cpu, process, incarnation, seq, alarm, at, coalesced; since or reason as in `get`\n\
\x20\x20notice     v, process, key, what (born, died, presumed_dead, unreachable, reachable, unregistered, role, not_available); cause; role, epoch\n\
\x20\x20outage     v, id, cpu, source, process, key, cause, since, over; then new_process, new_key, at, gap_ms, remapped, removed, added, carried\n\
\x20\x20standing   v, source, standing (stale, lost), since: all of the source's values, until their next report\n\
\x20\x20removed    v, name: the instrument is no more\n\
\x20\x20link       v, link (up, down), cpu, agent; since: the connection to the agent\n\
\x20\x20coalesced  v, count: so many reports were merged on the way because this reader was slow"
)]
pub(super) struct Watch {
    /// Which
    #[arg(value_parser = parsed::<Pattern>, required = true, value_name = "PATTERN")]
    patterns: Vec<Pattern>,
    /// End after this many reports
    #[arg(long, value_name = "N", value_parser = count)]
    count: Option<u64>,
    /// End after this time
    #[arg(long = "for", value_name = "T", value_parser = time)]
    time: Option<Duration>,
    /// Leave out changes of numbers by less than this
    #[arg(long, value_name = "X", value_parser = deadband)]
    deadband: Option<f64>,
}

fn deadband(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| x.is_finite() && *x >= 0.0).ok_or_else(|| "write a number from 0".to_owned())
}

pub(super) fn run(args: Watch, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    if let Some(dead) = args.patterns.iter().find(|pattern| pattern.incarnation().is_some()) {
        let what = format!("`{dead}` is about one life of a process; a watch is for whichever lives");
        return Err(Failure::usage(what, format!("`tif-serve get '{dead}'` for the last values of a dead one")));
    }
    let importer = session.connect()?;
    let (interrupts, unread) = ((session.screen.interrupts)(), (session.screen.unread)());
    let time = args.time.map_or_else(never, after);
    let mut unmet = args.patterns.clone();
    let quiet = after(QUIET);
    for pattern in args.patterns {
        importer.subscribe(pattern, Coarsen { deadband: args.deadband, at_most_every: None });
    }
    let mut left = args.count;
    let mut processes = Processes::default();
    let mut connected = false;
    loop {
        let event = select! {
            recv(interrupts) -> _ => return Ok(Exit::Interrupted),
            recv(unread) -> _ => return Ok(Exit::Done),
            recv(quiet) -> _ => {
                tell_missing(&unmet, &importer, session);
                continue;
            }
            recv(time) -> _ => return Ok(if left.is_some() { Exit::TimedOut } else { Exit::Done }),
            recv(importer.events()) -> event => match event {
                Ok(event) => event,
                Err(_) => return Err(Failure::new(Exit::Unreachable, "the connection to the agent is over", "the same again")),
            },
        };
        // That it is connected goes without saying the first time.
        if matches!(event, Event::Link(Link::Up { .. })) && !std::mem::replace(&mut connected, true) {
            continue;
        }
        if let Event::Announced(announcement) = &event {
            processes.take_interest(&importer, &announcement.process);
            unmet.retain(|pattern| !fits(pattern, announcement));
        }
        if let Event::Notice(notice) = &event
            && !processes.is_news(notice)
        {
            continue;
        }
        print(session, &event)?;
        if matches!(event, Event::Report { .. })
            && let Some(count) = &mut left
        {
            *count -= 1;
            if *count == 0 {
                return Ok(Exit::Done);
            }
        }
    }
}

/// Says for which patterns nothing is there, so that nobody waits for a slip of the pen without knowing.
fn tell_missing(unmet: &[Pattern], importer: &Importer, session: &mut Session<'_, '_>) {
    for pattern in unmet {
        // While the agent is away nobody can tell.
        if matches!(importer.link(), Link::Up { .. }) && importer.list(pattern).is_ok_and(|rows| rows.is_empty()) {
            let near = if pattern.is_literal() { session.nearest(importer, &pattern.to_string()) } else { vec![] };
            let near = if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(", ")) };
            session.screen.note(&format!("note: nothing is there that fits `{pattern}`; waiting for it to appear{near}"));
        }
    }
}

/// The processes whose notices are sent, too, with what was last said of each: which life of it, and whether it is over. None before the first word.
#[derive(Default)]
struct Processes(BTreeMap<Name, Option<(Option<Key>, bool)>>);

impl Processes {
    // spec: PSM-3
    fn take_interest(&mut self, importer: &Importer, process: &Name) {
        self.0.entry(process.clone()).or_insert_with(|| {
            // Not waited for: nothing is to keep the values from coming, or Ctrl-C from being heard.
            importer.follow(process);
            None
        });
    }

    /// That a process whose values come lives is none: it is what the agent answers to the question, not what has happened. Nor is what was said
    /// before: an agent that comes back is asked again.
    fn is_news(&mut self, notice: &Notice) -> bool {
        let over = match notice.event {
            NoticeEvent::Born => false,
            NoticeEvent::Died { .. } | NoticeEvent::Unregistered | NoticeEvent::NotAvailable => true,
            _ => return true,
        };
        let Some(last) = self.0.get_mut(&notice.name) else { return true };
        let said = Some((notice.key, over));
        let before = std::mem::replace(last, said);
        before != said && (before.is_some() || over)
    }
}

fn print(session: &mut Session<'_, '_>, event: &Event) -> Result<(), Failure> {
    let now = (session.screen.now)();
    match session.global.output {
        Format::Table => match line(event, now) {
            Some(line) => writeln!(session.screen.out, "{line}")?,
            None => return Ok(()),
        },
        Format::Json | Format::Jsonl => match json::event(event, now) {
            Some(line) => output::object(session.screen, &line)?,
            None => return Ok(()),
        },
    }
    // Whoever reads a stream wants it as it comes.
    session.screen.out.flush()?;
    Ok(())
}
