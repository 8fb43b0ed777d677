//! The store in one SQLite file, `state.db`: write-ahead log, every commit synced to the disk before it counts.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use tif_core::agent::io::Record;
use tif_core::limits::{PROCESS_NUMBERS_AHEAD, PROCESSES_MAX};
use tif_core::model::NodeId;

use super::trouble::{self, Trouble};
use super::{Place, Remembered, StateStore, StoreError, logs, migrations, rows};

/// A store in a file.
#[derive(Debug)]
pub struct Sqlite {
    db: Connection,
    path: PathBuf,
    unused: bool,
}

impl Sqlite {
    /// Opens `state.db` in the directory, or makes it if there is none.
    ///
    /// A new file gets its name only when it is complete: so an agent that was killed while making it leaves nothing that looks like a
    /// damaged one, and a file that is empty or cut is always damage.
    ///
    /// # Errors
    /// If the file is damaged, newer, or cannot be read. It is as before.
    pub fn open(dir: &Path) -> Result<Sqlite, StoreError> {
        let path = dir.join("state.db");
        if !path.exists() {
            create(dir, &path, false)?;
        }
        let database = |what| failed(path.clone(), what);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if fs::metadata(&path).is_ok_and(|m| m.len() == 0) {
            return Err(StoreError::Damaged { path, what: "it is empty".into() });
        }
        let mut db = Connection::open_with_flags(&path, flags).map_err(database("cannot be opened"))?;
        check(&db, &path)?;
        let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(database("cannot be read"))?;
        if version > migrations::NEWEST {
            return Err(StoreError::Newer { path, found: version, known: migrations::NEWEST });
        }
        if version == 0 {
            return Err(StoreError::Damaged { path, what: "it holds no state of an agent".into() });
        }
        durably(&db).map_err(database("cannot be made durable"))?;
        migrations::migrate(&mut db).map_err(database("cannot be brought up to date"))?;
        prune(&db, PROCESSES_MAX).map_err(database("cannot be pruned"))?;
        let unused = db.query_row("SELECT epoch = 0 FROM meta", [], |row| row.get(0)).map_err(database("cannot be read"))?;
        Ok(Sqlite { db, path, unused })
    }

    /// No agent has started with it yet: this is the first start, or the store was lost.
    pub fn is_new(&self) -> bool {
        self.unused
    }

    /// Makes the store of a CPU that is among the founders of a system: no voter has ever voted. Whoever lost a store and makes another in this way forgets
    /// what it has promised.
    ///
    /// # Errors
    /// If there is one, or none can be made. What is there is as before.
    // spec: GRP-9
    pub fn found(dir: &Path, place: &Place) -> Result<(), StoreError> {
        let path = dir.join("state.db");
        if path.exists() {
            return Err(StoreError::NotFirst { path });
        }
        create(dir, &path, true)?;
        Sqlite::open(dir)?.settle(place)
    }

    /// Where in a system its CPU is, before its agent's first start; afterwards it stays.
    ///
    /// # Errors
    /// If it has another place by now.
    pub fn settle(&mut self, asked: &Place) -> Result<(), StoreError> {
        let voters: Vec<String> = asked.voters.iter().map(|node| node.0.to_string()).collect();
        let values = rusqlite::params![asked.node.0, voters.join(",")];
        self.db.execute("UPDATE meta SET node = ?, voters = ? WHERE epoch = 0", values).map_err(self.error("cannot be written"))?;
        let row = self.db.query_row("SELECT node, voters FROM meta", [], |row| Ok((NodeId(row.get(0)?), row.get::<_, String>(1)?)));
        let (node, voters) = row.map_err(self.error("cannot be read"))?;
        let voters = voters.split(',').filter(|text| !text.is_empty()).map(|text| text.parse().map(NodeId));
        let voters = voters.collect::<Result<_, _>>();
        let voters = voters.map_err(|_| StoreError::Damaged { path: self.path.clone(), what: "its voters are no numbers".into() })?;
        let is = Place { node, voters };
        if is == *asked { Ok(()) } else { Err(StoreError::OtherPlace { path: self.path.clone(), is, asked: asked.clone() }) }
    }

