//! Puts one batch into the tables, set by set, in one transaction with its applied index.
//!
//! Rows that are new are appended; rows that changed are appended to a staging table and merged
//! by one statement. Which are new follows from how many of a job's rows are there already.

use std::collections::HashMap;

use duckdb::types::Value;
use duckdb::{Connection, ToSql, Transaction, appender_params_from_iter, params};

use super::rows::{
    Row, attempt_row, audit_row, file_row, job_row, node_row, record_row, session_row, task_row,
    ticket_row, token_row, user_row,
};
use super::schema;
use super::words::text;
use crate::machine::{Batch, JobRow};
use crate::state::RecordKey;
use crate::{Attempt, File, JobId, Task};

/// Which rows of jobs the tables have.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) jobs: HashMap<JobId, JobKey>,
    pub(super) next: u32,
}

/// A job's key and how many of its tasks, attempts and files are in the tables.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct JobKey {
    pub(super) key: u32,
    pub(super) tasks: u32,
    pub(super) attempts: u32,
    pub(super) files: u32,
}

impl Keys {
    fn of(&mut self, job: JobId) -> &mut JobKey {
        self.jobs
            .get_mut(&job)
            .expect("a job's row comes with the job's first rows")
    }
}

/// Rows for one table: to be appended, and to be merged into rows that are there.
#[derive(Default)]
struct Rows {
    new: Vec<Row>,
    changed: Vec<Row>,
}

/// Writes the batch. After an error the file, and `keys`, must be given up.
pub(super) fn write(
    connection: &mut Connection,
    keys: &mut Keys,
    batch: &Batch,
) -> duckdb::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(schema::CLEAR_STAGES)?;
    if batch.replaces_everything {
        transaction.execute_batch(schema::CLEAR_TABLES)?;
        *keys = Keys::default();
    }
    write_meta(&transaction, batch)?;
    write_small_tables(&transaction, batch)?;
    write_audit(&transaction, batch)?;
    write_jobs(&transaction, keys, &batch.rows.jobs)?;
    write_tasks(&transaction, keys, &batch.rows.tasks)?;
    write_attempts(&transaction, keys, &batch.rows.attempts)?;
    write_files(&transaction, keys, &batch.rows.files)?;
    transaction.commit()
}

fn write_meta(transaction: &Transaction<'_>, batch: &Batch) -> duckdb::Result<()> {
    let membership =
        rmp_serde::to_vec_named(&batch.membership).expect("a membership is always encodable");
    let applied = batch.applied;
    let farm = batch.farm.as_ref();
    transaction.execute("DELETE FROM meta", [])?;
    transaction.execute(
        "INSERT INTO meta VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            schema::VERSION,
            applied.map(|log_id| log_id.leader_id.term),
            applied.map(|log_id| log_id.leader_id.node_id.0),
            applied.map(|log_id| log_id.index),
            membership,
            batch.next_node.0,
            batch.last_delivery.0,
            batch.audit_next,
            farm.map(|farm| farm.id.to_string()),
            farm.map(|farm| farm.name.clone()),
            farm.map(|farm| farm.public_key.to_vec()),
            farm.map(|farm| farm.secret_key.to_vec()),
            farm.map(|farm| farm.created_at.0),
        ],
    )?;
    Ok(())
}

/// Nodes, tickets, people and records: few rows, replaced as a whole.
fn write_small_tables(transaction: &Transaction<'_>, batch: &Batch) -> duckdb::Result<()> {
    let rows = &batch.rows;
    replace(transaction, "node", "id", &rows.nodes, node_row)?;
    replace(transaction, "ticket", "hash", &rows.tickets, ticket_row)?;
    replace(transaction, "user", "id", &rows.users, user_row)?;
    replace(transaction, "session", "hash", &rows.sessions, session_row)?;
    replace(transaction, "token", "id", &rows.tokens, token_row)?;
    write_records(transaction, &rows.records)
}

fn write_records(
    transaction: &Transaction<'_>,
    records: &[(RecordKey, Option<String>)],
) -> duckdb::Result<()> {
    let keyed: Vec<(String, Option<Row>)> = records
        .iter()
        .map(|(key, body)| {
            let row = body.as_ref().map(|body| record_row(*key, body));
            (format!("{}/{}", key.kind(), key.id()), row)
        })
        .collect();
    replace(
        transaction,
        "record",
        "kind || '/' || key",
        &keyed,
        Row::clone,
    )
}

/// Entries come at the end and go one by one.
fn write_audit(transaction: &Transaction<'_>, batch: &Batch) -> duckdb::Result<()> {
    let entries = batch.rows.audit.iter().map(audit_row);
    append(transaction, Place::Table, "audit", entries)?;
    let dropped: Vec<String> = batch
        .rows
        .audit_dropped
        .iter()
        .map(u64::to_string)
        .collect();
    if dropped.is_empty() {
        return Ok(());
    }
    let dropped = dropped.join(",");
    transaction.execute_batch(&format!("DELETE FROM audit WHERE number IN ({dropped})"))
}

fn replace<K: ToString, V>(
    transaction: &Transaction<'_>,
    table: &str,
    key: &str,
    rows: &[(K, Option<V>)],
    row_of: impl Fn(&V) -> Row,
) -> duckdb::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    transaction.execute_batch("DELETE FROM stage_key")?;
    let keys = rows.iter().map(|(key, _)| vec![text(key.to_string())]);
    append(transaction, Place::Stage, "stage_key", keys)?;
    transaction.execute_batch(&format!(
        r#"DELETE FROM "{table}" WHERE CAST({key} AS VARCHAR) IN (SELECT key FROM stage_key)"#
    ))?;
    let values = rows.iter().filter_map(|(_, value)| value.as_ref());
    append(transaction, Place::Table, table, values.map(row_of))
}

