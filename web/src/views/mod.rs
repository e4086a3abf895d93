//! The JSON of jobs, tasks, files and nodes, as `docs/api.md` describes it, made from the state.

mod job;
mod node;

pub use job::job_name;
pub(crate) use job::{FileView, JobSummary, JobView, TaskView};
pub(crate) use node::{NodeView, Nodes};
