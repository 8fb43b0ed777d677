//! What the agent knows at a moment, in lines for people who look for a fault.

use std::fmt::Display;

use super::{Agent, Resource};
use crate::model::Time;

impl Agent {
    /// Processes, groups, sources, outages, links to other agents, and what is waited for. Nothing decides by it.
    pub fn portrait(&self, now: Time) -> Vec<String> {
        let mut lines = vec![format!("agent {} on {}", self.key, self.cpu)];
        section(&mut lines, "processes", self.processes_now(now));
        section(&mut lines, "groups", self.groups_now());
        section(&mut lines, "sources", self.sources_now());
        section(&mut lines, "outages", self.outages_now(now));
        section(&mut lines, "other CPUs", self.peers.portrait());
        section(&mut lines, "waits for", self.waits_now(now));
        lines
    }

    fn processes_now(&self, now: Time) -> Vec<String> {
        let shown = self.registry.iter().map(|p| {
            let cause = p.cause.as_ref().map(|cause| format!(", {cause}")).unwrap_or_default();
            let session = self.sessions.iter().find(|(_, s)| s.key == p.key);
            let link = session
                .map_or_else(|| "no link".to_owned(), |(conn, s)| format!("link {}, {} subscriptions", conn.0, s.subscriptions.len()));
            format!("{} {} {} for {:?}{cause}; {link}", p.name, p.key, p.state.word(), now.since(p.since))
        });
        let admitting = self.admitting.keys().map(|key| format!("{key} is being admitted"));
        shown.chain(admitting).collect()
    }

    fn groups_now(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (service, group) in &self.groups {
            let members = self.exporters.iter().filter(|(_, e)| e.grouped && e.service == *service);
            let members = members.map(|(key, e)| {
                let role = group.role(*key).map_or("no member", |role| role.word());
                format!("{} {key} {role}{}", e.name, if group.is_ready(*key) { "" } else { " (not ready)" })
            });
            lines.push(format!("{service} in term {}: {}", group.epoch(), joined(members)));
            if let Some(shared) = self.peers.electing.groups.get(service) {
                let register = match &shared.register {
                    None => "not read".to_owned(),
                    Some(None) => "empty".to_owned(),
                    Some(Some(term)) => {
                        let primary = term.primary.map_or_else(|| "nobody yet".to_owned(), |key| key.to_string());
                        format!("term {}: {primary}, home {}, in sync {}", term.epoch, term.home, joined(&term.in_sync))
                    }
                };
                let log = shared.replica.log();
                let established = shared.established.map(|epoch| format!(", leads with all of it in term {epoch}")).unwrap_or_default();
                lines.push(format!("  register: {register}; log: term {}, {} entries{established}", log.epoch, log.seq.0));
            }
        }
        lines
    }

    fn sources_now(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, source) in &self.sources {
            let exporter = source.exporter.map_or_else(|| "nobody".to_owned(), |key| key.to_string());
            let outage = source.outage.map(|id| format!(", outage {id}")).unwrap_or_default();
            lines.push(format!("{name} by {exporter}{outage}"));
            for instrument in self.table.of_source(name).filter_map(|id| self.table.find(id)) {
                let followers = self.interest.waiters(&Resource::Instrument(instrument.id)).count();
                let value = instrument.value.as_ref().map_or_else(|| "no value".to_owned(), |value| format!("{value:?}"));
                lines.push(format!(
                    "  {} {}{} = {value}, {}, of {}; {followers} follow it",
                    instrument.id, instrument.name, instrument.dims, instrument.quality, instrument.key
                ));
            }
        }
        lines
    }

    fn outages_now(&self, now: Time) -> Vec<String> {
        let rows = self.outages.rows(now);
        let shown = rows.iter().map(|row| {
            let end = row.outage.end.as_ref().map_or_else(|| "lasts".to_owned(), |end| format!("over by {}", end.key));
            format!(
                "{} of {}: {} lost: {}; {end}; {} were told",
                row.outage.id, row.outage.source, row.outage.key, row.outage.cause, row.told
            )
        });
        shown.collect()
    }

    fn waits_now(&self, now: Time) -> Vec<String> {
        let questions = self.questions.iter().map(|(number, question)| {
            let text = format!("{question:?}");
            let kind = text.split(['(', ' ', '{']).next().unwrap_or_default();
            format!("question {number}: {kind}")
        });
        let tickets = self.tickets.iter().map(|(ticket, waiting)| format!("write {}: {waiting:?}", ticket.0));
        let deadline = self.deadline().map(|at| format!("the next deadline, in {:?}", at.since(now)));
        questions.chain(tickets).chain(self.keeping.portrait()).chain(deadline).collect()
    }
}

fn section(lines: &mut Vec<String>, title: &str, inside: Vec<String>) {
    if !inside.is_empty() {
        lines.push(format!("{title}:"));
        lines.extend(inside.into_iter().map(|line| format!("  {line}")));
    }
}

fn joined<T: Display>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = all.into_iter().map(|one| one.to_string()).collect();
    if all.is_empty() { "nobody".to_owned() } else { all.join(", ") }
}
