//! How facts change the model.

use std::sync::Arc;

use tif_core::model::{Name, Quality, Report, Value};
use tif_core::wire::Announcement;

use super::Model;
use super::fact::{Now, Standing};
use super::place::service_of;
use super::row::{Rate, Row, RowId};

impl Model {
    pub(super) fn announce(&mut self, announcement: Arc<Announcement>) -> RowId {
        if let Some(id) = self.by_instrument.get(&announcement.instrument).copied()
            && let Some(row) = self.rows.get(&id)
            && (Arc::ptr_eq(&row.announcement, &announcement) || *row.announcement == *announcement)
        {
            return id;
        }
        let identity = identity(&announcement);
        let known = self.by_identity.get(&identity).copied();
        let id = known.unwrap_or_else(|| {
            self.next += 1;
            RowId(self.next)
        });
        self.structure += 1;
        let before = self.rows.remove(&id);
        if let Some(row) = &before {
            self.by_instrument.remove(&row.announcement.instrument);
            self.tree.discount(row);
        }
        let node = self.tree.insert(&announcement, id);
        if let Some(row) = &before
            && row.node != node
        {
            self.tree.remove(row.node);
        }
        self.by_instrument.insert(announcement.instrument, id);
        self.by_identity.insert(identity, id);
        self.sources.entry(announcement.source.clone()).or_default().insert(id);
        let address = address(&announcement);
        let row = match before {
            Some(row) => Row { announcement, address, node, ..row },
            None => Row { announcement, address, report: None, standing: Standing::Live, node, rate: Rate::default() },
        };
        self.tree.count(&row);
        self.rows.insert(id, row);
        id
    }

    pub(super) fn report(&mut self, announcement: Arc<Announcement>, report: Report, now: Now) {
        let id = self.announce(announcement);
        let Some(row) = self.rows.get_mut(&id) else { return };
        self.values += 1;
        self.tree.discount(row);
        let vouched = matches!(report.quality, Quality::Good | Quality::Failed { .. });
        if vouched {
            row.standing = Standing::Live;
        }
        if row.report.as_ref().is_some_and(|before| before.key != report.key) {
            row.rate.restart();
        }
        let number = report.value.as_ref().and_then(Value::as_f64);
        if vouched && let Some(number) = number {
            row.rate.on_value(now.mono, number);
        }
        if number.is_some() {
            self.histories.record(id, now.mono, number.filter(|_| vouched));
        }
        row.report = Some(report);
        self.tree.count(row);
    }

    pub(super) fn remove(&mut self, announcement: &Announcement) {
        let identity = identity(announcement);
        let Some(id) = self.by_identity.get(&identity).copied() else { return };
        // Under a new number it was announced again meanwhile.
        if self.rows.get(&id).is_none_or(|row| row.announcement.instrument != announcement.instrument) {
            return;
        }
        if let Some(row) = self.rows.remove(&id) {
            self.tree.discount(&row);
            self.tree.remove(row.node);
        }
        self.by_identity.remove(&identity);
        self.by_instrument.remove(&announcement.instrument);
        self.histories.forget(id);
        if let Some(rows) = self.sources.get_mut(&announcement.source) {
            rows.remove(&id);
            if rows.is_empty() {
                self.sources.remove(&announcement.source);
            }
        }
        self.structure += 1;
    }

    /// A whole source turned stale, was lost, or lives.
    pub(super) fn stand(&mut self, source: &Name, standing: Standing, now: Now) {
        let Some(rows) = self.sources.get(source) else { return };
        self.values += 1;
        for id in rows {
            let Some(row) = self.rows.get_mut(id) else { continue };
            self.tree.discount(row);
            let was_old = row.is_old();
            row.standing = match (standing, row.standing) {
                // What was stale before keeps its date.
                (Standing::Stale { .. }, Standing::Stale { since } | Standing::Lost { since }) => Standing::Stale { since },
                (Standing::Lost { .. }, Standing::Stale { since } | Standing::Lost { since }) => Standing::Lost { since },
                (standing, _) => standing,
            };
            if standing == Standing::Live
                && let Some(report) = &mut row.report
                && matches!(report.quality, Quality::Stale { .. } | Quality::Outage { .. })
            {
                report.quality = Quality::Good;
            }
            if row.is_old() && !was_old {
                self.histories.record(*id, now.mono, None);
            } else if was_old && !row.is_old() {
                self.histories.record(*id, now.mono, row.value().and_then(Value::as_f64));
            }
            self.tree.count(row);
        }
    }
}

/// What names an instrument whatever number the agent gives it.
fn identity(announcement: &Announcement) -> String {
    format!("{}{}@{}", announcement.name, announcement.dims, announcement.source)
}

/// What the command line calls it.
fn address(announcement: &Announcement) -> String {
    if announcement.source.as_str() == service_of(announcement) {
        format!("{}{}", announcement.name, announcement.dims)
    } else {
        format!("{}{}@{}", announcement.name, announcement.dims, announcement.process)
    }
}
