//! Brings a database to the present schema: ordered, embedded, checksummed migrations, each in one
//! transaction. A migration that was applied is never applied again, and never edited.

use rusqlite::{Connection, TransactionBehavior};
use sha2::{Digest as _, Sha256};

use crate::open::OpenError;

/// `LKST`, in the header of the file.
pub(crate) const APPLICATION_ID: i32 = 0x4c4b_5354;

/// Every migration, in order; the position is its number, from 1.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_initial", include_str!("schema/0001_initial.sql")),
    ("0002_secrets", include_str!("schema/0002_secrets.sql")),
    ("0003_commits", include_str!("schema/0003_commits.sql")),
    ("0004_freight_created", include_str!("schema/0004_freight_created.sql")),
    ("0005_minted_tokens", include_str!("schema/0005_minted_tokens.sql")),
    ("0006_commit_order", include_str!("schema/0006_commit_order.sql")),
    ("0007_fair_wakeups", include_str!("schema/0007_fair_wakeups.sql")),
    ("0008_kept", include_str!("schema/0008_kept.sql")),
    ("0009_rehearsals", include_str!("schema/0009_rehearsals.sql")),
    ("0010_drift", include_str!("schema/0010_drift.sql")),
    ("0011_replies", include_str!("schema/0011_replies.sql")),
    ("0012_units", include_str!("schema/0012_units.sql")),
    ("0013_instance_freezes", include_str!("schema/0013_instance_freezes.sql")),
];

/// Applies what is missing.
pub(crate) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    check_owner(connection)?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS migration (
            number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL
        ) STRICT",
    )?;
    let present = i64::try_from(MIGRATIONS.len()).expect("few migrations");
    let found: i64 =
        connection.query_row("SELECT COALESCE(MAX(number), 0) FROM migration", [], |r| r.get(0))?;
    if found > present {
        return Err(OpenError::Newer { found, present });
    }
    for (number, (name, text)) in (1_i64..).zip(MIGRATIONS) {
        apply(connection, number, name, text)?;
    }
    Ok(())
}

/// A database with tables that are not ours is left alone.
fn check_owner(connection: &Connection) -> Result<(), OpenError> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id == APPLICATION_ID {
        return Ok(());
    }
    if id == 0 && tables == 0 {
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        return Ok(());
    }
    Err(OpenError::NotOurs { application_id: id })
}

fn apply(
    connection: &mut Connection,
    number: i64,
    name: &str,
    text: &str,
) -> Result<(), OpenError> {
    let checksum = crate::ledger::hex(&Sha256::digest(text));
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let applied = transaction
        .prepare("SELECT checksum FROM migration WHERE number = ?1")?
        .query_map([number], |row| row.get::<_, String>(0))?
        .next()
        .transpose()?;
    match applied {
        Some(applied) if applied == checksum => return Ok(()),
        Some(_) => return Err(OpenError::Migration { name: name.to_owned() }),
        None => {}
    }
    transaction.execute_batch(text)?;
    transaction.execute(
        "INSERT INTO migration (number, name, checksum) VALUES (?1, ?2, ?3)",
        (number, name, &checksum),
    )?;
    transaction.pragma_update(None, "user_version", number)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn schema(connection: &Connection) -> Vec<String> {
        let mut statement =
            connection.prepare("SELECT COALESCE(sql, name) FROM sqlite_schema ORDER BY 1").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let before = (schema(&connection), connection.total_changes());
        migrate(&mut connection).unwrap();
        assert_eq!((schema(&connection), connection.total_changes()), before);
    }

    #[test]
    fn an_edited_migration_is_noticed() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection.execute("UPDATE migration SET checksum = 'x' WHERE number = 1", []).unwrap();
        let error = migrate(&mut connection).unwrap_err();
        assert!(matches!(error, OpenError::Migration { name } if name == "0001_initial"));
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection.execute("INSERT INTO migration VALUES (99, 'later', 'x')", []).unwrap();
        let error = migrate(&mut connection).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 99, .. }));
    }

    #[test]
    fn the_database_of_another_program_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
        let error = migrate(&mut connection).unwrap_err();
        assert!(matches!(error, OpenError::NotOurs { application_id: 0 }));
        assert_eq!(schema(&connection), ["CREATE TABLE theirs (x)"]);
    }
}
