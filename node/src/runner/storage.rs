//! Where a runner's bytes come from and go to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiggablend_raft::{
    ContentId, Epoch, Failure, FileId, FileKind, JobId, NewFile, NodeId, TaskId,
};
use jiggablend_transfer::{Chunking, Content, ManifestHash, PeerId, StoreError};
use tokio::io::AsyncRead;

use super::ContentRef;
use super::scenes::{store_failure, unwritable};

/// How long a finished frame waits for other nodes to be reachable for its copies, at a time.
const KEEP_PATIENCE: Duration = Duration::from_secs(60);

/// What a runner needs of the farm's content store.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Writes content of a job to `path`: all of it, checked against its name, or nothing.
    async fn export(&self, job: JobId, content: &ContentRef, path: &Path) -> Result<(), Failure>;

    /// Keeps what an attempt made on as many nodes as the farm wants.
    async fn keep(&self, lease: (TaskId, Epoch), to_keep: ToKeep<'_>)
    -> Result<NewFile, KeepError>;
}

/// A file of an attempt on its way into the store.
#[derive(Debug, Clone, Copy)]
pub struct ToKeep<'a> {
    pub source: Source<'a>,
    pub kind: FileKind,
    pub name: &'a str,
    pub media_type: &'a str,
}

#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    File(&'a Path),
    Text(&'a str),
}

/// Why a file is not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// Worth trying again for as long as the lease stands.
    #[error("{0}")]
    TooFewCopies(String),
    #[error("{}", .0.message)]
    Failed(Failure),
}

/// Names the nodes of peers, for `NewFile::holders`.
pub type NodeIds = Arc<dyn Fn(&[PeerId]) -> Vec<NodeId> + Send + Sync>;

/// The store of a member of the mesh.
pub struct MeshStorage {
    pub content: Content,
    /// How many nodes keep each output.
    pub copies: usize,
    pub node_ids: NodeIds,
}

#[async_trait]
impl Storage for MeshStorage {
    async fn export(&self, _job: JobId, content: &ContentRef, path: &Path) -> Result<(), Failure> {
        let manifest = ManifestHash(content.content.0);
        let holders: Vec<PeerId> = content
            .holders
            .iter()
            .filter_map(|holder| holder.parse().ok())
            .collect();
        self.content
            .export(manifest, &holders, path)
            .await
            .map(|_| ())
            .map_err(|error| store_failure("fetching what the task needs", &error))
    }

    async fn keep(
        &self,
        _lease: (TaskId, Epoch),
        to_keep: ToKeep<'_>,
    ) -> Result<NewFile, KeepError> {
        match to_keep.source {
            Source::Text(text) => self.keep_bytes(text.as_bytes(), to_keep).await,
            Source::File(path) => {
                let file = tokio::fs::File::open(path)
                    .await
                    .map_err(|error| KeepError::Failed(unwritable(&error)))?;
                self.keep_bytes(file, to_keep).await
            }
        }
    }
}

impl MeshStorage {
    async fn keep_bytes(
        &self,
        bytes: impl AsyncRead + Send + Unpin,
        to_keep: ToKeep<'_>,
    ) -> Result<NewFile, KeepError> {
        let keeping = self
            .content
            .keep(bytes, Chunking::Fixed, self.copies, KEEP_PATIENCE);
        let kept = keeping.await.map_err(|error| match error {
            StoreError::TooFewCopies { .. } => KeepError::TooFewCopies(error.to_string()),
            other => {
                let doing = format!("storing {}", to_keep.name);
                KeepError::Failed(store_failure(&doing, &other))
            }
        })?;
        Ok(NewFile {
            id: FileId::new(),
            kind: to_keep.kind,
            name: to_keep.name.to_owned(),
            media_type: to_keep.media_type.to_owned(),
            content: ContentId(kept.stored.manifest.0),
            size_bytes: kept.stored.size_bytes,
            holders: (self.node_ids)(&kept.holders),
        })
    }
}
