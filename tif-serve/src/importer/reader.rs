//! The importer's reader: owns the connection, makes it anew when it is lost, and turns what comes over it into events.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tif_core::model::{Refusal, Stamp, Time};
use tif_core::wire::{Hello, Identity, Resume, ToAgent, ToProcess};
use tif_process::{Connection, RunDir, wait_for_agent};

use super::backlog::Backlog;
use super::interest::Interest;
use super::notices::Notices;
use super::source::{Now, Sources};
use super::{Event, Link};

/// How long one reconnection may take before stale data is looked after again.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);
/// First pause after an agent that listens but does not admit us; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// First pause before everything is asked for again, because an end mark did not fit; doubles.
const RESYNC_PAUSE: Duration = Duration::from_millis(50);

/// What the thread `tif-importer` is.
pub(super) struct Reader {
    run_dir: RunDir,
    hello: Hello,
    interest: Arc<Interest>,
    backlog: Arc<Backlog>,
    sources: Sources,
    notices: Notices,
    started: Instant,
    resync_at: Option<Time>,
    /// Of one on another kernel than its agent: when it says next that it lives.
    beat_at: Option<Time>,
    out: Vec<Event>,
}

/// Why a connection is over.
enum Over {
    Lost,
    /// The agent does not take our key for current any more.
    Deposed,
    Closing,
}

impl Reader {
    /// One that has read nothing yet.
    pub(super) fn new(run_dir: RunDir, hello: Hello, interest: Arc<Interest>, backlog: Arc<Backlog>) -> Reader {
        Reader {
            run_dir,
            hello,
            interest,
            backlog,
            sources: Sources::default(),
            notices: Notices::default(),
            started: Instant::now(),
            resync_at: None,
            beat_at: None,
            out: Vec::new(),
        }
    }

