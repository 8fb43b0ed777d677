//! A command that failed: its status, what was wrong, and the way out.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tif_core::model::{NameError, Refusal};
use tif_process::ConnectError;

use super::Screen;
use super::exit::Exit;
use super::screen::{LAYOUT, harmless};
use crate::importer::RequestError;

/// A command that failed: with which status, what was wrong, and the way out.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// None: there is nothing to say, as when the reader of our output has gone.
    pub(super) what: Option<String>,
    pub(super) hint: Option<String>,
}

impl Failure {
    pub(super) fn new(exit: Exit, what: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure { exit, what: Some(what.into()), hint: Some(hint.into()) }
    }

    pub(super) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, what, hint)
    }

    /// What was asked for is done, and `done` says so in words, but the output that was to tell it cannot be written.
    pub(super) fn unwritten(done: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> Failure {
        move |error| {
            let failure = Failure::from(error);
            Failure { what: failure.what.map(|what| format!("{}, but {what}", done())), ..failure }
        }
    }

    /// Writes it to the screen.
    pub(super) fn tell(self, screen: &mut Screen<'_>) -> Exit {
        let paint = |code: &str, word: &str| if screen.colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
        let (error, hint) = (paint("1;31", "error:"), paint("36", "try:"));
        // There is nobody to tell if this cannot be written.
        let _ = screen.out.flush();
        if let Some(what) = self.what {
            let _ = writeln!(screen.err, "{error} {}", harmless(&what, LAYOUT));
        }
        if let Some(text) = self.hint {
            let _ = writeln!(screen.err, "{hint} {}", harmless(&text, LAYOUT));
        }
        self.exit
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let what = refusal.to_string();
        match refusal {
            Refusal::NotFound { name, nearest } => not_found(&name, &nearest),
            Refusal::Ambiguous { name, candidates } => {
                let shown = candidates.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
                let more = if candidates.len() > 4 { ", …" } else { "" };
                Failure::usage(format!("`{name}` fits more than one instrument"), format!("say which: {shown}{more}"))
            }
            Refusal::WrongKind { name, .. } => Failure::usage(what, format!("`tif-serve ls --long '{name}'` shows what it is")),
            Refusal::Unfit { name, .. } => {
                // Of an argument it names the procedure and the argument.
                let name = name.split_whitespace().next().unwrap_or_default();
                Failure::usage(what, format!("`tif-serve ls --long '{name}'` shows what it takes"))
            }
            Refusal::Invalid { name, .. } => Failure::usage(what, format!("`tif-serve get '{name}'` shows the present value")),
            Refusal::StaleVersion { ref name, current, .. } => {
                Failure::new(Exit::Stale, &what, format!("read `{name}` again, then --if-version {current}"))
            }
            Refusal::StaleKey { .. } => Failure::new(Exit::Stale, what, "`tif-serve ps` shows the current keys"),
            Refusal::NameTaken { .. } => Failure::new(Exit::Stale, what, "`tif-serve ps` shows who has the name"),
            Refusal::RequestIdReused { .. } => Failure::new(Exit::Stale, what, "leave --request-id away to have a new one chosen"),
            Refusal::UnknownRequest { ref silent, .. } if silent.is_empty() => {
                Failure::new(Exit::NotFound, what, "look at the value itself: the id was never used, was refused, or was used too long ago")
            }
            Refusal::UnknownRequest { .. } => Failure::new(Exit::TimedOut, what, "again when that answers"),
            Refusal::Denied { .. } => Failure::new(Exit::Denied, what, "run it as the user that the agent runs as, or as root"),
            Refusal::NoExporter { .. } => Failure::new(Exit::Unreachable, what, "`tif-serve outages` shows why; again when it is over"),
            Refusal::TooMany { .. } => Failure::new(Exit::Denied, what, "again with fewer, or when others are done"),
            Refusal::Protocol { .. } => Failure::new(Exit::Unreachable, what, "use a tif-serve of the agent's release"),
            Refusal::Malformed { .. } => Failure::usage(what, "`tif-serve --help`"),
            Refusal::Busy { .. } => Failure::new(Exit::Denied, what, "again when others are done"),
            Refusal::Held { ref name, .. } => {
                Failure::new(Exit::Stale, &what, format!("`tif-serve confirm '{name}'`, or again when it is over"))
            }
            Refusal::NotConfirmed { .. } => Failure::new(Exit::Stale, what, "`tif-serve get` shows the present value"),
            Refusal::NotHandedOver { .. } => Failure::new(Exit::Unreachable, what, "`tif-serve ps` shows the processes and their roles"),
            Refusal::CutOff { .. } => {
                Failure::new(Exit::Unreachable, what, "again when the CPUs reach each other; `tif-serve outages` shows why")
            }
            Refusal::TimedOut { request_id: Some(id), .. } => Failure::new(
                Exit::TimedOut,
                what,
                format!("the same again with --request-id {id}: it is done at most once, and its result is told when it is known"),
            ),
            // Asked for again under its id it says the same; whether to make another call is for whoever knows what it does.
            Refusal::Indeterminate { .. } => Failure::new(
                Exit::TimedOut,
                what,
                "the service's own values may show it; the same again without --request-id calls it again",
            ),
            Refusal::TimedOut { request_id: None, .. } => Failure::new(Exit::TimedOut, what, "again, or with a longer --timeout"),
            Refusal::Store { .. } => Failure::new(Exit::Unreachable, what, "look at the agent's log and its state directory's disk"),
        }
    }
}

