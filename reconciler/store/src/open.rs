//! Opening the database file: who may read it, who else has it, whether it is sound.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::migrate::migrate;

/// Why the database was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Everybody on the machine could read or write it.
    #[error(
        "{path} has mode {mode:03o}, which lets every user of this machine in; \
         run `chmod 600 {path}` and consider what it holds as seen"
    )]
    Exposed {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process has it open.
    #[error("{path} is in use by another lockstepd; stop that one first")]
    InUse {
        /// The database.
        path: String,
    },
    /// It is on a file system whose locks cannot be trusted.
    #[error("{path} is on a network file system, which can lose writes; use a local disk")]
    NetworkFileSystem {
        /// The database.
        path: String,
    },
    /// Another program made it.
    #[error("this is the database of another program (application id {application_id})")]
    NotOurs {
        /// The id found in its header.
        application_id: i32,
    },
    /// A newer version of this program made it.
    #[error(
        "its schema is number {found}, this version knows {present}; \
         start the version that made it, or a newer one"
    )]
    Newer {
        /// The schema found.
        found: i64,
        /// The newest schema known.
        present: i64,
    },
    /// An applied migration differs from the one of that number here.
    #[error("migration {name} was applied in another wording; this program does not belong to it")]
    Migration {
        /// The migration.
        name: String,
    },
    /// The check after an unclean stop found damage.
    #[error("{path} is damaged: {problem}; restore it from a backup")]
    Damaged {
        /// The database.
        path: String,
        /// What the check said.
        problem: String,
    },
    /// The file could not be reached.
    #[error("cannot open {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The database engine refused.
    #[error("cannot open the database: {source}")]
    Database {
        /// What it said.
        #[from]
        source: rusqlite::Error,
    },
}

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const STATEMENTS_CACHED: usize = 256;
/// Of the database, in the memory of the writer.
const CACHED_KIB: i64 = 8 * 1024;
/// Pages in the write-ahead log from which on they are carried over to the database. The pages that
/// every batch writes are carried over once for all of them.
const CHECKPOINT_PAGES: i64 = 4_000;

/// The connection that writes, and the lock that makes it the only one.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    /// Held until the connection is closed.
    pub(crate) lock: File,
}

/// Takes the lock and opens the database for writing, creating it if need be.
pub(crate) fn open_writer(path: &Path) -> Result<Opened, OpenError> {
    let created = create_private(path)?;
    refuse_exposed(path)?;
    refuse_network(path)?;
    let lock = lock_beside(path)?;
    if created {
        // Makes the new directory entry durable; SQLite does so for its WAL only.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let dir = File::open(parent.unwrap_or(Path::new("."))).map_err(|e| failed(path, e))?;
        dir.sync_all().map_err(|error| failed(path, error))?;
    }
    let unclean = wal_is_left(path);
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What undoing one piece of work of a batch takes is kept in memory, not in a file beside.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -CACHED_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    if unclean {
        tracing::warn!(path = %path.display(), "the last stop was unclean; checking the database");
        quick_check(&connection, path)?;
    }
    migrate(&mut connection)?;
    end_leases(&connection)?;
    wake_promotions(&connection)?;
    Ok(Opened { connection, lock })
}

/// Ends every lease and makes its key due at once: whoever held one had the lock, and is gone. Their
/// epochs stay, so that nothing they still send is taken.
fn end_leases(connection: &Connection) -> rusqlite::Result<()> {
    let ended = connection.execute(
        "UPDATE wakeup SET lease_owner = NULL, woken_at = NULL, due_at = 0 \
         WHERE lease_owner IS NOT NULL",
        [],
    )?;
    if ended > 0 {
        tracing::info!(ended, "work that the last process left is taken up again");
    }
    Ok(())
}

/// Makes every promotion that is not over due at once. What waits for others has no wake-up of its own, and the
/// program that parked it may have been an older one, which knew of no end to its wait.
fn wake_promotions(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO wakeup (key, due_at, lease_owner, epoch, woken_at) \
         SELECT 'promotion/' || project || '/' || id, 0, NULL, 0, NULL \
         FROM promotion WHERE ended_at IS NULL \
         ON CONFLICT (key) DO UPDATE SET due_at = 0",
        [],
    )?;
    Ok(())
}

/// Opens the database for reading only.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn connect(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A plan that depends on the values of parameters is made anew at each execution.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    Ok(connection)
}

/// Makes the file, readable by its owner only; the files beside it inherit its mode.
fn create_private(path: &Path) -> Result<bool, OpenError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(path, error)),
    }
}

fn refuse_exposed(path: &Path) -> Result<(), OpenError> {
    for path in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        let mode = match path.metadata() {
            Ok(metadata) => metadata.permissions().mode() & 0o777,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&path, error)),
        };
        if mode & 0o007 != 0 {
            return Err(OpenError::Exposed { path: path.display().to_string(), mode });
        }
    }
    Ok(())
}

/// WAL needs shared memory and locks that work; network file systems promise neither.
#[cfg(target_os = "linux")]
fn refuse_network(path: &Path) -> Result<(), OpenError> {
    const NFS: u32 = 0x6969;
    const SMB: u32 = 0x517b;
    const CIFS: u32 = 0xff53_4d42;
    const SMB2: u32 = 0xfe53_4d42;
    let found = rustix::fs::statfs(path).map_err(|error| failed(path, error.into()))?;
    // The type is a 32-bit magic number in a field whose width and sign differ by platform.
    let magic = u32::try_from(i128::from(found.f_type) & 0xffff_ffff).unwrap_or(0);
    if [NFS, SMB, CIFS, SMB2].contains(&magic) {
        return Err(OpenError::NetworkFileSystem { path: path.display().to_string() });
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_: &Path) -> Result<(), OpenError> {
    Ok(())
}

/// The lock is on a file of its own: SQLite's locks on the database would be dropped by closing
/// any other handle of it in this process.
fn lock_beside(path: &Path) -> Result<File, OpenError> {
    let beside = beside(path, ".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&beside)
        .map_err(|error| failed(&beside, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(failed(&beside, error)),
    }
}

/// A clean stop folds the write-ahead log into the database and removes it.
fn wal_is_left(path: &Path) -> bool {
    beside(path, "-wal").metadata().is_ok_and(|metadata| metadata.len() > 0)
}

fn quick_check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(OpenError::Damaged { path: path.display().to_string(), problem: verdict })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.display().to_string(), source }
}