fn write_jobs(
    transaction: &Transaction<'_>,
    keys: &mut Keys,
    jobs: &[JobRow],
) -> duckdb::Result<()> {
    let mut rows = Rows::default();
    for JobRow(job) in jobs {
        let next = &mut keys.next;
        let mut is_new = false;
        let known = keys.jobs.entry(job.id).or_insert_with(|| {
            is_new = true;
            let key = *next;
            *next += 1;
            JobKey {
                key,
                ..JobKey::default()
            }
        });
        let row = job_row(known.key, job);
        match is_new {
            true => rows.new.push(row),
            false => rows.changed.push(row),
        }
    }
    merge(
        transaction,
        "job",
        rows,
        "UPDATE job SET frames = stage.frames, frames_from_scene = stage.frames_from_scene, \
         shares = stage.shares, state = stage.state, \
         started_at_ms = stage.started_at_ms, finished_at_ms = stage.finished_at_ms, \
         scene = stage.scene, scene_facts = stage.scene_facts, \
         failure_kind = stage.failure_kind, failure_message = stage.failure_message, \
         waiting = stage.waiting, pending = stage.pending, leased = stage.leased, \
         done = stage.done, failed = stage.failed, cancelled = stage.cancelled \
         FROM stage_job AS stage WHERE job.key = stage.key",
    )
}

fn write_tasks(
    transaction: &Transaction<'_>,
    keys: &mut Keys,
    tasks: &[(JobId, u32, Task)],
) -> duckdb::Result<()> {
    let mut rows = Rows::default();
    for (job, index, task) in tasks {
        let known = keys.of(*job);
        let row = task_row(known.key, *index, task);
        rows.sort_in(row, *index, &mut known.tasks);
    }
    merge(
        transaction,
        "task",
        rows,
        r#"UPDATE task SET state = stage.state, node = stage.node, epoch = stage.epoch,
         failed_attempts = stage.failed_attempts, avoid = stage.avoid, output = stage.output
         FROM stage_task AS stage
         WHERE task.job_key = stage.job_key AND task."index" = stage."index""#,
    )
}

fn write_attempts(
    transaction: &Transaction<'_>,
    keys: &mut Keys,
    attempts: &[(JobId, u32, Attempt)],
) -> duckdb::Result<()> {
    let mut rows = Rows::default();
    for (job, position, attempt) in attempts {
        let known = keys.of(*job);
        let row = attempt_row(known.key, *position, attempt);
        rows.sort_in(row, *position, &mut known.attempts);
    }
    merge(
        transaction,
        "attempt",
        rows,
        "UPDATE attempt SET ended_at_ms = stage.ended_at_ms, outcome = stage.outcome, \
         render_ms = stage.render_ms, failure_kind = stage.failure_kind, \
         failure_message = stage.failure_message, lease_end = stage.lease_end, log = stage.log \
         FROM stage_attempt AS stage \
         WHERE attempt.job_key = stage.job_key AND attempt.position = stage.position",
    )
}

/// A file never changes, its replicas do: they are replaced.
fn write_files(
    transaction: &Transaction<'_>,
    keys: &mut Keys,
    files: &[(JobId, u32, File)],
) -> duckdb::Result<()> {
    let mut new_files = Vec::new();
    let mut changed_files = Vec::new();
    let mut replicas = Vec::new();
    for (job, position, file) in files {
        let known = keys.of(*job);
        let place = [Value::UInt(known.key), Value::UInt(*position)];
        replicas.extend(file.holders.iter().map(|node| {
            let mut row = place.to_vec();
            row.push(Value::UBigInt(node.0));
            row
        }));
        if *position < known.files {
            changed_files.push(place.to_vec());
        } else {
            known.files = position + 1;
            new_files.push(file_row(known.key, *position, file));
        }
    }
    append(transaction, Place::Table, "file", new_files)?;
    if !changed_files.is_empty() {
        append(transaction, Place::Stage, "stage_file", changed_files)?;
        transaction.execute_batch(
            "DELETE FROM replica USING stage_file AS stage \
             WHERE replica.job_key = stage.job_key AND replica.position = stage.position",
        )?;
    }
    append(transaction, Place::Table, "replica", replicas)
}

impl Rows {
    /// Rows come by their place in the job; what is past the `known` ones is new.
    fn sort_in(&mut self, row: Row, position: u32, known: &mut u32) {
        if position < *known {
            self.changed.push(row);
        } else {
            *known = position + 1;
            self.new.push(row);
        }
    }
}

fn merge(
    transaction: &Transaction<'_>,
    table: &str,
    rows: Rows,
    update: &str,
) -> duckdb::Result<()> {
    append(transaction, Place::Table, table, rows.new)?;
    if rows.changed.is_empty() {
        return Ok(());
    }
    append(
        transaction,
        Place::Stage,
        &format!("stage_{table}"),
        rows.changed,
    )?;
    transaction.execute_batch(update)
}

enum Place {
    Table,
    Stage,
}

fn append(
    transaction: &Transaction<'_>,
    place: Place,
    table: &str,
    rows: impl IntoIterator<Item = Row>,
) -> duckdb::Result<()> {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let mut appender = match place {
        Place::Table => transaction.appender(table)?,
        Place::Stage => transaction.appender_to_catalog_and_db(table, "temp", "main")?,
    };
    for row in rows {
        let values = row.iter().map(|value| value as &dyn ToSql);
        appender.append_row(appender_params_from_iter(values))?;
    }
    appender.flush()
}
