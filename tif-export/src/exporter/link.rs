//! The exporter's thread: connects to the agent, again and again, and receives. It blocks in `poll` and runs none of the service's code.
// spec: EXP-3

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tif_core::wire::{ToAgent, Welcome};
use tif_process::{ConnectError, Connection, wait_for_agent};

use super::duties::Duties;
use super::life::Life;
use super::registry::Exporter;
use super::standing::{Answer, Order, State};
use super::steward::{Steward, Task, send};

/// How long an exporter that was started by the first use of an instrument leaves the service to start it as it likes.
pub(super) const GRACE: Duration = Duration::from_millis(50);
/// Pauses between attempts when there is an agent that does not take us.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long to sleep for an agent before looking after one's own affairs.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What ended a connection.
enum Ended {
    /// The agent is gone, or does not understand us.
    Lost,
    /// Our life is over; another begins.
    Replaced,
    /// An order came.
    Ordered,
}

/// The whole life of the thread.
pub(super) fn run(exporter: &Exporter, grace: Duration) {
    let standing = exporter.standing();
    let steward = match Steward::start(exporter) {
        Ok(steward) => steward,
        Err(error) => {
            tracing::error!(target: "tif::export", service = %exporter.service(), %error, "no thread for the exporter");
            standing.write(|s| s.is_running = false);
            return;
        }
    };
    if !grace.is_zero() {
        // Cut short by an explicit start, which rings.
        standing.wait(grace, |s| (s.handles > 0 || s.order != Order::Run).then_some(()));
    }
    // Without it the agent learns late that this process has ended, and all else goes on.
    // spec: PSM-12
    let _keeper = exporter.home().segment().and_then(|segment| {
        let told = |error| tracing::warn!(target: "tif::export", service = %exporter.service(), %error, "no thread to tell of the end of this process");
        segment.keep().map_err(told).ok()
    });
    let mut duties = Duties::new(exporter.clone(), steward.clone());
    while live(exporter, &steward, &mut duties) {}
    steward.push(Task::End);
}

/// One life of the process, from the first attempt to an order. Whether there is to be another.
fn live(exporter: &Exporter, steward: &Steward, duties: &mut Duties) -> bool {
    let standing = exporter.standing();
    let mut life = Life::new(standing.write(State::begin));
    let mut pause = RETRY_MIN;
    loop {
        if standing.read(|s| s.order != Order::Run) {
            return obey(exporter, steward);
        }
        match life.connect(exporter) {
            Ok((connection, welcome, fds)) => {
                let Some(()) = attach(exporter, fds) else {
                    nap(exporter, &mut pause);
                    continue;
                };
                pause = RETRY_MIN;
                match serve(exporter, steward, duties, &mut life, connection, welcome) {
                    Ended::Lost => {}
                    Ended::Replaced => retire(steward, &mut life),
                    Ended::Ordered => return obey(exporter, steward),
                }
            }
            Err(ConnectError::Refused(refusal)) => {
                tracing::warn!(target: "tif::export", service = %exporter.service(), %refusal, "the agent refuses this process");
                if life.is_over(&refusal) {
                    retire(steward, &mut life);
                    continue;
                }
                if life.takes_another_name(&refusal) {
                    continue;
                }
                standing.write(|s| s.answer = Some(Answer::Refused(refusal)));
                nap(exporter, &mut pause);
            }
            Err(ConnectError::NoAgent { .. }) => {
                standing.write(|s| s.answer = Some(Answer::NoAgent));
                exporter.0.doorbell.answer();
                if standing.read(|s| s.order == Order::Run) {
                    let is_there =
                        wait_for_agent(&life.run_dir(), duties.next().unwrap_or(WAIT_MAX).min(WAIT_MAX), exporter.0.doorbell.fd());
                    if !is_there {
                        duties.expire();
                    }
                }
            }
            Err(error) => {
                tracing::warn!(target: "tif::export", service = %exporter.service(), error = &error as &dyn std::error::Error, "the agent cannot be talked to");
                standing.write(|s| s.answer = Some(Answer::Failed));
                nap(exporter, &mut pause);
            }
        }
    }
}

