//! The real backend: an importer of this CPU's agent.

use std::sync::Arc;
use std::time::Duration;

use tif_core::model::Stamp;
use tif_core::wire::Admission;
use tif_serve::importer::{self, Event, FireRequest, Importer, SetRequest};

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
        let words = |error: importer::RequestError| error.to_string();
        // Read by the importer as the request begins. Should two begin at once, one of them waits as long as the other.
        self.importer.set_timeout(match request {
            Request::Fire { timeout, .. } => *timeout + REQUEST_TIMEOUT,
            _ => REQUEST_TIMEOUT,
        });
        match request {
            Request::Set { name, value } => {
                let request = SetRequest {
                    name: name.clone(),
                    value: value.clone(),
                    request_id: None,
                    admission: Admission::default(),
                    reason: None,
                };
                self.importer.set(request).map(Answer::Set).map_err(words)
            }
            Request::Fire { name, arguments, .. } => {
                let request = FireRequest { name: name.clone(), arguments: arguments.clone(), request_id: None };
                self.importer.fire(request).map(|fired| Answer::Fired(fired.result)).map_err(words)
            }
            Request::Arm { name, arming } => self.importer.arm(name, arming.clone()).map(|_| Answer::Armed).map_err(words),
            Request::Disarm { name } => self.importer.disarm(name).map(|_| Answer::Armed).map_err(words),
            Request::Processes => self.importer.processes().map(Answer::Processes).map_err(words),
            Request::Outages => self.importer.outages().map(Answer::Outages).map_err(words),
            Request::Extra => match &self.extra {
                Some(extra) => (extra.action)().map(Answer::Extra),
                None => Err("there is no extra key".to_owned()),
            },
        }
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
        Event::Synced { .. } => return None,
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
