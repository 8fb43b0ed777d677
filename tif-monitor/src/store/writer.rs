//! The thread that owns the store while the agent runs. Like a post office counter: it takes whatever has queued up, puts it into one
//! bag, and sends one receipt for each letter when the bag is safe.

use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};
use tif_core::agent::io::{Record, Ticket};

use super::{StateStore, StoreError};

/// Writes that may wait for the disk. More than all requests that a busy CPU has in flight; beyond it changes are refused, not kept.
pub const WRITES_QUEUED_MAX: usize = 8192;
/// Writes in one transaction: keeps one commit short.
const BATCH_MAX: usize = 1024;

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is durable.
    Stored(Ticket),
    /// It is not, and the store is as before.
    Failed(Ticket, String),
}

/// The loop's end of the store.
#[derive(Debug)]
pub struct Writer {
    jobs: Option<Sender<(Ticket, Box<Record>)>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. `wake` is called after each commit, when there is something for [`Writer::done`].
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(mut store: Box<dyn StateStore>, wake: impl Fn() + Send + 'static) -> std::io::Result<Writer> {
        let (jobs, queue) = bounded::<(Ticket, Box<Record>)>(WRITES_QUEUED_MAX);
        // Unbounded, but never longer than what was queued: the loop takes all receipts before it queues more.
        let (receipts, done) = unbounded();
        let thread = thread::Builder::new().name("tif-store".into()).spawn(move || {
            while let Ok(first) = queue.recv() {
                let batch = std::iter::once(first).chain(queue.try_iter().take(BATCH_MAX - 1));
                let (tickets, records): (Vec<_>, Vec<_>) = batch.map(|(ticket, record)| (ticket, *record)).unzip();
                let result = store.commit(&records);
                for ticket in tickets {
                    let _ = receipts.send(receipt(ticket, &result));
                }
                wake();
            }
        })?;
        Ok(Writer { jobs: Some(jobs), done, thread: Some(thread) })
    }

    /// Queues a write.
    ///
    /// # Errors
    /// If too many wait already: nothing was queued.
    pub fn write(&self, ticket: Ticket, record: Box<Record>) -> Result<(), Done> {
        let failed = |why: &str| Err(Done::Failed(ticket, why.to_owned()));
        match self.jobs.as_ref().map(|jobs| jobs.try_send((ticket, record))) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => failed("too many writes wait for the disk"),
            Some(Err(TrySendError::Disconnected(_))) | None => failed("the store's thread has ended"),
        }
    }

    /// What has become of earlier writes since the last call, in order.
    pub fn done(&self) -> Vec<Done> {
        self.done.try_iter().collect()
    }

    /// Waits until everything queued is written.
    pub fn finish(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}

fn receipt(ticket: Ticket, result: &Result<(), StoreError>) -> Done {
    match result {
        Ok(()) => Done::Stored(ticket),
        Err(error) => Done::Failed(ticket, error.in_brief()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Memory, conformance};

    #[test]
    fn every_write_gets_its_receipt_in_order_also_when_the_store_fails() {
        let memory = Memory::default();
        let mut writer = Writer::start(Box::new(memory.clone()), || {}).unwrap();
        let record = |i: u64| Box::new(Record::Process(conformance::process(&format!("p-{i}"), i)));
        for i in 1..=100 {
            writer.write(Ticket(i), record(i)).unwrap();
        }
        let mut receipts = Vec::new();
        while receipts.len() < 100 {
            receipts.push(writer.done.recv().unwrap());
        }
        assert_eq!(receipts, (1..=100).map(|i| Done::Stored(Ticket(i))).collect::<Vec<_>>());
        memory.fail(true);
        writer.write(Ticket(101), record(101)).unwrap();
        writer.finish();
        assert_eq!(writer.done(), [Done::Failed(Ticket(101), "told to fail".into())]);
        assert!(writer.write(Ticket(102), record(102)).is_err(), "an ended store says so");
        let mut memory = memory;
        assert_eq!(memory.load().unwrap().processes.len(), 100);
    }
}
