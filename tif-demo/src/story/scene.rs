//! What the teller sees: an importer like any other, and the table that it makes of what it is told.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tif_core::model::{Coarsen, Pattern, Quality, Value};
use tif_serve::importer::{Event, FireRequest, FireResult, Importer, Row, SetRequest, SetResult, Table};

use crate::stage::Stage;

/// The importer, what it knows, and a clock.
pub struct Scene<'a> {
    /// The demo.
    pub stage: &'a Stage,
    /// The connection to the agent.
    pub importer: Importer,
    table: Table,
    begun: Instant,
    /// When the story is given up.
    deadline: Instant,
}

impl<'a> Scene<'a> {
    /// Looks at everything that the service shows.
    ///
    /// # Errors
    /// If the agent does not answer.
    pub fn open(stage: &'a Stage, limit: Duration) -> anyhow::Result<Scene<'a>> {
        let begun = Instant::now();
        let importer = stage.importer("story")?;
        importer.subscribe(pattern("indexer.**")?, Coarsen::default());
        Ok(Scene { stage, importer, table: Table::new(), begun, deadline: begun + limit })
    }

    /// Tells a line, with the time.
    pub fn say(&self, text: impl AsRef<str>) {
        println!("{:6.2} s  {}", self.begun.elapsed().as_secs_f64(), text.as_ref());
    }

    /// Takes in what happens until `look` has seen what it looks for. It looks at the table as it is, then again after each event, with
    /// the event and when that came.
    ///
    /// # Errors
    /// If it did not happen in time: `what`.
    pub fn until<R>(
        &mut self,
        what: &str,
        within: Duration,
        mut look: impl FnMut(&Table, Option<(&Event, Instant)>) -> Option<R>,
    ) -> anyhow::Result<R> {
        if let Some(seen) = look(&self.table, None) {
            return Ok(seen);
        }
        let deadline = self.deadline.min(Instant::now() + within);
        loop {
            let Ok(event) = self.importer.events().recv_deadline(deadline) else {
                bail!("did not happen: {what}");
            };
            let at = Instant::now();
            self.table.apply(&event);
            if let Some(seen) = look(&self.table, Some((&event, at))) {
                return Ok(seen);
            }
        }
    }

    /// Takes in what has happened so far.
    pub fn catch_up(&mut self) {
        while let Ok(event) = self.importer.events().try_recv() {
            self.table.apply(&event);
        }
    }

    /// The table as it is.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Changes a control.
    ///
    /// # Errors
    /// If it was not accepted.
    pub fn set(&self, name: &str, value: impl ToString, id: Option<&str>) -> anyhow::Result<SetResult> {
        let value = value.to_string();
        let request =
            SetRequest { request_id: id.map(str::parse).transpose()?, reason: Some("the story".into()), ..SetRequest::of(name, &value) };
        self.importer.set(request).with_context(|| format!("cannot set {name} to {value}"))
    }

    /// Calls a procedure.
    ///
    /// # Errors
    /// If it could not be called.
    pub fn fire(&self, name: &str, argument: (&str, &str)) -> anyhow::Result<FireResult> {
        let arguments = vec![(argument.0.to_owned(), argument.1.to_owned())];
        let request = FireRequest { name: name.to_owned(), arguments, request_id: None };
        self.importer.fire(request).with_context(|| format!("cannot call {name}"))
    }

    /// Reads one number now, from the living exporter.
    ///
    /// # Errors
    /// If there is no such value.
    pub fn sense(&self, name: &str) -> anyhow::Result<f64> {
        let sensed = self.importer.sense(&[pattern(name)?]).with_context(|| format!("cannot read {name}"))?;
        let (_, report) = sensed.rows.first().with_context(|| format!("there is no {name}"))?;
        anyhow::ensure!(report.quality == Quality::Good, "{name} is {}", report.quality);
        report.value.as_ref().and_then(Value::as_f64).with_context(|| format!("{name} has no value"))
    }
}

/// A pattern.
///
/// # Errors
/// If it is none.
pub fn pattern(text: &str) -> anyhow::Result<Pattern> {
    text.parse().with_context(|| format!("the pattern {text}"))
}

/// The live rows of an instrument: one for each of its dimensions.
pub fn live<'t>(table: &'t Table, name: &'static str) -> impl Iterator<Item = &'t Row> {
    table.rows().filter(move |row| row.announcement.name.as_str() == name && row.standing.is_live())
}

/// A live value as a number.
pub fn number(table: &Table, name: &'static str) -> Option<f64> {
    live(table, name).next()?.report.as_ref()?.value.as_ref()?.as_f64()
}

/// A live value as people read it.
pub fn shown(table: &Table, name: &'static str) -> Option<String> {
    let row = live(table, name).next()?;
    let value = row.report.as_ref()?.value.as_ref()?;
    Some(value.show(&row.announcement.descriptor.choices).to_string())
}
