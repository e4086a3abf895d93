//! Files of jobs and the nodes that hold them.

use std::collections::BTreeSet;

use super::index::JobNote;
use super::{Effect, Refusal, State, Touched};
use crate::{File, FileId, FileKind, JobId, NewFile, Node, NodeId, TimestampMs};

impl State {
    /// Why the file cannot come into the state, if it cannot: it must be of `kind`, new, and on
    /// a node that is a member (I4 asks for R of them; whoever proposes it has seen to that).
    pub(super) fn check_new_file(&self, file: &NewFile, kind: FileKind) -> Result<(), Refusal> {
        if file.kind != kind {
            return Err(Refusal::Invalid(format!(
                "file {} is of kind {:?}, but a file of kind {kind:?} belongs here",
                file.id, file.kind
            )));
        }
        if self.files.contains_key(&file.id) {
            return Err(Refusal::Conflict(format!(
                "file {} is there already",
                file.id
            )));
        }
        if self.member_holders(file).next().is_none() {
            return Err(Refusal::Invalid(format!(
                "no member of the farm holds file {}; store it before adding it",
                file.id
            )));
        }
        Ok(())
    }

    fn member_holders<'a>(&'a self, file: &'a NewFile) -> impl Iterator<Item = NodeId> + 'a {
        file.holders
            .iter()
            .copied()
            .filter(|node| self.member(*node).is_ok_and(Node::is_in_mesh))
    }

    /// Adds a file that [`State::check_new_file`] let pass, as the job's newest.
    pub(super) fn add_file(
        &mut self,
        file: &NewFile,
        job: JobId,
        task: Option<u32>,
        at: TimestampMs,
        touched: &mut Touched,
    ) {
        let holders: BTreeSet<NodeId> = self.member_holders(file).collect();
        let entry = File {
            id: file.id,
            job,
            task,
            kind: file.kind,
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            content: file.content,
            size_bytes: file.size_bytes,
            created_at: at,
            holders,
        };
        self.files.insert(file.id, entry);
        if let Some(job) = self.jobs.get_mut(&job) {
            job.files.push(file.id);
            touched.note(JobNote::Grew(job.owner, file.size_bytes));
        }
        touched.file(job, file.id);
    }

    fn file_mut(&mut self, file: FileId) -> Result<&mut File, Refusal> {
        self.files
            .get_mut(&file)
            .ok_or_else(|| Refusal::NotFound(format!("there is no file {file}")))
    }

    pub(super) fn replica_added(
        &mut self,
        file: FileId,
        node: NodeId,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if !self.member(node)?.is_in_mesh() {
            return Err(Refusal::Invalid(format!(
                "node {node} speaks only HTTP and holds no files"
            )));
        }
        let known = self.file_mut(file)?;
        if known.holders.insert(node) {
            touched.file(known.job, file);
        }
        Ok(Effect::Done)
    }

    pub(super) fn replica_lost(
        &mut self,
        file: FileId,
        node: NodeId,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let known = self.file_mut(file)?;
        if known.holders.remove(&node) {
            touched.file(known.job, file);
        }
        Ok(Effect::Done)
    }
}
