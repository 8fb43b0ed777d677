//! The importer's threads: one reads what the agent sends, one hands events to a consumer that may be slow.

use std::io;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use tif_core::wire::Hello;
use tif_process::{Connection, RunDir};

use super::Event;
use super::backlog::{Backlog, EVENTS_MAX};
use super::interest::Interest;
use super::reader::Reader;

/// Ends the threads when dropped.
pub(super) struct Threads {
    interest: Arc<Interest>,
    backlog: Arc<Backlog>,
    /// Closes the delivery when dropped.
    _stop: Sender<()>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.interest.close();
        self.backlog.close();
    }
}

/// Starts them on a connection that is open.
pub(super) fn start(
    run_dir: RunDir,
    hello: Hello,
    connection: Connection,
    interest: Arc<Interest>,
) -> io::Result<(Receiver<Event>, Threads)> {
    let backlog = Arc::new(Backlog::default());
    let (events, receiver) = bounded(EVENTS_MAX);
    let (stop, stopped) = bounded(0);
    backlog.push(Event::Link(interest.link()));
    thread::Builder::new().name("tif-deliver".into()).spawn({
        let (backlog, interest) = (backlog.clone(), interest.clone());
        move || deliver(&backlog, &interest, &events, &stopped)
    })?;
    let reader = Reader::new(run_dir, hello, interest.clone(), backlog.clone());
    let threads = Threads { interest, backlog, _stop: stop };
    thread::Builder::new().name("tif-importer".into()).spawn(move || reader.run(connection))?;
    Ok((receiver, threads))
}

fn deliver(backlog: &Backlog, interest: &Interest, events: &Sender<Event>, stopped: &Receiver<()>) {
    while let Some((event, read_on)) = backlog.next() {
        if read_on {
            interest.waker().wake();
        }
        select! {
            send(events, event) -> sent => if sent.is_err() { return },
            recv(stopped) -> _ => return,
        }
    }
}
