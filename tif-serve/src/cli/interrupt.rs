//! Ctrl-C, for commands that wait: they end by themselves, so that the session is taken leave of. Pressed again it ends the process at once.

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

/// A message at the first SIGINT from now on; the second ends the process, whatever it waits for. If the signal cannot be caught it ends the process as usual, and the channel stays silent.
pub(super) fn receiver() -> Receiver<()> {
    let (sender, receiver) = bounded(1);
    match Signals::new([SIGINT]) {
        Ok(mut signals) => {
            // Ends with the process.
            let spawned = std::thread::Builder::new().name("tif-interrupt".into()).spawn(move || {
                let mut told = false;
                for _ in signals.forever() {
                    // It is told once; if nobody listens any more the command is taking leave already.
                    if std::mem::replace(&mut told, true) || sender.try_send(()).is_err() {
                        // Fails only for signals that do not exist.
                        let _ = signal_hook::low_level::emulate_default_handler(SIGINT);
                    }
                }
            });
            if let Err(error) = spawned {
                tracing::warn!(target: "tif::serve", %error, "Ctrl-C is not caught");
                return crossbeam_channel::never();
            }
            receiver
        }
        Err(error) => {
            tracing::warn!(target: "tif::serve", %error, "Ctrl-C is not caught");
            crossbeam_channel::never()
        }
    }
}
