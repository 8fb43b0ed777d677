//! What the caller wants, shared with the importer's thread: subscriptions, look-ups, requests under way, and the line they go over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Receiver;
use parking_lot::{Condvar, Mutex};
use tif_core::limits;
use tif_core::model::{Coarsen, Name, Pattern, Stamp};
use tif_core::wire::{ToAgent, ToProcess, Welcome};
use tif_process::{ConnectError, Sender};

use super::waker::Waker;
use super::{Link, SubscriptionId};

pub(super) struct Interest {
    state: Mutex<State>,
    link_changed: Condvar,
    waker: Arc<Waker>,
}

struct State {
    welcome: Welcome,
    link: Link,
    /// None while the link is down.
    sender: Option<Sender>,
    /// How many times the link came up: which connection `sender` is. Its keys do not tell, they are the same after a resumption.
    ups: u64,
    subscriptions: BTreeMap<u32, (Pattern, Coarsen)>,
    next_subscription: u32,
    lookups: BTreeSet<Name>,
    /// Requests under way. Dropping the sender tells the caller that the link was lost.
    pending: HashMap<u64, crossbeam_channel::Sender<ToProcess>>,
    next_req: u64,
    /// A subscription went: what no other one fits is to be removed.
    narrowed: bool,
    closing: bool,
}

/// Why a request did not go out.
#[derive(Debug)]
pub(super) enum Lost {
    Link,
    TooMany,
    TooLong(String),
}

impl Interest {
    pub(super) fn new(welcome: Welcome, sender: Sender) -> io::Result<Interest> {
        let link = Link::Up { cpu: welcome.cpu.clone(), agent: welcome.agent };
        let state = State {
            welcome,
            link,
            sender: Some(sender),
            ups: 0,
            subscriptions: BTreeMap::new(),
            next_subscription: 1,
            lookups: BTreeSet::new(),
            pending: HashMap::new(),
            next_req: 1,
            narrowed: false,
            closing: false,
        };
        Ok(Interest { state: Mutex::new(state), link_changed: Condvar::new(), waker: Arc::new(Waker::new()?) })
    }

    pub(super) fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    // The caller's side.

    pub(super) fn subscribe(&self, pattern: Pattern, coarsen: Coarsen) -> SubscriptionId {
        let mut state = self.state.lock();
        let subscription = state.next_subscription;
        state.next_subscription += 1;
        state.subscriptions.insert(subscription, (pattern.clone(), coarsen));
        // Sent under the lock, so that a reconnection in between says it neither twice nor never.
        state.send(ToAgent::Subscribe { subscription, pattern, coarsen });
        SubscriptionId(subscription)
    }

    pub(super) fn unsubscribe(&self, SubscriptionId(subscription): SubscriptionId) {
        let mut state = self.state.lock();
        if state.subscriptions.remove(&subscription).is_some() {
            state.narrowed = true;
            state.send(ToAgent::Unsubscribe { subscription });
            self.waker.wake();
        }
    }

    pub(super) fn remember(&self, name: &Name) {
        self.state.lock().lookups.insert(name.clone());
    }

    /// The answer comes as an event, as that of a look-up after a reconnection.
    pub(super) fn look_up(&self, name: &Name) {
        let mut state = self.state.lock();
        state.lookups.insert(name.clone());
        state.send_lookup(name.clone());
    }

    pub(super) fn forget(&self, name: &Name) {
        let mut state = self.state.lock();
        if state.lookups.remove(name) {
            state.send(ToAgent::Forget { name: name.clone() });
        }
    }

    pub(super) fn welcome(&self) -> Welcome {
        self.state.lock().welcome.clone()
    }

    pub(super) fn link(&self) -> Link {
        self.state.lock().link.clone()
    }

    /// Until the link is up: true; false at the deadline, or when the importer takes its leave.
    pub(super) fn wait_for_link(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while state.sender.is_none() {
            if state.closing {
                return false;
            }
            match deadline {
                Some(deadline) if self.link_changed.wait_until(&mut state, deadline).timed_out() => return state.sender.is_some(),
                Some(_) => {}
                None => self.link_changed.wait(&mut state),
            }
        }
        true
    }

    /// Sends a request; its answer comes on the receiver, or the receiver closes when the link is lost.
    pub(super) fn ask(&self, message: impl Fn(u64) -> ToAgent) -> Result<(u64, Receiver<ToProcess>), Lost> {
        let (answer, receiver) = crossbeam_channel::bounded(1);
        let mut state = self.state.lock();
        if state.pending.len() >= limits::REQUESTS_PENDING_MAX {
            return Err(Lost::TooMany);
        }
        let req = state.next_req;
        state.next_req += 1;
        let Some(sender) = state.sender.clone() else { return Err(Lost::Link) };
        let ups = state.ups;
        state.pending.insert(req, answer);
        drop(state);
        // The thread may have stopped reading because events wait; an answer makes it read on.
        self.waker.wake();
        match sender.send(message(req)) {
            Ok(()) => Ok((req, receiver)),
            Err(error) => {
                let mut state = self.state.lock();
                state.pending.remove(&req);
                if let ConnectError::Protocol(reason) = error {
                    return Err(Lost::TooLong(format!("{reason}")));
                }
                // The thread sees the end of the connection, too; until then nobody should try again on this one.
                sender.close();
                if state.ups == ups {
                    state.sender = None;
                }
                Err(Lost::Link)
            }
        }
    }

