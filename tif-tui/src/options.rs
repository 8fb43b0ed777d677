//! How the screen is started: by the command line, or by a program that shows itself with it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tif_core::model::Pattern;

/// What the screen shows and lets one do.
#[derive(Clone)]
pub struct Options {
    /// Where the agent is; none: `TIF_RUN_DIR`, `$XDG_RUNTIME_DIR/tif` or `/run/tif`.
    pub run_dir: Option<PathBuf>,
    /// The agent's socket is forwarded from another machine.
    // spec: PSM-6
    pub forwarded: bool,
    /// Nothing can be changed.
    pub read_only: bool,
    /// Which instruments are shown.
    pub pattern: Pattern,
    /// Colours may be used. [`Options::default`] says no where `NO_COLOR` is set.
    pub color: bool,
    /// A key of the caller's own.
    pub extra: Option<Extra>,
    /// The text of a line above the status line, asked for once a second and after the extra key; none hides the line. Must not block.
    pub status: Option<Arc<dyn Fn() -> Option<String> + Send + Sync>>,
}

impl Default for Options {
    /// Everything of the agent that is found by itself.
    fn default() -> Options {
        Options {
            run_dir: None,
            forwarded: false,
            read_only: false,
            pattern: Pattern::all(),
            color: color_wanted(),
            extra: None,
            status: None,
        }
    }
}

/// A key of the caller's own, shown in the footer, the help and the palette.
#[derive(Clone)]
pub struct Extra {
    /// The key. One that the screen itself uses is refused by [`crate::run`].
    pub key: char,
    /// What it does, in a few words.
    pub label: String,
    /// Asked before it is done; none: done at once.
    pub confirm: Option<String>,
    /// Does it, on a thread of its own. Answers what was done, or why it was not, in words.
    pub action: Arc<dyn Fn() -> Result<String, String> + Send + Sync>,
}

/// Shows the instruments of this CPU's services on the terminal, and lets them be changed.
#[derive(Parser, Debug)]
#[command(name = "tif-tui", version)]
struct Arguments {
    /// Where the agent is [default: TIF_RUN_DIR, $XDG_RUNTIME_DIR/tif or /run/tif]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// The agent's socket is forwarded from another machine, as by `ssh -L`: say every second that this process lives, as the agent cannot see it
    #[arg(long)]
    forwarded: bool,
    /// Let nothing be changed from here
    #[arg(long)]
    read_only: bool,
    /// Show only these instruments, as `orders.**`
    #[arg(long, value_name = "PATTERN", default_value = "**")]
    pattern: Pattern,
    /// Use no colours; the same as setting NO_COLOR
    #[arg(long)]
    no_color: bool,
}

/// The program `tif-tui`. Exit status as of `tif-serve`: 2 for wrong arguments, 5 if no agent answers.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is there to be told if even that cannot be printed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let options = Options {
        run_dir: arguments.run_dir,
        forwarded: arguments.forwarded,
        read_only: arguments.read_only,
        pattern: arguments.pattern,
        color: color_wanted() && !arguments.no_color,
        ..Options::default()
    };
    match crate::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tif-tui: {error:#}");
            let unreachable = error.downcast_ref::<crate::run::Unreachable>().is_some();
            ExitCode::from(if unreachable { 5 } else { 1 })
        }
    }
}

/// As <https://no-color.org> says: any value but the empty one switches colours off.
fn color_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_arguments_are_refused_with_status_2_and_what_would_be_right() {
        let parse = |args: &[&str]| Arguments::try_parse_from(std::iter::once("tif-tui").chain(args.iter().copied()));
        let good = parse(&["--run-dir", "/tmp/x", "--read-only", "--pattern", "orders.**", "--no-color"]).unwrap();
        assert_eq!((good.run_dir, good.pattern.to_string(), good.read_only), (Some("/tmp/x".into()), "orders.**".to_owned(), true));
        let error = parse(&["--pattern", "Orders.*"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("`Orders`"), "{error}");
    }

    #[test]
    fn a_key_that_the_screen_uses_cannot_be_the_callers() {
        let extra = Extra { key: 'k', label: "kill".into(), confirm: None, action: Arc::new(|| Ok(String::new())) };
        let error = crate::run(Options { extra: Some(extra), ..Options::default() }).unwrap_err();
        assert!(error.to_string().contains("`k`"), "{error}");
        assert!(!crate::keymap::is_taken('K'));
    }
}
