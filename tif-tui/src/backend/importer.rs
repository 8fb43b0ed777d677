//! The real backend: an importer of this CPU's agent.

use std::sync::Arc;
use std::time::Duration;

use tif_core::model::{Refusal, Stamp};
use tif_serve::importer::{self, Event, FireRequest, Importer, RequestError, SetRequest};

use super::{Answer, Backend, Request};
use crate::model::fact::{Fact, Link, Standing};
use crate::options::Extra;

/// How long a request may take before it is given up: longer than the agent gives a service to think about a change.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Asks the agent through an importer; the extra key goes to whoever has asked for it.
pub(crate) struct Agent {
    pub(crate) importer: Arc<Importer>,
    pub(crate) extra: Option<Extra>,
}

impl Backend for Agent {
    fn perform(&self, request: &Request) -> Result<Answer, String> {
        let words = |error: RequestError| error.to_string();
        let unanswered = |error: RequestError| unanswered(request, &error);
        // Read by the importer as the request begins. Should two begin at once, one of them waits as long as the other.
        self.importer.set_timeout(match request {
            Request::Fire { timeout, .. } => *timeout + REQUEST_TIMEOUT,
            _ => REQUEST_TIMEOUT,
        });
        match request {
            Request::Set { name, value } => self.importer.set(SetRequest::of(name, value)).map(Answer::Set).or_else(unanswered),
            Request::Fire { name, arguments, .. } => {
                let request = FireRequest { name: name.clone(), arguments: arguments.clone(), request_id: None };
                self.importer.fire(request).map(|fired| Answer::Fired(fired.result)).or_else(unanswered)
            }
            Request::Arm { name, arming } => self.importer.arm(name, arming.clone()).map(|_| Answer::Armed).or_else(unanswered),
            Request::Disarm { name } => self.importer.disarm(name).map(|_| Answer::Armed).or_else(unanswered),
            Request::Processes => self.importer.processes().map(Answer::Processes).map_err(words),
            Request::Outages => self.importer.outages().map(Answer::Outages).map_err(words),
            Request::Extra => match &self.extra {
                Some(extra) => (extra.action)().map(Answer::Extra),
                None => Err("there is no extra key".to_owned()),
            },
        }
    }
}

/// An action without an answer: whether that means that it was not done.
// spec: TST-4
fn unanswered(request: &Request, error: &RequestError) -> Result<Answer, String> {
    match error {
        RequestError::TimedOut { .. } | RequestError::Unreachable { .. } => Ok(Answer::Unknown(error.to_string())),
        // A change that is refused so is not made; a call may have been.
        RequestError::Refused(Refusal::TimedOut { .. } | Refusal::Indeterminate { .. }) if matches!(request, Request::Fire { .. }) => {
            Ok(Answer::Unknown(error.to_string()))
        }
        _ => Err(error.to_string()),
    }
}

/// An event in the screen's words; none if it says nothing to the screen. `now` dates what the event does not.
pub(crate) fn fact(event: Event, now: Stamp) -> Option<Fact> {
    Some(match event {
        Event::Announced(announcement) => Fact::Announced(announcement),
        Event::Report { announcement, report } => Fact::Report { announcement, report },
        Event::Removed(announcement) => Fact::Removed(announcement),
        Event::Standing { source, standing } => Fact::Standing {
            source,
            standing: match standing {
                importer::Standing::Live => Standing::Live,
                importer::Standing::Stale { since } => Standing::Stale { since },
                importer::Standing::Lost => Standing::Lost { since: now },
            },
        },
        // A change that is to be confirmed is made on the command line only.
        Event::Synced { .. } | Event::Settled { .. } => return None,
        Event::Notice(_) => Fact::ProcessChanged,
        Event::Outage(outage) => Fact::Outage(outage),
        Event::Link(link) => Fact::Link(self::link(link)),
        Event::Coalesced(count) => Fact::Coalesced(count),
    })
}

/// The link in the screen's words.
pub(crate) fn link(link: importer::Link) -> Link {
    match link {
        importer::Link::Up { cpu, agent } => Link::Up { cpu, agent },
        importer::Link::Down { since } => Link::Down { since },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: TST-4
    #[test]
    fn a_call_without_an_answer_may_be_done_and_a_change_that_timed_out_at_the_agent_is_not() {
        let refused =
            || RequestError::Refused(Refusal::TimedOut { name: "orders.flush".into(), reason: "no answer".into(), request_id: None });
        let fire = Request::Fire { name: "orders.flush".into(), arguments: Vec::new(), timeout: Duration::from_secs(5) };
        let set = Request::Set { name: "orders.batch".into(), value: "1".into() };
        assert_eq!(unanswered(&fire, &refused()), Ok(Answer::Unknown("orders.flush: no answer".into())));
        assert!(unanswered(&set, &refused()).is_err());
        let lost = RequestError::TimedOut { after: Duration::from_secs(5), request_id: None };
        assert!(matches!(unanswered(&set, &lost), Ok(Answer::Unknown(_))));
    }
}