    fn error(&self, what: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError + use<> {
        failed(self.path.clone(), what)
    }
}

/// What an error of the database means: that the file is damaged, or that it cannot be used now.
fn failed(path: PathBuf, what: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |source| {
        if trouble::is_damage(&source) {
            return StoreError::Damaged { path, what: source.to_string() };
        }
        let trouble = Trouble::of(&source, path.parent().unwrap_or(&path));
        StoreError::Database { path, what, trouble, source }
    }
}

fn create(dir: &Path, path: &Path, founding: bool) -> Result<(), StoreError> {
    let io = |what| move |source| StoreError::Io { path: path.to_owned(), what, trouble: Trouble::of_io(&source), source };
    let database = |source| failed(path.to_owned(), "cannot be made")(source);
    let making = dir.join("state.db.new");
    for rest in ["", "-journal", "-wal", "-shm"] {
        // What an earlier attempt left; usually nothing.
        let _ = fs::remove_file(dir.join(format!("state.db.new{rest}")));
    }
    let mut db = Connection::open(&making).map_err(database)?;
    db.pragma_update(None, "synchronous", "FULL").map_err(database)?;
    migrations::migrate(&mut db).map_err(database)?;
    db.execute("UPDATE meta SET founding = ?", [founding]).map_err(database)?;
    db.close().map_err(|(_, source)| database(source))?;
    File::open(&making).and_then(|f| f.sync_all()).map_err(io("cannot be made durable"))?;
    fs::rename(&making, path).map_err(io("cannot be put in place"))?;
    File::open(dir).and_then(|d| d.sync_all()).map_err(io("cannot be made durable"))
}

/// Whether what stands in the file makes sense.
fn check(db: &Connection, path: &Path) -> Result<(), StoreError> {
    let answer = db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match answer.map_err(failed(path.to_owned(), "cannot be read"))?.as_str() {
        "ok" => Ok(()),
        what => Err(StoreError::Damaged { path: path.to_owned(), what: what.to_owned() }),
    }
}

fn durably(db: &Connection) -> rusqlite::Result<()> {
    // Another program that looks into the file may hold it for a moment.
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")
}

/// Keeps the names of at most `max` processes; the dead ones of the oldest keys go first. An importer that died while no agent ran was never written
/// down as dead; one whose key is of a life of the agent before the last is taken for such. If it lives after all, it registers anew.
fn prune(db: &Connection, max: usize) -> rusqlite::Result<()> {
    let count: i64 = db.query_row("SELECT count(*) FROM processes", [], |row| row.get(0))?;
    let over = count - i64::try_from(max).unwrap_or(i64::MAX);
    if over > 0 {
        db.execute(
            "DELETE FROM processes WHERE name IN (
                 SELECT name FROM processes
                 WHERE ended OR (service IS NULL AND (inc >> 32) < (SELECT epoch FROM meta))
                 ORDER BY ended DESC, inc LIMIT ?)",
            [over],
        )?;
    }
    Ok(())
}

impl StateStore for Sqlite {
    // spec: PSM-1
    fn begin(&mut self, least: u32, boot: &str) -> Result<u32, StoreError> {
        let error = self.error("cannot count the agent's start");
        let (last,): (u32,) = match self.db.query_row("SELECT epoch FROM meta", [], |row| Ok((row.get(0)?,))) {
            Ok(last) => last,
            Err(source) => return Err(error(source)),
        };
        let epoch = last.checked_add(1).ok_or(StoreError::Refused("the agent's epochs are used up"))?.max(least);
        let ahead = i64::try_from(PROCESS_NUMBERS_AHEAD).unwrap_or(i64::MAX);
        let values = rusqlite::params![epoch, boot, ahead];
        self.db.execute("UPDATE meta SET epoch = ?, boot = ?, proc_max = proc_max + ?", values).map_err(error)?;
        Ok(epoch)
    }

