//! Records as rows and rows as records. A row that makes no sense is an error, never a guess.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tif_core::agent::io::{ChangeRecord, ControlRecord, ProcessRecord, Record};
use tif_core::limits::{CALLS_KEPT_MAX, OUTAGES_KEPT_MAX, PROCESS_NUMBERS_AHEAD, RESULTS_KEPT_MAX};
use tif_core::machine::book::{Entry, Unsettled};
use tif_core::machine::calls::CallRecord;
use tif_core::machine::confirm::Keep;
use tif_core::model::{Epoch, Incarnation, Key, MemberNumber, Name, NodeId, Outage, ProcId, RequestId, Role, Stamp, Version};
use tif_core::wire::Credentials;

use super::logs;

/// SQLite's whole numbers are signed: the same 64 bits, read the other way.
pub(super) fn bits(number: u64) -> i64 {
    number as i64
}

pub(super) fn number(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|n| n as u64)
}

fn nonsense(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, Box::new(error))
}

pub(super) fn pack<T: Serialize>(value: &T) -> rusqlite::Result<Vec<u8>> {
    rmp_serde::to_vec(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

pub(super) fn unpack<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    rmp_serde::from_slice(&row.get::<_, Vec<u8>>(column)?).map_err(nonsense)
}

pub(super) fn name(row: &Row<'_>, column: &str) -> rusqlite::Result<Name> {
    Name::try_from(row.get::<_, String>(column)?).map_err(nonsense)
}

const ROLES: [Role; 5] = [Role::Importer, Role::Solo, Role::Standby, Role::ToBePrimary, Role::Primary];

fn role(row: &Row<'_>) -> rusqlite::Result<Role> {
    let word: String = row.get("role")?;
    ROLES.into_iter().find(|r| r.word() == word).ok_or_else(|| nonsense(std::io::Error::other(format!("no role {word:?}"))))
}

/// Writes one record. The caller holds the transaction.
pub fn write(db: &Connection, record: &Record) -> rusqlite::Result<()> {
    match record {
        Record::Process(process) => write_process(db, process),
        Record::Change(entry @ Entry { controls, change }) => {
            controls.iter().try_for_each(|control| write_control(db, control))?;
            write_change(db, change)?;
            write_unsettled(db, entry)
        }
        Record::Call(call) => write_call(db, call),
        Record::NotCalled(id) => {
            db.prepare_cached("DELETE FROM calls WHERE request_id = ?")?.execute([id.as_str()])?;
            Ok(())
        }
        Record::Forget { source, but } => forget(db, source, but),
        Record::Outage { outage, told } => write_outage(db, outage, *told),
        Record::Vote { service, vote } => logs::write_vote(db, service, vote),
        Record::Replicated { service, record } => logs::write(db, service, record),
        Record::Term { service, epoch, leader } => {
            db.prepare_cached("INSERT OR REPLACE INTO terms (service, epoch) VALUES (?, ?)")?
                .execute(params![service.as_str(), bits(epoch.0)])?;
            leader.as_ref().map_or(Ok(()), |leader| write_process(db, leader))
        }
    }
}

fn write_process(db: &Connection, p: &ProcessRecord) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO processes
         (name, node, proc, inc, nonce, pid, uid, gid, started, service, grouped, role, ended, program, cause, since, term, number)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        p.name.as_str(),
        p.key.node.0,
        bits(p.key.proc.0),
        bits(p.key.inc.0),
        p.nonce.to_le_bytes().as_slice(),
        p.credentials.pid,
        p.credentials.uid,
        p.credentials.gid,
        bits(p.credentials.started),
        p.service.as_ref().map(Name::as_str),
        p.grouped,
        p.role.word(),
        p.ended,
        p.program,
        p.cause.as_ref().map(pack).transpose()?,
        bits(p.since.0),
        bits(p.term.0),
        p.number.map(|number| number.0),
    ])?;
    let ahead = p.key.proc.0.saturating_add(PROCESS_NUMBERS_AHEAD);
    db.prepare_cached("UPDATE meta SET proc_max = max(proc_max, ?)")?.execute([bits(ahead)])?;
    Ok(())
}

