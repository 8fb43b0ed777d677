//! What the screen asks of the agent: on threads of their own, so that a slow answer never stops a key.

pub(crate) mod importer;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tif_core::model::{Arming, Literal, SetResult};
use tif_core::wire::{OutageRow, ProcessRow};

use crate::message::Message;

/// Something to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    /// Change a control.
    Set {
        /// Its address.
        name: String,
        /// To what.
        value: Literal,
    },
    /// Call a procedure.
    Fire {
        /// Its address.
        name: String,
        /// With what.
        arguments: Vec<(String, Literal)>,
        /// How long it may take, as it declares.
        timeout: Duration,
    },
    /// Arm a test point.
    Arm {
        /// Its address.
        name: String,
        /// How.
        arming: Arming,
    },
    /// Disarm it.
    Disarm {
        /// Its address.
        name: String,
    },
    /// The processes.
    Processes,
    /// The outages.
    Outages,
    /// The caller's extra key.
    Extra,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// A change was accepted.
    Set(SetResult),
    /// A procedure has ended, with its result or its error.
    Fired(Result<String, String>),
    /// Armed or disarmed.
    Armed,
    /// Nobody can say whether it was done, and why.
    Unknown(String),
    /// The processes.
    Processes(Vec<ProcessRow>),
    /// The outages.
    Outages(Vec<OutageRow>),
    /// What the extra key did, in its words.
    Extra(String),
}

/// Does what is asked, and waits for it.
pub(crate) trait Backend: Send + Sync + 'static {
    /// # Errors
    /// With the reason in words. Nothing was changed.
    fn perform(&self, request: &Request) -> Result<Answer, String>;
}

/// Ties an answer to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// Requests that can be under way at once: a procedure that takes its time must not hold up a change.
const WORKERS: usize = 4;

/// Starts the workers. They end when the sender of `orders` is gone.
pub(crate) fn start(backend: Arc<dyn Backend>, orders: &Receiver<(Ticket, Request)>, answers: &Sender<Message>) -> std::io::Result<()> {
    for n in 0..WORKERS {
        let (backend, orders, answers) = (backend.clone(), orders.clone(), answers.clone());
        thread::Builder::new().name(format!("tif-tui-work-{n}")).spawn(move || {
            for (ticket, request) in orders {
                let result = backend.perform(&request);
                if answers.send(Message::Answer { ticket, result }).is_err() {
                    return;
                }
            }
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{bounded, unbounded};

    /// Its procedures never end before they are released.
    struct Slow {
        released: Receiver<()>,
    }

    impl Backend for Slow {
        fn perform(&self, request: &Request) -> Result<Answer, String> {
            if matches!(request, Request::Fire { .. }) {
                self.released.recv().map_err(|e| e.to_string())?;
            }
            Ok(Answer::Armed)
        }
    }

    #[test]
    fn a_slow_procedure_does_not_hold_up_what_is_asked_after_it() {
        let (release, released) = bounded(1);
        let (orders, waiting) = unbounded();
        let (answers, messages) = unbounded();
        start(Arc::new(Slow { released }), &waiting, &answers).unwrap();
        let ticket_of = |message| match message {
            Message::Answer { ticket, .. } => ticket.0,
            other => panic!("{other:?} is no answer"),
        };
        orders
            .send((Ticket(1), Request::Fire { name: "orders.flush".into(), arguments: Vec::new(), timeout: Duration::from_secs(5) }))
            .unwrap();
        orders.send((Ticket(2), Request::Disarm { name: "orders.commit".into() })).unwrap();
        let patience = Duration::from_secs(60);
        assert_eq!(ticket_of(messages.recv_timeout(patience).unwrap()), 2);
        release.send(()).unwrap();
        assert_eq!(ticket_of(messages.recv_timeout(patience).unwrap()), 1);
    }
}