    /// Nobody waits for this answer any more.
    pub(super) fn abandon(&self, req: u64) {
        self.state.lock().pending.remove(&req);
    }

    // The thread's side.

    /// An answer has come. Returned if nobody waits for it: its asker has given up, or it is of the thread's own look-ups.
    // spec: MON-4
    pub(super) fn answer(&self, req: u64, message: ToProcess) -> Option<ToProcess> {
        match self.state.lock().pending.remove(&req) {
            Some(answer) => {
                // The asker may give up at this instant: then it does not care.
                let _ = answer.try_send(message);
                None
            }
            None => Some(message),
        }
    }

    /// Whether a request waits for its answer.
    pub(super) fn is_waiting(&self) -> bool {
        !self.state.lock().pending.is_empty()
    }

    /// The link is lost: requests under way fail, later ones wait.
    pub(super) fn down(&self, since: Stamp) {
        let mut state = self.state.lock();
        state.sender = None;
        state.pending.clear();
        state.link = Link::Down { since };
    }

    /// The link is back: everything is subscribed and looked up anew.
    // spec: MON-5
    pub(super) fn up(&self, welcome: Welcome, sender: Sender) {
        let mut state = self.state.lock();
        state.link = Link::Up { cpu: welcome.cpu.clone(), agent: welcome.agent };
        state.welcome = welcome;
        state.sender = Some(sender);
        state.ups += 1;
        state.subscribe_all();
        for name in state.lookups.clone() {
            state.send_lookup(name);
        }
        drop(state);
        self.link_changed.notify_all();
    }

    /// Asks for everything again, because what came does not fit its end mark.
    // spec: SYN-7
    pub(super) fn resubscribe(&self) {
        let state = self.state.lock();
        for subscription in state.subscriptions.keys() {
            state.send(ToAgent::Unsubscribe { subscription: *subscription });
        }
        state.subscribe_all();
    }

    /// Sends one message of the thread's own.
    pub(super) fn send(&self, message: ToAgent) {
        self.state.lock().send(message);
    }

    /// The remaining patterns, if one went since this was last asked.
    pub(super) fn narrowed(&self) -> Option<Vec<Pattern>> {
        let mut state = self.state.lock();
        std::mem::take(&mut state.narrowed).then(|| state.subscriptions.values().map(|(pattern, _)| pattern.clone()).collect())
    }

    /// The importer is being dropped: takes leave of the agent and ends the connection.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        state.send(ToAgent::Unregister);
        if let Some(sender) = state.sender.take() {
            sender.close();
        }
        state.pending.clear();
        drop(state);
        self.link_changed.notify_all();
        self.waker.wake();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state.lock().closing
    }
}

impl State {
    /// If the link is up. If it is found broken now, the thread sees it as well and says everything again on the next one.
    fn send(&self, message: ToAgent) {
        if let Some(sender) = &self.sender
            && let Err(error) = sender.send(message)
        {
            tracing::debug!(target: "tif::importer", %error, "a message could not be sent");
        }
    }

    fn send_lookup(&mut self, name: Name) {
        let req = self.next_req;
        self.next_req += 1;
        self.send(ToAgent::Lookup { req, name });
    }

    fn subscribe_all(&self) {
        for (subscription, (pattern, coarsen)) in &self.subscriptions {
            self.send(ToAgent::Subscribe { subscription: *subscription, pattern: pattern.clone(), coarsen: *coarsen });
        }
    }
}

#[cfg(test)]
#[path = "../../tests/fake/mod.rs"]
mod fake;

#[cfg(test)]
mod tests {
    use super::fake::{FakeAgent, LONG, Peer};
    use super::*;
    use tif_core::model::Key;
    use tif_core::wire::{Identity, Registration, Resume};
    use tif_process::{Connection, RunDir};

    /// A connection under the key, or a new one.
    fn connect(dir: &std::path::Path, agent: &FakeAgent, resumed: Option<Key>) -> (Connection, Welcome, Peer) {
        let resume = resumed.map(|key| Resume { key });
        let hello = tif_process::hello(Identity::Pick("test".parse().unwrap()), Registration::Importer, "test 1", resume);
        let run_dir = RunDir::resolve(Some(dir));
        let opening = std::thread::spawn(move || Connection::open(&run_dir, hello, &[], LONG).unwrap());
        let peer = agent.accept();
        let (connection, welcome, _) = opening.join().unwrap();
        (connection, welcome, peer)
    }

    // spec: MON-5
    #[test]
    fn a_request_that_fails_late_leaves_the_connection_alone_that_came_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let agent = FakeAgent::start(dir.path(), 1);
        let (first, welcome, _first_peer) = connect(dir.path(), &agent, None);
        let interest = Interest::new(welcome.clone(), first.sender()).unwrap();
        let (second, again, mut peer) = connect(dir.path(), &agent, Some(welcome.key));
        assert_eq!((again.key, again.agent), (welcome.key, welcome.agent), "by its keys it is the same");
        let failed = interest.ask(|req| {
            first.sender().close();
            interest.down(Stamp(1));
            interest.up(again.clone(), second.sender());
            ToAgent::Processes { req }
        });
        assert!(matches!(failed, Err(Lost::Link)));
        assert!(interest.ask(|req| ToAgent::Outages { req }).is_ok());
        assert!(matches!(peer.expect(), ToAgent::Outages { .. }));
    }
}