fn write_control(db: &Connection, c: &ControlRecord) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO controls (source, name, version, value, memorized) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![c.source.as_str(), c.name, bits(c.version.0), pack(&c.value)?, c.memorized])?;
    Ok(())
}

// spec: CTL-8
fn write_change(db: &Connection, c: &ChangeRecord) -> rusqlite::Result<()> {
    let keep = if c.keep == Keep::ForGood { None } else { Some(pack(&c.keep)?) };
    db.prepare_cached(
        "INSERT OR REPLACE INTO changes (request_id, request, result, who, uid, reason, at, keep) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![c.request_id.as_str(), c.request, pack(&c.result)?, c.who.as_str(), c.uid, c.reason, bits(c.at.0), keep])?;
    let oldest = db.last_insert_rowid().saturating_sub(i64::try_from(RESULTS_KEPT_MAX).unwrap_or(i64::MAX));
    db.prepare_cached("DELETE FROM changes WHERE seq <= ?")?.execute([oldest])?;
    Ok(())
}

// spec: CTL-6
fn forget(db: &Connection, source: &Name, but: &[String]) -> rusqlite::Result<()> {
    let mut volatile = db.prepare_cached("SELECT name FROM controls WHERE source = ? AND NOT memorized")?;
    let names: Vec<String> = volatile.query_map([source.as_str()], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut delete = db.prepare_cached("DELETE FROM controls WHERE source = ? AND name = ?")?;
    names.iter().filter(|name| !but.contains(name)).try_for_each(|name| delete.execute([source.as_str(), name]).map(drop))
}

fn write_unsettled(db: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    match &entry.change.keep {
        Keep::ForGood => Ok(()),
        Keep::Until(_) => {
            db.prepare_cached("INSERT OR REPLACE INTO unsettled (request_id, entry) VALUES (?, ?)")?
                .execute(params![entry.change.request_id.as_str(), pack(entry)?])?;
            Ok(())
        }
        Keep::Settles(id, _) => {
            db.prepare_cached("DELETE FROM unsettled WHERE request_id = ?")?.execute([id.as_str()])?;
            Ok(())
        }
    }
}

/// Begun is an entry without an outcome; its outcome leaves it in its place.
// spec: TST-4
fn write_call(db: &Connection, call: &CallRecord) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO calls (request_id, call) VALUES (?, ?) ON CONFLICT (request_id) DO UPDATE SET call = excluded.call")?
        .execute(params![call.request_id.as_str(), pack(call)?])?;
    let max = i64::try_from(CALLS_KEPT_MAX).unwrap_or(i64::MAX);
    db.prepare_cached("DELETE FROM calls WHERE seq <= (SELECT max(seq) FROM calls) - ?")?.execute([max])?;
    Ok(())
}

fn write_outage(db: &Connection, outage: &Outage, told: u64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO outages (id, outage, told) VALUES (?, ?, ?)")?.execute(params![
        bits(outage.id.0),
        pack(outage)?,
        bits(told)
    ])?;
    let count: u64 = db.prepare_cached("SELECT count(*) FROM outages")?.query_row([], |row| row.get::<_, i64>(0)).map(|n| n as u64)?;
    for _ in OUTAGES_KEPT_MAX as u64..count {
        let oldest = outage_to_go(db)?;
        db.prepare_cached("DELETE FROM outages WHERE id = ?")?.execute([oldest])?;
    }
    Ok(())
}

