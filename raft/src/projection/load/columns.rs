//! Reads rows, and the columns in them.

use std::str::FromStr;

use duckdb::{Connection, Row};

use super::{LoadError, Loaded};
use crate::TimestampMs;

pub(super) fn for_each_row(
    connection: &Connection,
    sql: &str,
    mut each: impl FnMut(&Row<'_>) -> Loaded<()>,
) -> Loaded<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(row)?;
    }
    Ok(())
}

pub(super) fn parsed<T: FromStr>(text: String) -> Loaded<T> {
    text.parse()
        .map_err(|_| LoadError::Nonsense(format!("'{text}' cannot be read")))
}

pub(super) fn optional<T: FromStr>(text: Option<String>) -> Loaded<Option<T>> {
    text.map(parsed).transpose()
}

pub(super) fn time(row: &Row<'_>, column: usize) -> Loaded<TimestampMs> {
    Ok(TimestampMs(row.get(column)?))
}

pub(super) fn optional_time(row: &Row<'_>, column: usize) -> Loaded<Option<TimestampMs>> {
    Ok(row.get::<_, Option<u64>>(column)?.map(TimestampMs))
}
