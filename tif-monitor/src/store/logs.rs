//! Votes, and the logs that several CPUs keep: the whole of each as it was some time ago, and the entries since.
// spec: CTL-4, GRP-9

use rusqlite::{Connection, OptionalExtension, params};
use tif_core::machine::book::{Book, Line};
use tif_core::machine::replication::{Log, Record, Seq};
use tif_core::machine::witness::Vote;
use tif_core::model::{Epoch, Name};

use super::rows::{bits, name, number, pack, unpack};

/// After so many entries a log is written as a whole.
const FOLD_AFTER: u64 = 1024;

/// All of a vote is one record.
pub fn write_vote(db: &Connection, service: &Name, vote: &Vote) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO votes (service, vote) VALUES (?, ?)")?.execute(params![service.as_str(), pack(vote)?])?;
    Ok(())
}

/// Writes one record of a log. The caller holds the transaction.
pub fn write(db: &Connection, service: &Name, record: &Record<Book, Line>) -> rusqlite::Result<()> {
    match record {
        Record::Appended { epoch, seq, entry } => {
            db.prepare_cached("INSERT OR REPLACE INTO entries (service, seq, epoch, entry) VALUES (?, ?, ?, ?)")?.execute(params![
                service.as_str(),
                bits(seq.0),
                bits(epoch.0),
                pack(entry)?
            ])?;
            if seq.0.is_multiple_of(FOLD_AFTER) {
                let whole = log(db, service)?;
                replace(db, service, &whole)?;
            }
            Ok(())
        }
        Record::Replaced(log) => replace(db, service, log),
        Record::Began { epoch } => {
            db.prepare_cached(
                "INSERT INTO logs (service, epoch, seq, state) VALUES (?, ?, 0, ?)
                 ON CONFLICT (service) DO UPDATE SET epoch = excluded.epoch",
            )?
            .execute(params![service.as_str(), bits(epoch.0), pack(&Book::default())?])?;
            Ok(())
        }
    }
}

fn replace(db: &Connection, service: &Name, log: &Log<Book>) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM entries WHERE service = ?")?.execute([service.as_str()])?;
    db.prepare_cached("INSERT OR REPLACE INTO logs (service, epoch, seq, state) VALUES (?, ?, ?, ?)")?.execute(params![
        service.as_str(),
        bits(log.epoch.0),
        bits(log.seq.0),
        pack(&log.state)?
    ])?;
    Ok(())
}

fn log(db: &Connection, service: &Name) -> rusqlite::Result<Log<Book>> {
    let mut whole = db
        .prepare_cached("SELECT * FROM logs WHERE service = ?")?
        .query_row([service.as_str()], |row| {
            Ok(Log { epoch: Epoch(number(row, "epoch")?), seq: Seq(number(row, "seq")?), state: unpack(row, "state")? })
        })
        .optional()?
        .unwrap_or_default();
    let mut statement = db.prepare_cached("SELECT * FROM entries WHERE service = ? ORDER BY seq")?;
    let entries = statement
        .query_map([service.as_str()], |row| Ok((Epoch(number(row, "epoch")?), Seq(number(row, "seq")?), unpack::<Line>(row, "entry")?)))?;
    for entry in entries {
        let (epoch, seq, entry) = entry?;
        // A term that has begun since is written down already, and terms only grow.
        let epoch = epoch.max(whole.epoch);
        whole.take_in(&Record::Appended { epoch, seq, entry });
    }
    Ok(whole)
}

/// The logs, by service.
pub fn logs(db: &Connection) -> rusqlite::Result<Vec<(Name, Log<Book>)>> {
    let mut statement = db.prepare("SELECT service FROM logs UNION SELECT service FROM entries ORDER BY service")?;
    let services: Vec<Name> = statement.query_map([], |row| name(row, "service"))?.collect::<rusqlite::Result<_>>()?;
    services.into_iter().map(|service| Ok((service.clone(), log(db, &service)?))).collect()
}

/// The votes, by service.
pub fn votes(db: &Connection) -> rusqlite::Result<Vec<(Name, Vote)>> {
    let mut statement = db.prepare("SELECT * FROM votes ORDER BY service")?;
    let rows = statement.query_map([], |row| Ok((name(row, "service")?, unpack(row, "vote")?)))?;
    rows.collect()
}