/// The oldest ended one; if none has ended, the oldest: what the core has no room for goes here, too. Usually the first row that is looked at.
// spec: OUT-4, MON-7
fn outage_to_go(db: &Connection) -> rusqlite::Result<Option<i64>> {
    let mut statement = db.prepare_cached("SELECT * FROM outages ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut oldest = None;
    while let Some(row) = rows.next()? {
        let outage: Outage = unpack(row, "outage")?;
        if outage.end.is_some() {
            return Ok(Some(bits(outage.id.0)));
        }
        oldest.get_or_insert(bits(outage.id.0));
    }
    Ok(oldest)
}

/// The outages, oldest first.
pub fn outages(db: &Connection) -> rusqlite::Result<Vec<(Outage, u64)>> {
    let mut statement = db.prepare("SELECT * FROM outages ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((unpack(row, "outage")?, number(row, "told")?)))?;
    rows.collect()
}

/// The processes, by name.
pub fn processes(db: &Connection) -> rusqlite::Result<Vec<ProcessRecord>> {
    let mut statement = db.prepare("SELECT * FROM processes ORDER BY name")?;
    let rows = statement.query_map([], |row| {
        let nonce: Vec<u8> = row.get("nonce")?;
        Ok(ProcessRecord {
            name: name(row, "name")?,
            key: Key { node: NodeId(row.get("node")?), proc: ProcId(number(row, "proc")?), inc: Incarnation(number(row, "inc")?) },
            nonce: u128::from_le_bytes(nonce.as_slice().try_into().map_err(nonsense)?),
            credentials: Credentials { pid: row.get("pid")?, uid: row.get("uid")?, gid: row.get("gid")?, started: number(row, "started")? },
            service: row.get::<_, Option<String>>("service")?.map(Name::try_from).transpose().map_err(nonsense)?,
            grouped: row.get("grouped")?,
            role: role(row)?,
            term: Epoch(number(row, "term")?),
            number: row.get::<_, Option<u32>>("number")?.map(MemberNumber),
            ended: row.get("ended")?,
            program: row.get("program")?,
            cause: row.get::<_, Option<Vec<u8>>>("cause")?.map(|bytes| rmp_serde::from_slice(&bytes).map_err(nonsense)).transpose()?,
            since: Stamp(number(row, "since")?),
        })
    })?;
    rows.collect()
}

/// The controls, by source and name.
pub fn controls(db: &Connection) -> rusqlite::Result<Vec<ControlRecord>> {
    let mut statement = db.prepare("SELECT * FROM controls ORDER BY source, name")?;
    let rows = statement.query_map([], |row| {
        Ok(ControlRecord {
            source: name(row, "source")?,
            name: row.get("name")?,
            version: Version(number(row, "version")?),
            value: unpack(row, "value")?,
            memorized: row.get("memorized")?,
        })
    })?;
    rows.collect()
}

/// The changes, oldest first.
pub fn changes(db: &Connection) -> rusqlite::Result<Vec<ChangeRecord>> {
    let mut statement = db.prepare("SELECT * FROM changes ORDER BY seq")?;
    let rows = statement.query_map([], |row| {
        Ok(ChangeRecord {
            request_id: RequestId::try_from(row.get::<_, String>("request_id")?).map_err(nonsense)?,
            request: row.get("request")?,
            result: unpack(row, "result")?,
            who: name(row, "who")?,
            uid: row.get("uid")?,
            reason: row.get("reason")?,
            at: Stamp(number(row, "at")?),
            keep: match row.get::<_, Option<Vec<u8>>>("keep")? {
                Some(keep) => rmp_serde::from_slice(&keep).map_err(nonsense)?,
                None => Keep::ForGood,
            },
        })
    })?;
    rows.collect()
}

/// The changes that wait to be confirmed.
pub fn unsettled(db: &Connection) -> rusqlite::Result<Unsettled> {
    let mut statement = db.prepare("SELECT entry FROM unsettled ORDER BY request_id")?;
    let rows = statement.query_map([], |row| unpack(row, "entry"))?;
    rows.collect()
}

/// The calls, in the order in which they began.
pub fn calls(db: &Connection) -> rusqlite::Result<Vec<CallRecord>> {
    let mut statement = db.prepare("SELECT * FROM calls ORDER BY seq")?;
    let rows = statement.query_map([], |row| unpack(row, "call"))?;
    rows.collect()
}

/// The terms, by service.
pub fn terms(db: &Connection) -> rusqlite::Result<Vec<(Name, Epoch)>> {
    let mut statement = db.prepare("SELECT * FROM terms ORDER BY service")?;
    let rows = statement.query_map([], |row| Ok((name(row, "service")?, Epoch(number(row, "epoch")?))))?;
    rows.collect()
}
