//! The command line `tif-serve`: one file a command.
//!
//! [`main`] is the whole program; [`run`] the same on a given [`Screen`], for tests and other programs. Data goes to the screen's `out`,
//! everything else to `err`. A failure is two lines: what was wrong, and after `try:` what to do about it.
// spec: SRV-3

mod args;
mod arm;
mod confirm;
mod cpus;
mod declaration;
mod disarm;
mod drain;
mod exit;
mod failure;
mod fire;
mod get;
mod groups;
mod interrupt;
mod line;
mod ls;
mod outages;
mod output;
mod ps;
mod reader;
mod result;
mod screen;
mod session;
mod set;
mod wait;
mod watch;

pub use exit::Exit;
pub use screen::Screen;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Colour, Command, CommandLine};
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches};
use failure::Failure;
use session::Session;

/// The program: arguments (with the program's name) in, output on stdout and stderr, exit status out.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let exit = run(args, &mut Screen::terminal(&mut out, &mut err));
    ExitCode::from(exit.status())
}

/// The program on a given screen.
pub fn run(args: impl Iterator<Item = OsString>, screen: &mut Screen<'_>) -> Exit {
    let line = match parse(args, screen) {
        Ok(line) => line,
        Err(exit) => return exit,
    };
    match line.global.color {
        Colour::Auto => {}
        Colour::Always => screen.colour = true,
        Colour::Never => screen.colour = false,
    }
    let mut session = Session::new(line.global, screen);
    let done = dispatch(line.command, &mut session);
    match done.and_then(|exit| session.screen.flush().map(|()| exit).map_err(Failure::from)) {
        Ok(exit) => exit,
        Err(failure) => failure.tell(session.screen),
    }
}

fn dispatch(command: Command, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    match command {
        Command::Ls(args) => ls::run(args, session),
        Command::Get(args) => get::run(args, session),
        Command::Watch(args) => watch::run(args, session),
        Command::Set(args) => set::run(args, session),
        Command::Confirm(args) => confirm::run(&args, session),
        Command::Fire(args) => fire::run(args, session),
        Command::Result(args) => result::run(&args, session),
        Command::Arm(args) => arm::run(args, session),
        Command::Disarm(args) => disarm::run(args, session),
        Command::Drain(args) => drain::run(&args, session),
        Command::Ps(args) => ps::run(&args, session),
        Command::Cpus(_) => cpus::run(session),
        Command::Groups(_) => groups::run(session),
        Command::Outages => outages::run(session),
        Command::Wait(args) => wait::run(args, session),
    }
}

fn parse(args: impl Iterator<Item = OsString>, screen: &mut Screen<'_>) -> Result<CommandLine, Exit> {
    let mut command = CommandLine::command();
    if let Some(width) = screen.width {
        command = command.term_width(width.into());
    }
    let args: Vec<OsString> = args.collect();
    let parsed = command.try_get_matches_from_mut(&args).and_then(|matches| CommandLine::from_arg_matches(&matches));
    parsed.map_err(|mut error| {
        cut(&mut error);
        let text = error.render();
        let text = if screen.colour { text.ansi().to_string() } else { text.to_string() };
        if error.use_stderr() {
            // There is nobody to tell if even this cannot be written.
            let _ = screen.err.write_all(text.as_bytes());
            return Exit::Usage;
        }
        match screen.out.write_all(text.as_bytes()).and_then(|()| screen.flush()) {
            Ok(()) => Exit::Done,
            Err(error) => Failure::from(error).tell(screen),
        }
    })
}

/// What was given and is told back is cut: nobody needs to see all of it to find the mistake.
fn cut(error: &mut clap::Error) {
    const SHOWN_MAX: usize = 120;
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        if let Some(ContextValue::String(text)) = error.get(kind)
            && text.chars().count() > SHOWN_MAX
        {
            let short = text.chars().take(SHOWN_MAX).chain(['…']).collect();
            error.insert(kind, ContextValue::String(short));
            // These repeat it.
            error.remove(ContextKind::Suggested);
        }
    }
}