/// No instrument has the name; `nearest` are those that have a similar one.
pub(super) fn not_found(name: &str, nearest: &[String]) -> Failure {
    let hint = if nearest.is_empty() { "`tif-serve ls` lists what there is".to_owned() } else { nearest.join(", ") };
    Failure::new(Exit::NotFound, format!("no instrument is called `{name}`"), hint)
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Failure {
        let what = error.to_string();
        let again = |id: Option<tif_core::model::RequestId>| {
            id.map_or_else(|| "the same again".to_owned(), |id| format!("the same again with --request-id {id}: it is done at most once"))
        };
        match error {
            RequestError::Refused(refusal) => refusal.into(),
            RequestError::Unreachable { request_id, .. } => Failure::new(Exit::Unreachable, what, again(request_id)),
            RequestError::TimedOut { request_id, .. } => {
                let hint = again(request_id);
                Failure::new(Exit::TimedOut, what, format!("{hint}, or a longer --timeout"))
            }
            RequestError::Protocol { .. } => Failure::new(Exit::Unreachable, what, "use a tif-serve of the agent's release"),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        match error {
            ConnectError::NoAgent { run_dir, source } if source.kind() == io::ErrorKind::PermissionDenied => no_access(&run_dir, &source),
            ConnectError::NoAgent { run_dir, source } => {
                let dir = run_dir.display();
                Failure::new(
                    Exit::Unreachable,
                    format!("no agent answers in {dir}: {source}"),
                    format!(
                        "start one with `tif-monitor --cpu NAME --run-dir {dir} --state-dir DIR`, or name another with --run-dir or TIF_RUN_DIR"
                    ),
                )
            }
            ConnectError::Refused(refusal) => refusal.into(),
            ConnectError::TimedOut => {
                Failure::new(Exit::TimedOut, "the agent does not answer in time", "a longer --timeout; `tif-serve ps` once it answers")
            }
            error @ (ConnectError::Closed | ConnectError::Protocol(_) | ConnectError::Io(_)) => {
                // Display never prints its source: the user needs it.
                let source = std::error::Error::source(&error).map_or(String::new(), |s| format!(": {s}"));
                Failure::new(Exit::Unreachable, format!("{error}{source}"), "again; if it stays, look at the agent's log")
            }
        }
    }
}

/// There may well be an agent, but not for this user.
// spec: SEC-1
fn no_access(run_dir: &Path, source: &io::Error) -> Failure {
    let dir = run_dir.display();
    let what = |whose: &str| format!("no access to the agent in {dir}{whose}: {source}");
    let other = "or name an agent of your own with --run-dir or TIF_RUN_DIR";
    // The directory's owner can be seen even if what is in it cannot.
    match run_dir.metadata().map(|dir| dir.uid()) {
        Ok(owner) => {
            let whose = format!(", which serves user {owner} and root");
            Failure::new(Exit::Denied, what(&whose), format!("run it as that user (`sudo -u '#{owner}' tif-serve …`) or as root, {other}"))
        }
        Err(_) => Failure::new(Exit::Denied, what(""), format!("run it as the user that the agent runs as, or as root, {other}")),
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Failure {
        Failure::usage(error.to_string(), "names look like orders.queue.depth{shard=3}; * and ** stand for any")
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // Whoever read our output has read enough: `tif-serve watch ** | head`.
            return Failure { exit: Exit::Done, what: None, hint: None };
        }
        Failure::new(Exit::Unwritten, format!("the output cannot be written: {error}"), "look at the disk or the pipe it goes to")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: SEC-1
    #[test]
    fn an_agent_of_another_user_is_denied_and_says_whose_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let owner = dir.path().metadata().unwrap().uid();
        let failure =
            |run_dir: &Path, kind: io::ErrorKind| Failure::from(ConnectError::NoAgent { run_dir: run_dir.into(), source: kind.into() });
        let denied = failure(dir.path(), io::ErrorKind::PermissionDenied);
        assert_eq!(denied.exit, Exit::Denied);
        assert!(denied.what.unwrap().contains(&format!("serves user {owner} and root")));
        assert!(denied.hint.unwrap().contains("--run-dir"));
        assert_eq!(failure(&dir.path().join("hidden"), io::ErrorKind::PermissionDenied).exit, Exit::Denied);
        assert_eq!(failure(dir.path(), io::ErrorKind::NotFound).exit, Exit::Unreachable);
    }
}
