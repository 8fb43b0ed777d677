//! The demo from beginning to end: sets the stage, shows, cleans up. Also when it is interrupted.

use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::Demo;
use crate::input;
use crate::place::Place;
use crate::stage::Stage;
use crate::{story, terminal};

/// Files that are indexed when the story is told: about 25 s of it at the pace that is set first.
const STORY_FILES: u32 = 2_500;
/// Files that are indexed while somebody looks on: some minutes.
const TERMINAL_FILES: u32 = 20_000;
/// As a shell shows that a program was interrupted.
const STATUS_INTERRUPTED: u8 = 130;

/// What ends the show.
enum End {
    Shown(anyhow::Result<bool>),
    Interrupted,
}

/// Shows it. The status is 0 if everything that belongs to it did happen.
pub fn run(demo: &Demo) -> ExitCode {
    let in_terminal = !demo.story && std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    match begin(demo, in_terminal) {
        Ok(status) => status,
        Err(error) => {
            say(format_args!("tif-demo: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn begin(demo: &Demo, in_terminal: bool) -> anyhow::Result<ExitCode> {
    let files_max = demo.files_max.unwrap_or(if in_terminal { TERMINAL_FILES } else { STORY_FILES }) as usize;
    let (send, end) = bounded(1);
    // From here on nothing is left behind: what interrupts is taken by this thread, which cleans up.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let signals_end = signals.handle();
    let interrupted = send.clone();
    thread::Builder::new().name("signals".into()).spawn(move || {
        if signals.forever().next().is_some() {
            let _ = interrupted.try_send(End::Interrupted);
        }
    })?;
    let (input, files) = input::choose(demo.input.as_deref(), files_max)?;
    let place = Place::make(demo.run_dir.as_deref(), demo.keep)?;
    let stage = Arc::new(Stage::new(place, input, files)?);
    if in_terminal {
        // The screen takes these itself: it has a terminal to put in order first.
        signals_end.close();
    }
    let shower = Arc::clone(&stage);
    let seconds = demo.seconds;
    thread::Builder::new().name("show".into()).spawn(move || show(&shower, in_terminal, Duration::from_secs(seconds), send))?;
    let ended = end.recv().unwrap_or(End::Interrupted);
    let status = match ended {
        End::Shown(Ok(true)) => ExitCode::SUCCESS,
        End::Shown(Ok(false)) => ExitCode::FAILURE,
        End::Shown(Err(error)) => {
            say(format_args!("tif-demo: {error:#}"));
            stage.show_logs(std::io::stderr());
            ExitCode::FAILURE
        }
        End::Interrupted => {
            say(format_args!("tif-demo: interrupted"));
            ExitCode::from(STATUS_INTERRUPTED)
        }
    };
    let all_ended = stage.clear();
    if !all_ended {
        say(format_args!("tif-demo: a part of the demo has not ended in time and was killed"));
    }
    if demo.keep {
        say(format_args!("kept: {}", stage.place().path().display()));
    } else {
        stage.remove();
    }
    Ok(if all_ended { status } else { ExitCode::FAILURE })
}

fn show(stage: &Stage, in_terminal: bool, limit: Duration, send: Sender<End>) {
    let play = || stage.set().and_then(|()| if in_terminal { terminal::show(stage) } else { story::tell(stage, limit) });
    // A panic has said on standard error what it was.
    let shown = catch_unwind(AssertUnwindSafe(play)).unwrap_or(Ok(false));
    // One who was interrupted no longer listens.
    let _ = send.try_send(End::Shown(shown));
}

/// Says it on standard error, if anybody is there: a terminal that was closed must not keep the demo from tidying up.
fn say(text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
