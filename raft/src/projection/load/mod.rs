//! Reads the whole state back from the tables.

mod columns;
mod small;

use std::collections::BTreeSet;

use duckdb::{Connection, Row};

use super::schema;
use super::words::{from_json, from_word, to_task_kind, to_task_state};
use super::write::{JobKey, Keys};
use crate::consensus::{LogId, StoredMembership};
use crate::machine::Point;
use crate::state::count_tasks;
use crate::{
    Attempt, AttemptOutcome, DeliveryId, Epoch, Failure, Farm, File, Job, JobId, JobSettings,
    NodeId, Owner, State, Task, TaskCounts,
};
use columns::{for_each_row, optional, optional_time, parsed, time};

/// Why the tables give no state.
#[derive(Debug)]
pub(super) enum LoadError {
    DuckDb(duckdb::Error),
    /// The rows are readable and contradict each other or this program.
    Nonsense(String),
}

impl From<duckdb::Error> for LoadError {
    fn from(error: duckdb::Error) -> Self {
        Self::DuckDb(error)
    }
}

impl From<String> for LoadError {
    fn from(reason: String) -> Self {
        Self::Nonsense(reason)
    }
}

type Loaded<T> = Result<T, LoadError>;

/// The state and its place in the log; `None` where nothing was ever written.
pub(super) fn load(connection: &Connection) -> Loaded<(Option<Point>, Keys)> {
    let Some(mut point) = load_meta(connection)? else {
        return Ok((None, Keys::default()));
    };
    let state = &mut point.state;
    small::load_nodes(connection, state)?;
    small::load_tickets(connection, state)?;
    small::load_users(connection, state)?;
    small::load_sessions(connection, state)?;
    small::load_tokens(connection, state)?;
    small::load_audit(connection, state)?;
    small::load_records(connection, state)?;
    let jobs = load_jobs(connection, state)?;
    load_tasks(connection, state, &jobs)?;
    load_attempts(connection, state, &jobs)?;
    load_files(connection, state, &jobs)?;
    state.rebuild_index();
    let keys = keys_of(state, &jobs)?;
    Ok((Some(point), keys))
}

/// The jobs by their keys, which are 0, 1, 2 and so on.
type JobsByKey = Vec<JobId>;

fn keys_of(state: &State, jobs: &JobsByKey) -> Loaded<Keys> {
    let mut keys = Keys {
        next: jobs.len() as u32,
        ..Keys::default()
    };
    for (key, id) in (0..).zip(jobs) {
        let job = &state.jobs[id];
        if job.counts != count_tasks(&job.tasks) {
            return Err(format!("the counts of job {id} do not match its tasks").into());
        }
        let known = JobKey {
            key,
            tasks: job.tasks.len() as u32,
            attempts: job.attempts.len() as u32,
            files: job.files.len() as u32,
        };
        keys.jobs.insert(*id, known);
    }
    Ok(keys)
}

fn key_bytes(bytes: Vec<u8>) -> Loaded<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|_| LoadError::Nonsense("the farm's key has a wrong length".into()))
}

fn load_meta(connection: &Connection) -> Loaded<Option<Point>> {
    let mut found = None;
    for_each_row(connection, "SELECT * FROM meta", |row| {
        let version: u32 = row.get(0)?;
        if version != schema::VERSION {
            return Err(format!("its tables are of version {version}").into());
        }
        let term: Option<u64> = row.get(1)?;
        let leader: Option<u64> = row.get(2)?;
        let index: Option<u64> = row.get(3)?;
        let applied = match (term, leader, index) {
            (Some(term), Some(leader), Some(index)) => {
                let node_id = NodeId(leader);
                let leader = openraft::impls::leader_id_adv::LeaderId { term, node_id };
                Some(LogId::new(leader, index))
            }
            _ => None,
        };
        let membership: StoredMembership = rmp_serde::from_slice(&row.get::<_, Vec<u8>>(4)?)
            .map_err(|error| LoadError::Nonsense(error.to_string()))?;
        let farm = match row.get::<_, Option<String>>(8)? {
            None => None,
            Some(id) => Some(Farm {
                id: parsed(id)?,
                name: row.get(9)?,
                public_key: key_bytes(row.get(10)?)?,
                secret_key: key_bytes(row.get(11)?)?,
                created_at: time(row, 12)?,
            }),
        };
        let mut state = State::default();
        state.farm = farm;
        state.next_node = NodeId(row.get(5)?);
        state.last_delivery = DeliveryId(row.get(6)?);
        state.audit_next = row.get(7)?;
        found = Some(Point {
            applied,
            membership,
            state,
        });
        Ok(())
    })?;
    Ok(found)
}

