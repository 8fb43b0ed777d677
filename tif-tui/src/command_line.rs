//! The command line that does the same as a key did.
// spec: TUI-2

use std::path::PathBuf;
use std::time::Duration;

use tif_core::model::Value;

use crate::backend::Request;

/// Writes command lines for the agent that this screen looks at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    /// As given to the screen; none: found the same way by both.
    pub(crate) run_dir: Option<PathBuf>,
}

impl Writer {
    /// The line for a request; none for what only this screen can do.
    pub(crate) fn of(&self, request: &Request) -> Option<String> {
        self.words(request).map(|words| line(&words))
    }

    /// The line that watches an instrument.
    pub(crate) fn watch(&self, name: &str) -> String {
        line(&self.command("watch", [name.to_owned()]))
    }

    /// The line that reads it once.
    pub(crate) fn sense(&self, name: &str) -> String {
        line(&self.command("get", [name.to_owned()]))
    }

    /// The words of the line, as the program gets them.
    fn words(&self, request: &Request) -> Option<Vec<String>> {
        Some(match request {
            Request::Set { name, value } => {
                // A value that starts with a dash would be taken for an option.
                let guard = value.starts_with('-').then(|| "--".to_owned());
                self.command("set", guard.into_iter().chain([name.clone(), value.clone()]))
            }
            Request::Fire { name, arguments, .. } => {
                let arguments = arguments.iter().map(|(name, value)| format!("{name}={value}"));
                self.command("fire", std::iter::once(name.clone()).chain(arguments))
            }
            Request::Arm { name, arming } => {
                let mut words = self.command("arm", [name.clone(), arming.action.to_string()]);
                if arming.probability < 1.0 {
                    words.extend(["--probability".to_owned(), arming.probability.to_string()]);
                }
                if let Some(hits) = arming.hits_max {
                    words.extend(["--hits".to_owned(), hits.to_string()]);
                }
                words.extend(["--for".to_owned(), duration(arming.expires_after)]);
                words
            }
            Request::Disarm { name } => self.command("disarm", [name.clone()]),
            Request::Processes => self.command("ps", []),
            Request::Outages => self.command("outages", []),
            Request::Extra => return None,
        })
    }

    fn command(&self, command: &str, rest: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut words = vec!["tif-serve".to_owned(), command.to_owned()];
        if let Some(dir) = &self.run_dir {
            words.extend(["--run-dir".to_owned(), dir.to_string_lossy().into_owned()]);
        }
        words.extend(rest);
        words
    }
}

fn line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// As `--for` reads it.
fn duration(d: Duration) -> String {
    Value::Duration(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)).show(&[]).to_string()
}

/// So that a POSIX shell reads it as one word.
fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+:/@%=,".contains(&b));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tif_core::model::{Arming, FaultAction, Stamp};
    use tif_serve::cli::{Exit, Screen};

    fn arming(action: FaultAction) -> Arming {
        Arming {
            action,
            probability: 0.5,
            hits_max: Some(3),
            expires_after: Duration::from_secs(60),
            conditions: Vec::new(),
            outlives_session: false,
        }
    }

    fn requests() -> Vec<(Request, &'static str)> {
        let set = |name: &str, value: &str| Request::Set { name: name.into(), value: value.into() };
        let arguments = vec![("limit".into(), "7".into())];
        let arm = |action| Request::Arm { name: "orders.commit".into(), arming: arming(action) };
        vec![
            (set("orders.batch", "128"), "set DIR orders.batch 128"),
            (set("orders.batch{shard=3}", "-5"), "set DIR -- 'orders.batch{shard=3}' -5"),
            (set("orders.note", "--help"), "set DIR -- orders.note --help"),
            (set("orders.note", "it's late"), r"set DIR orders.note 'it'\''s late'"),
            (Request::Fire { name: "orders.flush".into(), arguments, timeout: Duration::ZERO }, "fire DIR orders.flush limit=7"),
            (arm(FaultAction::Delay(Duration::from_millis(50))), "arm DIR orders.commit delay=50ms --probability 0.5 --hits 3 --for 60s"),
            (arm(FaultAction::Panic), "arm DIR orders.commit panic --probability 0.5 --hits 3 --for 60s"),
            (Request::Disarm { name: "orders.commit".into() }, "disarm DIR orders.commit"),
            (Request::Processes, "ps DIR"),
            (Request::Outages, "outages DIR"),
        ]
    }

    // spec: TUI-2
    #[test]
    fn a_shell_reads_the_line_as_it_was_meant() {
        let writer = Writer { run_dir: Some("/run/my tif".into()) };
        for (request, expect) in requests() {
            let expect = format!("tif-serve {}", expect.replace("DIR", "--run-dir '/run/my tif'"));
            assert_eq!(writer.of(&request).unwrap(), expect);
        }
    }

    // spec: TUI-2
    #[test]
    fn the_command_line_program_takes_every_line_that_is_written_here() {
        let writer = Writer { run_dir: Some("/nonexistent/tif".into()) };
        for (request, _) in requests() {
            let words = writer.words(&request).unwrap();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut screen = Screen {
                out: &mut out,
                err: &mut err,
                colour: false,
                width: None,
                interrupts: Box::new(crossbeam_channel::never),
                unread: Box::new(crossbeam_channel::never),
                now: || Stamp(0),
            };
            let exit = tif_serve::cli::run(words.iter().map(Into::into), &mut screen);
            drop(screen);
            // It understood the line and looked for the agent that is not there.
            assert_eq!(exit, Exit::Unreachable, "{words:?}: {}", String::from_utf8_lossy(&err));
        }
    }
}
