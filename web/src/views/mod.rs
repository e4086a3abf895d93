//! The JSON of jobs, tasks, files and nodes, as `docs/api.md` describes it, made from the state.

mod job;
mod node;

pub(crate) use job::{FileView, JobSummary, JobView, TaskView, job_name};
pub(crate) use node::{NodeView, Nodes};