fn load_jobs(connection: &Connection, state: &mut State) -> Loaded<JobsByKey> {
    let mut jobs = Vec::new();
    for_each_row(connection, "SELECT * FROM job ORDER BY key", |row| {
        let key: u32 = row.get(0)?;
        if key as usize != jobs.len() {
            return Err(format!("the job with key {} is missing", jobs.len()).into());
        }
        let owner_id: String = row.get(4)?;
        let owner = match row.get::<_, String>(3)?.as_str() {
            "user" => Owner::User(parsed(owner_id)?),
            "operator" => Owner::Operator(parsed(owner_id)?),
            kind => return Err(format!("a job's owner is of kind '{kind}'").into()),
        };
        let scene_facts: Option<String> = row.get(14)?;
        let job = Job {
            id: parsed(row.get(1)?)?,
            name: row.get(2)?,
            owner,
            settings: JobSettings {
                frames: optional(row.get(5)?)?,
                video: row.get(6)?,
            },
            frames_from_scene: row.get(7)?,
            shares: from_json(&row.get::<_, String>(8)?)?,
            state: from_word(row.get(9)?)?,
            created_at: time(row, 10)?,
            started_at: optional_time(row, 11)?,
            finished_at: optional_time(row, 12)?,
            scene: optional(row.get(13)?)?,
            scene_facts: scene_facts.map(|facts| from_json(&facts)).transpose()?,
            failure: failure(row, 15)?,
            counts: TaskCounts {
                waiting: row.get(17)?,
                pending: row.get(18)?,
                leased: row.get(19)?,
                done: row.get(20)?,
                failed: row.get(21)?,
                cancelled: row.get(22)?,
            },
            tasks: Vec::new(),
            attempts: Vec::new(),
            files: Vec::new(),
        };
        jobs.push(job.id);
        state.jobs.insert(job.id, job);
        Ok(())
    })?;
    Ok(jobs)
}

/// A failure in the columns `first` (its kind) and the one after (its message).
fn failure(row: &Row<'_>, first: usize) -> Loaded<Option<Failure>> {
    let Some(kind) = row.get::<_, Option<String>>(first)? else {
        return Ok(None);
    };
    Ok(Some(Failure {
        kind: from_word(kind)?,
        message: row.get(first + 1)?,
    }))
}

/// The job with that key, and the check that the row is the next of `known` ones.
fn job_of<'a>(
    state: &'a mut State,
    jobs: &JobsByKey,
    row: &Row<'_>,
    known: impl Fn(&Job) -> usize,
) -> Loaded<&'a mut Job> {
    let key: u32 = row.get(0)?;
    let position: u32 = row.get(1)?;
    let job = jobs
        .get(key as usize)
        .and_then(|id| state.jobs.get_mut(id))
        .ok_or_else(|| format!("rows of the job with key {key} are there, the job is not"))?;
    if position as usize != known(job) {
        return Err(format!("row {} of job {} is missing", known(job), job.id).into());
    }
    Ok(job)
}

fn load_tasks(connection: &Connection, state: &mut State, jobs: &JobsByKey) -> Loaded<()> {
    let sql = r#"SELECT * FROM task ORDER BY job_key, "index""#;
    for_each_row(connection, sql, |row| {
        let job = job_of(state, jobs, row, |job| job.tasks.len())?;
        job.tasks.push(Task {
            kind: to_task_kind(&row.get::<_, String>(2)?, row.get(3)?)?,
            state: to_task_state(&row.get::<_, String>(4)?, row.get(5)?)?,
            epoch: Epoch(row.get(6)?),
            failed_attempts: row.get(7)?,
            avoid: row.get::<_, Option<u64>>(8)?.map(NodeId),
            output: optional(row.get(9)?)?,
        });
        Ok(())
    })
}

fn load_attempts(connection: &Connection, state: &mut State, jobs: &JobsByKey) -> Loaded<()> {
    let sql = "SELECT * FROM attempt ORDER BY job_key, position";
    for_each_row(connection, sql, |row| {
        let job = job_of(state, jobs, row, |job| job.attempts.len())?;
        job.attempts.push(Attempt {
            task: row.get(2)?,
            epoch: Epoch(row.get(3)?),
            node: NodeId(row.get(4)?),
            leased_at: time(row, 5)?,
            ended_at: optional_time(row, 6)?,
            outcome: outcome(row)?,
            log: optional(row.get(12)?)?,
        });
        Ok(())
    })
}

fn outcome(row: &Row<'_>) -> Loaded<AttemptOutcome> {
    let word: String = row.get(7)?;
    let missing = || LoadError::Nonsense(format!("an attempt that {word} lacks its reason"));
    Ok(match word.as_str() {
        "running" => AttemptOutcome::Running,
        "committed" => AttemptOutcome::Committed {
            render_ms: row.get(8)?,
        },
        "failed" => AttemptOutcome::Failed(failure(row, 9)?.ok_or_else(missing)?),
        "lease_ended" => AttemptOutcome::LeaseEnded(from_word(row.get(11)?)?),
        "cancelled" => AttemptOutcome::Cancelled,
        _ => return Err(format!("an attempt's outcome is '{word}'").into()),
    })
}

fn load_files(connection: &Connection, state: &mut State, jobs: &JobsByKey) -> Loaded<()> {
    let sql = "SELECT * FROM file ORDER BY job_key, position";
    for_each_row(connection, sql, |row| {
        let job = job_of(state, jobs, row, |job| job.files.len())?;
        let file = File {
            id: parsed(row.get(2)?)?,
            job: job.id,
            task: row.get(3)?,
            kind: from_word(row.get(4)?)?,
            name: row.get(5)?,
            media_type: row.get(6)?,
            content: parsed(row.get(7)?)?,
            size_bytes: row.get(8)?,
            created_at: time(row, 9)?,
            holders: BTreeSet::new(),
        };
        job.files.push(file.id);
        state.files.insert(file.id, file);
        Ok(())
    })?;
    for_each_row(connection, "SELECT * FROM replica", |row| {
        let key: u32 = row.get(0)?;
        let position: u32 = row.get(1)?;
        let id = jobs
            .get(key as usize)
            .and_then(|job| state.jobs[job].files.get(position as usize));
        let file = id.and_then(|id| state.files.get_mut(id));
        let file = file.ok_or_else(|| format!("replica of a missing file of job {key}"))?;
        file.holders.insert(NodeId(row.get(2)?));
        Ok(())
    })
}