/// Takes the board that came with the welcome.
fn attach(exporter: &Exporter, mut fds: Vec<std::os::fd::OwnedFd>) -> Option<()> {
    let result = match (fds.pop(), exporter.home().segment()) {
        (Some(board), Some(segment)) => segment.attach_board(board).map_err(|e| e.to_string()),
        _ => Err("there is none".to_owned()),
    };
    if let Err(problem) = &result {
        tracing::error!(target: "tif::export", service = %exporter.service(), problem, "the agent's board is of no use");
        exporter.standing().write(|s| s.answer = Some(Answer::Failed));
    }
    result.ok()
}

/// Does what the agent asks until the connection or the life ends.
fn serve(
    exporter: &Exporter,
    steward: &Steward,
    duties: &mut Duties,
    life: &mut Life,
    mut connection: Connection,
    welcome: Welcome,
) -> Ended {
    let sender = connection.sender();
    let is_replaced = life.begin(&welcome);
    tracing::info!(
        target: "tif::export", service = %exporter.service(), process = %welcome.name, key = %welcome.key, role = welcome.role.word(),
        resumed = welcome.resumed, "registered"
    );
    duties.begin(sender.clone());
    let link = exporter.standing().write(|s| {
        s.link += 1;
        if is_replaced {
            s.number = None;
        }
        s.link
    });
    steward.push(Task::Settle { sender: sender.clone(), welcome: Box::new(welcome), is_replaced, link });
    let ended = loop {
        // Whatever came with other things is not announced by `poll` again.
        match connection.try_receive() {
            Ok(Some(message)) => {
                if duties.perform(message).is_break() {
                    break Ended::Replaced;
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => {
                tracing::info!(target: "tif::export", service = %exporter.service(), %error, "the agent is gone; the service goes on");
                break Ended::Lost;
            }
        }
        if exporter.standing().read(|s| s.order != Order::Run) {
            let (is_ended, old) = exporter.standing().write(|s| {
                let is_ended = s.is_ended(&life.options);
                (is_ended, if is_ended { Vec::new() } else { s.take_old_callbacks() })
            });
            drop(old);
            if is_ended {
                send(&sender, ToAgent::Unregister);
                break Ended::Ordered;
            }
        }
        duties.tend();
        sleep(exporter, Some(&connection), duties.next());
    };
    sender.close();
    duties.end();
    exporter.standing().write(|s| {
        s.link += 1;
        s.answer = None;
    });
    ended
}

/// The process was replaced by another, or another life of itself. It must have stopped acting before it registers anew.
// spec: PSM-7
fn retire(steward: &Steward, life: &mut Life) {
    let (done, is_done) = crossbeam_channel::bounded(1);
    steward.push(Task::Retire { done });
    // However long the service takes. An error means that the steward is gone, and with it whoever could act.
    let _ = is_done.recv();
    life.end();
}

/// An order has come. Whether another life follows.
fn obey(exporter: &Exporter, steward: &Steward) -> bool {
    let (done, is_done) = crossbeam_channel::bounded(1);
    steward.push(Task::Retire { done });
    // An error means that the steward is gone, and with it whoever could act.
    let _ = is_done.recv();
    let (goes_on, _old) = exporter.standing().write(|s| {
        (s.key, s.name, s.answer) = (None, None, None);
        s.is_running = s.order != Order::Stop;
        (s.is_running, s.take_old_callbacks())
    });
    goes_on
}

fn nap(exporter: &Exporter, pause: &mut Duration) {
    let until = Instant::now() + *pause;
    *pause = (*pause * 2).min(RETRY_MAX);
    while exporter.standing().read(|s| s.order == Order::Run) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        sleep(exporter, None, Some(left));
    }
}

/// Until something comes from the agent, the service rings, or the time is over.
fn sleep(exporter: &Exporter, connection: Option<&Connection>, timeout: Option<Duration>) {
    let bell = exporter.0.doorbell.fd();
    // Without a bell one has to look from time to time.
    let timeout = if bell.is_none() { Some(timeout.unwrap_or(RETRY_MAX).min(RETRY_MAX)) } else { timeout };
    let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(2);
    fds.extend(bell.map(|b| PollFd::from_borrowed_fd(b, PollFlags::IN)));
    fds.extend(connection.map(|c| PollFd::new(c, PollFlags::IN)));
    let timespec = timeout.map(|t| Timespec { tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX), tv_nsec: t.subsec_nanos().into() });
    match poll(&mut fds, timespec.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => {
            // Only for want of memory; the next round may have it.
            tracing::error!(target: "tif::export", %error, "the exporter cannot sleep");
            std::thread::yield_now();
        }
    }
    exporter.0.doorbell.answer();
}