    fn load(&mut self) -> Result<Remembered, StoreError> {
        let read = |db: &Connection| {
            let meta = "SELECT node, boot, proc_max, store, founding FROM meta";
            let (node, boot, proc_max, store, founding) = db.query_row(meta, [], |row| {
                Ok((NodeId(row.get(0)?), row.get(1)?, row.get::<_, i64>(2)? as u64, row.get::<_, i64>(3)? as u64, row.get(4)?))
            })?;
            Ok(Remembered {
                node,
                boot,
                proc_max,
                processes: rows::processes(db)?,
                controls: rows::controls(db)?,
                changes: rows::changes(db)?,
                unsettled: rows::unsettled(db)?,
                calls: rows::calls(db)?,
                terms: rows::terms(db)?,
                outages: rows::outages(db)?,
                store,
                founding,
                votes: logs::votes(db)?,
                logs: logs::logs(db)?,
            })
        };
        read(&self.db).map_err(self.error("cannot be read"))
    }

    fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let error = self.error("cannot be written");
        let write = |db: &mut Connection| {
            let transaction = db.transaction()?;
            for record in records {
                rows::write(&transaction, record)?;
            }
            transaction.commit()
        };
        write(&mut self.db).map_err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{self, Again};

    // spec: CTL-8, MON-7
    #[test]
    fn a_store_in_a_file_keeps_the_contract() {
        conformance::suite(|| {
            let dir = tempfile::tempdir().unwrap();
            let again: Again = Box::new(move || Box::new(Sqlite::open(dir.path()).unwrap()));
            again
        });
    }

    fn damaged(spoil: impl FnOnce(&Path)) -> StoreError {
        let dir = tempfile::tempdir().unwrap();
        drop(Sqlite::open(dir.path()).unwrap());
        spoil(&dir.path().join("state.db"));
        let before = fs::read(dir.path().join("state.db")).unwrap();
        let error = Sqlite::open(dir.path()).unwrap_err();
        assert_eq!(before, fs::read(dir.path().join("state.db")).unwrap(), "a refused file is left as it is");
        error
    }

    // spec: MON-7, PSM-1
    #[test]
    fn a_damaged_file_is_refused_with_what_to_do_and_never_begun_anew() {
        let spoils: [fn(&Path); 3] = [
            |path| fs::write(path, b"").unwrap(),
            |path| fs::write(path, b"these are not the bytes of a database, however many there are of them").unwrap(),
            |path| {
                let mut bytes = fs::read(path).unwrap();
                bytes[4096..8192].fill(0xa5);
                fs::write(path, bytes).unwrap();
            },
        ];
        for spoil in spoils {
            let error = damaged(spoil);
            assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
            assert!(error.to_string().contains("Put a copy of the file back"), "{error}");
        }
    }

