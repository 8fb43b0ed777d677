//! The tables, and how an older file becomes a newer one: one step per version, each in one transaction.

use rusqlite::Connection;

/// Step `i` makes version `i + 1`.
pub const STEPS: &[&str] = &[
    "
    CREATE TABLE meta (
        id       INTEGER PRIMARY KEY CHECK (id = 1),
        node     INTEGER NOT NULL,
        epoch    INTEGER NOT NULL,
        boot     TEXT NOT NULL,
        proc_max INTEGER NOT NULL
    ) STRICT;
    INSERT INTO meta VALUES (1, 1, 0, '', 0);
    CREATE TABLE processes (
        name    TEXT PRIMARY KEY,
        node    INTEGER NOT NULL,
        proc    INTEGER NOT NULL UNIQUE,
        inc     INTEGER NOT NULL,
        nonce   BLOB NOT NULL,
        pid     INTEGER NOT NULL,
        uid     INTEGER NOT NULL,
        gid     INTEGER NOT NULL,
        started INTEGER NOT NULL,
        service TEXT,
        grouped INTEGER NOT NULL,
        role    TEXT NOT NULL,
        ended   INTEGER NOT NULL,
        program TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE controls (
        source    TEXT NOT NULL,
        name      TEXT NOT NULL,
        version   INTEGER NOT NULL,
        value     BLOB NOT NULL,
        memorized INTEGER NOT NULL,
        PRIMARY KEY (source, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE changes (
        seq        INTEGER PRIMARY KEY AUTOINCREMENT,
        request_id TEXT NOT NULL UNIQUE,
        request    TEXT NOT NULL,
        result     BLOB NOT NULL,
        who        TEXT NOT NULL,
        uid        INTEGER NOT NULL,
        reason     TEXT,
        at         INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE outages (
        id     INTEGER PRIMARY KEY,
        outage BLOB NOT NULL
    ) STRICT;
    CREATE TABLE terms (
        service TEXT PRIMARY KEY,
        epoch   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE processes ADD COLUMN cause BLOB;
    ALTER TABLE processes ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE processes ADD COLUMN term INTEGER NOT NULL DEFAULT 0;
    -- Who had taken its leave was marked so by its role.
    UPDATE processes SET cause = X'AC756E72656769737465726564' WHERE ended AND service IS NOT NULL AND role = 'importer';
    ALTER TABLE outages ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
",
    "
    ALTER TABLE meta ADD COLUMN store INTEGER NOT NULL DEFAULT 0;
    UPDATE meta SET store = random();
    CREATE TABLE votes (
        service TEXT PRIMARY KEY,
        vote    BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- Each log as it was when it was last written as a whole, in the term that it is in now,
    CREATE TABLE logs (
        service TEXT PRIMARY KEY,
        epoch   INTEGER NOT NULL,
        seq     INTEGER NOT NULL,
        state   BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- and what came since.
    CREATE TABLE entries (
        service TEXT NOT NULL,
        seq     INTEGER NOT NULL,
        epoch   INTEGER NOT NULL,
        entry   BLOB NOT NULL,
        PRIMARY KEY (service, seq)
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE calls (
        seq        INTEGER PRIMARY KEY AUTOINCREMENT,
        request_id TEXT NOT NULL UNIQUE,
        call       BLOB NOT NULL
    ) STRICT;
",
    "
    -- Whether a change stays,
    ALTER TABLE changes ADD COLUMN keep BLOB;
    -- and those of which that is not known yet, each with what it changed.
    CREATE TABLE unsettled (
        request_id TEXT PRIMARY KEY,
        entry      BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE processes ADD COLUMN number INTEGER;
",
    "
    -- Who votes on who leads, as numbers of CPUs with commas, and whether this store was made when they had not voted yet.
    ALTER TABLE meta ADD COLUMN voters TEXT NOT NULL DEFAULT '';
    ALTER TABLE meta ADD COLUMN founding INTEGER NOT NULL DEFAULT 0;
",
];

/// The newest version.
pub const NEWEST: i64 = STEPS.len() as i64;

/// Brings the file up to [`NEWEST`]; does nothing if it is there or beyond. Answers the version that it found.
pub fn migrate(db: &mut Connection) -> rusqlite::Result<i64> {
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (done, step) in (1i64..).zip(STEPS) {
        if found < done {
            let step_in_one = db.transaction()?;
            step_in_one.execute_batch(step)?;
            step_in_one.pragma_update(None, "user_version", done)?;
            step_in_one.commit()?;
        }
    }
    Ok(found)
}
