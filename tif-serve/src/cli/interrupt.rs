//! Ctrl-C, for commands that wait: they end by themselves, so that the session is taken leave of.

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

/// A message for each SIGINT from now on. If the signal cannot be caught it ends the process as usual, and the channel stays silent.
pub(super) fn receiver() -> Receiver<()> {
    let (sender, receiver) = bounded(1);
    match Signals::new([SIGINT]) {
        Ok(mut signals) => {
            // Ends with the process, or when the receiver is gone.
            let spawned = std::thread::Builder::new().name("tif-interrupt".into()).spawn(move || {
                for _ in signals.forever() {
                    if let Err(crossbeam_channel::TrySendError::Disconnected(())) = sender.try_send(()) {
                        return;
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