    #[test]
    fn a_file_of_a_newer_agent_is_refused() {
        let error = damaged(|path| Connection::open(path).unwrap().pragma_update(None, "user_version", 99).unwrap());
        assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error:?}");
    }

    #[test]
    fn what_a_killed_first_start_left_behind_does_not_matter() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("state.db.new"), b"half of it").unwrap();
        let mut store = Sqlite::open(dir.path()).unwrap();
        assert!(store.is_new());
        store.begin(1, "boot").unwrap();
        assert!(!Sqlite::open(dir.path()).unwrap().is_new());
    }

    // spec: SEC-3, MON-7
    #[test]
    fn a_sound_file_that_cannot_be_used_now_is_not_called_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        drop(Sqlite::open(dir.path()).unwrap());
        let other = Connection::open(&path).unwrap();
        other.pragma_update(None, "locking_mode", "EXCLUSIVE").unwrap();
        other.execute("UPDATE meta SET node = 1", []).unwrap();
        let error = Sqlite::open(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Database { trouble: Trouble::Held, .. }), "{error:?}");
        assert!(error.to_string().contains("another program holds the file"), "{error}");
        drop(other);
        drop(Sqlite::open(dir.path()).unwrap());
        // A name that no file can be made under, whoever asks.
        let error = Sqlite::open(Path::new("/proc/self/fdinfo")).unwrap_err();
        assert!(matches!(error, StoreError::Database { trouble: Trouble::Forbidden, .. }), "{error:?}");
    }

    fn place(node: u32, voters: &[u32]) -> Place {
        Place { node: NodeId(node), voters: voters.iter().copied().map(NodeId).collect() }
    }

    // spec: PSM-1, GRP-9
    #[test]
    fn a_store_stays_in_the_place_where_its_agent_first_started() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Sqlite::open(dir.path()).unwrap();
        store.settle(&place(2, &[])).unwrap();
        store.settle(&place(3, &[1, 2, 3])).unwrap();
        store.begin(1, "boot").unwrap();
        for other in [place(2, &[1, 2, 3]), place(3, &[]), place(3, &[1, 3])] {
            let error = store.settle(&other).unwrap_err().to_string();
            assert!(error.contains("`node = 3` and `voters = [1, 2, 3]`"), "{error}");
        }
        store.settle(&place(3, &[3, 2, 1])).unwrap();
        let remembered = store.load().unwrap();
        assert_eq!((remembered.node, remembered.founding), (NodeId(3), false));
    }

    // spec: GRP-9
    #[test]
    fn who_founds_a_system_has_no_store_yet_and_knows_it_ever_after() {
        let dir = tempfile::tempdir().unwrap();
        Sqlite::found(dir.path(), &place(1, &[1, 2, 3])).unwrap();
        let mut store = Sqlite::open(dir.path()).unwrap();
        store.begin(1, "boot").unwrap();
        assert!(store.load().unwrap().founding);
        assert!(store.is_new() && !Sqlite::open(dir.path()).unwrap().is_new());
        drop(store);
        let error = Sqlite::found(dir.path(), &place(1, &[1, 2, 3])).unwrap_err();
        assert!(matches!(error, StoreError::NotFirst { .. }), "{error:?}");
    }

    // spec: SEC-2, MON-7
    #[test]
    fn of_too_many_processes_the_dead_go_and_then_importers_of_former_lives_of_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Sqlite::open(dir.path()).unwrap();
        store.begin(3, "boot").unwrap();
        let of = |name: &str, epoch: u32, proc: u64, exports: bool, ended: bool| {
            let mut p = conformance::process(name, proc);
            p.key.inc = tif_core::model::Incarnation::new(epoch, proc as u32);
            (p.ended, p.service) = (ended, p.service.filter(|_| exports));
            Record::Process(p)
        };
        let records = [
            of("exporter", 1, 1, true, false),
            of("former-1", 1, 2, false, false),
            of("former-2", 2, 3, false, false),
            of("latest", 3, 4, false, false),
            of("dead", 3, 5, true, true),
        ];
        store.commit(&records).unwrap();
        let mut left = |max| {
            prune(&store.db, max).unwrap();
            store.load().unwrap().processes.into_iter().map(|p| p.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(left(5).len(), 5);
        assert_eq!(left(4), ["exporter", "former-1", "former-2", "latest"]);
        assert_eq!(left(3), ["exporter", "former-2", "latest"]);
        assert_eq!(left(1), ["exporter", "latest"], "who may live is kept");
    }

    // spec: SEC-3
    #[test]
    fn a_full_disk_fails_the_commit_and_leaves_the_store_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Sqlite::open(dir.path()).unwrap();
        store.begin(1, "boot").unwrap();
        let pages: i64 = store.db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        store.db.pragma_update(None, "max_page_count", pages).unwrap();
        let many: Vec<Record> = (0..500).map(|i| Record::Process(conformance::process(&format!("p-{i}"), i + 1))).collect();
        let error = store.commit(&many).unwrap_err();
        assert!(matches!(error, StoreError::Database { trouble: Trouble::Full, .. }), "{error:?}");
        assert!(error.in_brief().contains("make room on the disk"), "{}", error.in_brief());
        assert_eq!(store.load().unwrap().processes, []);
        store.db.pragma_update(None, "max_page_count", 1 << 20).unwrap();
        store.commit(&many).unwrap();
        assert_eq!(store.load().unwrap().processes.len(), 500);
    }
}