    /// Until the importer is dropped.
    pub(super) fn run(mut self, mut connection: Connection) {
        let mut name = self.interest.welcome().name;
        let mut pause = PAUSE_MIN;
        loop {
            let since = Instant::now();
            let over = self.serve(&mut connection);
            if matches!(over, Over::Closing) {
                return;
            }
            let now = self.now();
            self.interest.down(now.stamp);
            self.out.push(Event::Link(Link::Down { since: now.stamp }));
            self.sources.on_link_lost(now, &mut self.out);
            self.resync_at = None;
            self.flush();
            tracing::info!(target: "tif::importer", agent = %self.interest.welcome().agent, "the agent is gone");
            // spec: MON-5
            let key = self.interest.welcome().key;
            self.hello.outages = self.sources.outages();
            self.hello.identity = Identity::Exactly(name.clone());
            self.hello.resume = if matches!(over, Over::Deposed) { None } else { Some(Resume { key }) };
            // An agent that admits us and ends it at once must not be asked without a pause.
            if since.elapsed() < PAUSE_MAX {
                self.nap(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            } else {
                pause = PAUSE_MIN;
            }
            let Some(next) = self.reconnect() else { return };
            connection = next;
            name = self.interest.welcome().name;
        }
    }

    /// Serves one connection to its end.
    fn serve(&mut self, connection: &mut Connection) -> Over {
        self.beat_at = self.hello.heartbeat.map(|period| self.now().time + period);
        loop {
            self.beat();
            if self.interest.is_closing() {
                return Over::Closing;
            }
            if let Some(patterns) = self.interest.narrowed() {
                self.sources.keep_only(&patterns, &mut self.out);
            }
            let mut drained = false;
            while !drained && !self.holds_back() {
                match connection.try_receive() {
                    Ok(Some(message)) => {
                        if let Some(over) = self.on_message(message) {
                            return over;
                        }
                        self.flush();
                    }
                    Ok(None) => drained = true,
                    Err(_) if self.interest.is_closing() => return Over::Closing,
                    Err(error) => {
                        tracing::debug!(target: "tif::importer", %error, "the connection is over");
                        return Over::Lost;
                    }
                }
            }
            if drained {
                // Only when all that has come is read: what is still in the socket may confirm what would be cleared.
                self.tick();
            }
            self.flush();
            let due = [self.sources.deadline(), self.resync_at].into_iter().flatten().min();
            let timeout = timeout(drained, due, self.beat_at, self.now().time);
            let mut fds = vec![PollFd::new(self.interest.waker().as_ref(), PollFlags::IN)];
            if drained {
                fds.push(PollFd::new(connection, PollFlags::IN));
            }
            // An interruption is a reason to look, as anything else.
            let _ = poll(&mut fds, timeout.as_ref());
            if !fds[0].revents().is_empty() {
                self.interest.waker().drain();
            }
        }
    }

    /// Makes the connection anew; none if the importer is dropped meanwhile.
    fn reconnect(&mut self) -> Option<Connection> {
        let mut pause = PAUSE_MIN;
        loop {
            if self.interest.is_closing() {
                return None;
            }
            if let Some(patterns) = self.interest.narrowed() {
                self.sources.keep_only(&patterns, &mut self.out);
            }
            self.tick();
            self.flush();
            let left = self.sources.deadline().map_or(Duration::from_secs(60), |deadline| deadline.since(self.now().time));
            // What is shown as stale has to go in time, so the wait ends with the first of it.
            if !wait_for_agent(
                &self.run_dir,
                left.max(Duration::from_millis(1)),
                Some(rustix::fd::AsFd::as_fd(self.interest.waker().as_ref())),
            ) {
                self.interest.waker().drain();
                continue;
            }
            match Connection::open(&self.run_dir, self.hello.clone(), &[], OPEN_TIMEOUT) {
                Ok((connection, welcome, _)) => {
                    tracing::info!(target: "tif::importer", agent = %welcome.agent, resumed = welcome.resumed, "the agent is back");
                    let link = Link::Up { cpu: welcome.cpu.clone(), agent: welcome.agent };
                    self.interest.up(welcome, connection.sender());
                    self.backlog.push(Event::Link(link));
                    return Some(connection);
                }
                // That life is over, whoever thought so: another begins, under the same name.
                // spec: PSM-7, PSM-10
                Err(tif_process::ConnectError::Refused(Refusal::StaleKey { .. })) => {
                    let Hello { identity, registration, program, .. } = self.hello.clone();
                    let fresh = tif_process::hello(identity, registration, program, None).nonce;
                    (self.hello.nonce, self.hello.resume) = (fresh, None);
                }
                // Somebody else has the name now.
                Err(tif_process::ConnectError::Refused(Refusal::NameTaken { .. })) => {
                    let prefix = match &self.hello.identity {
                        Identity::Exactly(name) | Identity::Pick(name) => name.clone(),
                    };
                    self.hello.identity = Identity::Pick(prefix);
                    self.hello.resume = None;
                }
                Err(error) => tracing::debug!(target: "tif::importer", %error, "the agent does not admit us yet"),
            }
            self.nap(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Sleeps, unless the importer is dropped. Whatever else wakes it can wait: an agent that refuses must not be asked without a pause.
    fn nap(&self, time: Duration) {
        self.interest.waker().sleep(time, || self.interest.is_closing());
    }

    fn on_message(&mut self, message: ToProcess) -> Option<Over> {
        let now = self.now();
        match message {
            ToProcess::ReportsBegin { source, key, relieves, .. } => self.sources.on_begin(now, source, key, relieves, &mut self.out),
            ToProcess::Announced(announced) => self.sources.on_announced(now, announced.instruments, &mut self.out),
            ToProcess::Withdrawn { instruments } => self.sources.on_withdrawn(now, &instruments, &mut self.out),
            ToProcess::Reports { reports, coalesced } => {
                for report in reports {
                    self.sources.on_report(now, report, &mut self.out);
                }
                if coalesced > 0 {
                    self.out.push(Event::Coalesced(coalesced));
                }
            }
            ToProcess::ReportsEnd(end) => {
                if let Some(attempt) = self.sources.on_end(now, end, &mut self.out) {
                    let at = now.time + RESYNC_PAUSE * 2u32.saturating_pow(attempt - 1);
                    self.resync_at = Some(self.resync_at.map_or(at, |earlier| earlier.min(at)));
                }
            }
            ToProcess::Outage(outage) => self.sources.on_outage(now, outage, &mut self.out),
            ToProcess::Notice(notice) => {
                if self.notices.is_news(&notice, false) {
                    self.out.push(Event::Notice(notice));
                }
            }
            ToProcess::Settled { request_id, end } => self.out.push(Event::Settled { request_id, end }),
            ToProcess::Ping { nonce } => self.interest.send(ToAgent::Pong { nonce }),
            // spec: PSM-7
            ToProcess::StaleKey { .. } => return Some(Over::Deposed),
            ToProcess::Refused { req: 0, refusal } => {
                // A subscription beyond the agent's bound. If it is the connection that is refused, it ends by itself.
                tracing::warn!(target: "tif::importer", %refusal, "the agent refuses");
            }
            ToProcess::LookedUp { req, .. } => {
                // Asked again over a new link: what is known already is no news.
                if let Some(ToProcess::LookedUp { notice, .. }) = self.interest.answer(req, message)
                    && self.notices.is_news(&notice, true)
                {
                    self.out.push(Event::Notice(notice));
                }
            }
            ToProcess::Refused { req, .. }
            | ToProcess::Listed { req, .. }
            | ToProcess::Sensed { req, .. }
            | ToProcess::SetDone { req, .. }
            | ToProcess::Confirmed { req, .. }
            | ToProcess::Fired { req, .. }
            | ToProcess::Armed { req, .. }
            | ToProcess::Processes { req, .. }
            | ToProcess::Outages { req, .. }
            | ToProcess::Cpus { req, .. }
            | ToProcess::Groups { req, .. }
            | ToProcess::Drained { req, .. } => {
                if self.interest.answer(req, message).is_some() {
                    tracing::debug!(target: "tif::importer", req, "an answer that nobody waits for");
                }
            }
            // An exporter's messages: not for us.
            ToProcess::Welcome(_)
            | ToProcess::Validate { .. }
            | ToProcess::Apply
            | ToProcess::Compute { .. }
            | ToProcess::WatchChanged
            | ToProcess::Call { .. }
            | ToProcess::Arm { .. }
            | ToProcess::Promote { .. }
            | ToProcess::Numbered { .. }
            | ToProcess::LetGo { .. }
            | ToProcess::Demote { .. } => tracing::debug!(target: "tif::importer", "a message that is not for an importer was dropped"),
        }
        None
    }

    fn holds_back(&self) -> bool {
        self.backlog.is_full() && (self.backlog.is_at_its_limit() || !self.interest.is_waiting())
    }

    /// Whether the consumer reads or not: the process lives.
    // spec: PSM-6
    fn beat(&mut self) {
        let now = self.now().time;
        if let (Some(at), Some(period)) = (self.beat_at, self.hello.heartbeat)
            && at <= now
        {
            self.interest.send(ToAgent::Heartbeat);
            self.beat_at = Some(now + period);
        }
    }

    fn tick(&mut self) {
        let now = self.now().time;
        self.sources.on_tick(now, &mut self.out);
        if self.resync_at.is_some_and(|at| at <= now) {
            self.resync_at = None;
            self.sources.on_asked_again();
            self.interest.resubscribe();
        }
    }

    fn flush(&mut self) {
        for event in self.out.drain(..) {
            self.backlog.push(event);
        }
    }

    fn now(&self) -> Now {
        let time = Time::ZERO + self.started.elapsed();
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { time, stamp: Stamp(u64::try_from(stamp.as_nanos()).unwrap_or(u64::MAX)) }
    }
}

/// How long to sleep. While the consumer is waited for, nothing falls due: what is still unread may confirm what would go. The waker ends that.
fn timeout(drained: bool, due: Option<Time>, beat: Option<Time>, now: Time) -> Option<Timespec> {
    let left = due.filter(|_| drained).into_iter().chain(beat).min()?.since(now);
    Some(Timespec { tv_sec: left.as_secs().min(3600) as i64, tv_nsec: left.subsec_nanos().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: MON-6
    #[test]
    fn what_is_overdue_does_not_keep_a_thread_awake_that_waits_for_its_consumer() {
        let (now, past) = (Time(5_000_000_000), Some(Time(3_000_000_000)));
        let seconds = |timeout: Option<Timespec>| timeout.map(|t| t.tv_sec);
        assert_eq!(seconds(timeout(false, past, None, now)), None);
        assert_eq!(seconds(timeout(true, past, None, now)), Some(0));
        assert_eq!(seconds(timeout(true, Some(Time(7_000_000_000)), None, now)), Some(2));
        assert_eq!(seconds(timeout(false, past, Some(Time(6_000_000_000)), now)), Some(1), "but it says that it lives");
        assert_eq!(seconds(timeout(true, None, None, now)), None);
    }
}
