//! Scene files on this node's disk: each fetched once, kept while anything needs it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jiggablend_raft::{ContentId, Failure, FailureKind, JobId};
use jiggablend_transfer::StoreError;
use tokio::sync::{OnceCell, Semaphore};

use super::scratch::Scratch;
use super::{ContentRef, Storage};

/// Fetching more scenes at once than this makes each of them late.
const FETCHES_AT_ONCE: usize = 2;

/// The scene files that this runner's assignments need. Cheap to clone.
#[derive(Clone)]
pub(super) struct Scenes {
    storage: Arc<dyn Storage>,
    scratch: Scratch,
    known: Arc<Mutex<KnownFiles>>,
    fetches: Arc<Semaphore>,
}

type KnownFiles = HashMap<(JobId, ContentId), Weak<SceneFile>>;

/// A scene file, on disk once it was asked for, removed with the last user of this value.
#[derive(Debug)]
pub(super) struct SceneFile {
    job: JobId,
    path: PathBuf,
    fetched: OnceCell<()>,
}

impl Scenes {
    pub(super) fn new(storage: Arc<dyn Storage>, scratch: Scratch) -> Self {
        Self {
            storage,
            scratch,
            known: Arc::default(),
            fetches: Arc::new(Semaphore::new(FETCHES_AT_ONCE)),
        }
    }

    /// The file of that scene. Nothing is fetched yet.
    pub(super) fn file(&self, job: JobId, scene: &ContentRef) -> Arc<SceneFile> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, file| file.strong_count() > 0);
        let key = (job, scene.content);
        if let Some(file) = known.get(&key).and_then(Weak::upgrade) {
            return file;
        }
        // Named by its content: a changed scene is another file.
        let name = format!("{}.blend", scene.content);
        let file = Arc::new(SceneFile {
            job,
            path: self.scratch.job_scenes(job).join(name),
            fetched: OnceCell::new(),
        });
        known.insert(key, Arc::downgrade(&file));
        file
    }

    /// Makes sure that the file is on disk and gives its path. Callers at the same time wait for
    /// one fetch; after a failure the next caller tries again.
    pub(super) async fn fetch<'a>(
        &self,
        file: &'a SceneFile,
        scene: &ContentRef,
    ) -> Result<&'a Path, Failure> {
        file.fetched
            .get_or_try_init(|| async {
                let _permit = self
                    .fetches
                    .acquire()
                    .await
                    .expect("the semaphore is never closed");
                if let Some(folder) = file.path.parent() {
                    tokio::fs::create_dir_all(folder)
                        .await
                        .map_err(|error| unwritable(&error))?;
                }
                self.storage.export(file.job, scene, &file.path).await
            })
            .await?;
        Ok(&file.path)
    }
}

impl Drop for SceneFile {
    fn drop(&mut self) {
        if self.fetched.initialized()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(scene = %self.path.display(), %error, "cannot remove a scene from scratch");
        }
        if let Some(folder) = self.path.parent() {
            // Fails, as it should, where the job has another scene.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// What a failed store or fetch means for the attempt.
pub(super) fn store_failure(doing: &str, error: &StoreError) -> Failure {
    let is_full = match error {
        StoreError::DiskFull(_) => true,
        StoreError::Io { source, .. } | StoreError::Source(source) => {
            source.kind() == std::io::ErrorKind::StorageFull
        }
        _ => false,
    };
    Failure {
        kind: if is_full {
            FailureKind::DiskFull
        } else {
            FailureKind::ContentUnavailable
        },
        message: format!("{doing}: {error}"),
    }
}

/// What a failed write into scratch means for the attempt.
pub(crate) fn unwritable(error: &std::io::Error) -> Failure {
    Failure {
        kind: if error.kind() == std::io::ErrorKind::StorageFull {
            FailureKind::DiskFull
        } else {
            FailureKind::ContentUnavailable
        },
        message: format!("cannot write into the scratch folder: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use jiggablend_transfer::ManifestHash;

    use super::*;

    #[test]
    fn a_full_disk_is_told_from_content_that_no_peer_has() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let disk_full = [
            StoreError::DiskFull("no space".into()),
            StoreError::Source(full()),
            StoreError::Io {
                doing: "writing".into(),
                source: full(),
            },
        ];
        for error in &disk_full {
            assert_eq!(
                store_failure("storing x", error).kind,
                FailureKind::DiskFull
            );
        }
        assert_eq!(unwritable(&full()).kind, FailureKind::DiskFull);
        let missing = StoreError::Missing(ManifestHash([1; 32]));
        let failure = store_failure("fetching what the task needs", &missing);
        assert_eq!(failure.kind, FailureKind::ContentUnavailable);
        assert!(
            failure
                .message
                .starts_with("fetching what the task needs: ")
        );
    }
}
