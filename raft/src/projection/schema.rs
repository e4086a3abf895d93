//! The tables. Keys are whole numbers that keep a job's rows together; there are no indexes,
//! no foreign keys and no lists, so that sets of rows are cheap to merge.
//!
//! Times are milliseconds since the Unix epoch; ids are in their text form.

use std::path::Path;

use duckdb::{Config, Connection};

/// Raised with every change of the tables. A file of another version is rebuilt.
pub(super) const VERSION: u32 = 3;

const TABLES: &str = r#"
CREATE TABLE IF NOT EXISTS meta (
    version UINTEGER, applied_term UBIGINT, applied_leader UBIGINT, applied_index UBIGINT,
    membership BLOB, next_node UBIGINT, last_delivery UBIGINT, audit_next UBIGINT, farm VARCHAR,
    farm_name VARCHAR, farm_public_key BLOB, farm_secret_key BLOB, farm_created_at_ms UBIGINT
);
CREATE TABLE IF NOT EXISTS node (
    id UBIGINT, name VARCHAR, peer_id VARCHAR, addresses VARCHAR, credential VARCHAR,
    registered_with VARCHAR, web_address VARCHAR, is_voter BOOLEAN, is_runner BOOLEAN,
    version VARCHAR, runner VARCHAR, operator_token VARCHAR, joined_at_ms UBIGINT,
    admitted_by VARCHAR, removed BOOLEAN
);
CREATE TABLE IF NOT EXISTS ticket (
    hash VARCHAR, is_voter BOOLEAN, is_runner BOOLEAN, created_at_ms UBIGINT,
    created_by_kind VARCHAR, created_by_id VARCHAR, expires_at_ms UBIGINT, reusable BOOLEAN,
    spent_by UBIGINT
);
CREATE TABLE IF NOT EXISTS "user" (
    id VARCHAR, name VARCHAR, email VARCHAR, password_hash VARCHAR, identities VARCHAR,
    role VARCHAR, disabled BOOLEAN, quota VARCHAR, created_at_ms UBIGINT
);
CREATE TABLE IF NOT EXISTS session (
    hash VARCHAR, user_id VARCHAR, created_at_ms UBIGINT, expires_at_ms UBIGINT,
    from_address VARCHAR, agent VARCHAR
);
CREATE TABLE IF NOT EXISTS token (
    id VARCHAR, hash VARCHAR, user_id VARCHAR, name VARCHAR, scopes VARCHAR,
    created_at_ms UBIGINT, expires_at_ms UBIGINT
);
CREATE TABLE IF NOT EXISTS audit (
    number UBIGINT, at_ms UBIGINT, actor_kind VARCHAR, actor_id VARCHAR, from_address VARCHAR,
    action VARCHAR, subject VARCHAR, detail VARCHAR
);
CREATE TABLE IF NOT EXISTS record (kind VARCHAR, key VARCHAR, body VARCHAR);
CREATE TABLE IF NOT EXISTS job (
    key UINTEGER, id VARCHAR, name VARCHAR, owner_kind VARCHAR, owner_id VARCHAR, frames VARCHAR,
    video BOOLEAN, frames_from_scene BOOLEAN, shares VARCHAR, state VARCHAR, created_at_ms UBIGINT, started_at_ms UBIGINT,
    finished_at_ms UBIGINT, scene VARCHAR, scene_facts VARCHAR, failure_kind VARCHAR,
    failure_message VARCHAR, waiting UINTEGER, pending UINTEGER, leased UINTEGER, done UINTEGER,
    failed UINTEGER, cancelled UINTEGER
);
CREATE TABLE IF NOT EXISTS task (
    job_key UINTEGER, "index" UINTEGER, kind VARCHAR, frame INTEGER, state VARCHAR, node UBIGINT,
    epoch UINTEGER, failed_attempts UINTEGER, avoid UBIGINT, output VARCHAR
);
CREATE TABLE IF NOT EXISTS attempt (
    job_key UINTEGER, position UINTEGER, task UINTEGER, epoch UINTEGER, node UBIGINT,
    leased_at_ms UBIGINT, ended_at_ms UBIGINT, outcome VARCHAR, render_ms UBIGINT,
    failure_kind VARCHAR, failure_message VARCHAR, lease_end VARCHAR, log VARCHAR
);
CREATE TABLE IF NOT EXISTS file (
    job_key UINTEGER, position UINTEGER, id VARCHAR, task UINTEGER, kind VARCHAR, name VARCHAR,
    media_type VARCHAR, content VARCHAR, size_bytes UBIGINT, created_at_ms UBIGINT
);
CREATE TABLE IF NOT EXISTS replica (job_key UINTEGER, position UINTEGER, node UBIGINT);

CREATE TEMP TABLE stage_key (key VARCHAR);
CREATE TEMP TABLE stage_job AS FROM job LIMIT 0;
CREATE TEMP TABLE stage_task AS FROM task LIMIT 0;
CREATE TEMP TABLE stage_attempt AS FROM attempt LIMIT 0;
CREATE TEMP TABLE stage_file (job_key UINTEGER, position UINTEGER);
"#;

/// Empties the staging tables.
pub(super) const CLEAR_STAGES: &str = "
DELETE FROM stage_key; DELETE FROM stage_job; DELETE FROM stage_task; DELETE FROM stage_attempt;
DELETE FROM stage_file;
";

/// Empties everything.
pub(super) const CLEAR_TABLES: &str = r#"
DELETE FROM node; DELETE FROM ticket; DELETE FROM "user"; DELETE FROM session; DELETE FROM token;
DELETE FROM audit; DELETE FROM record; DELETE FROM job; DELETE FROM task; DELETE FROM attempt; DELETE FROM file; DELETE FROM replica;
"#;

/// Opens the file and makes the tables that it lacks.
pub(super) fn connect(path: &Path) -> duckdb::Result<Connection> {
    // One thread and little memory: rendering has the machine.
    let config = Config::default()
        .threads(1)?
        .max_memory("512MB")?
        .enable_autoload_extension(false)?
        .enable_external_access(false)?;
    let connection = Connection::open_with_flags(path, config)?;
    connection.execute_batch(TABLES)?;
    Ok(connection)
}
