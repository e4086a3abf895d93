//! The runner's scratch folder: what is in it belongs to this process and goes when it is no
//! longer needed. What a killed node left is removed at the next start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The only folders in scratch that are ours to remove.
const SCENES: &str = "scenes";
const ATTEMPTS: &str = "attempts";
const PROCESSES: &str = "processes";

/// Blender's and ffmpeg's working space. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Scratch {
    root: PathBuf,
    next: Arc<AtomicU64>,
}

impl Scratch {
    /// Makes the folder where it is missing and empties it.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        let root = root.canonicalize()?;
        for name in [SCENES, ATTEMPTS, PROCESSES] {
            let folder = root.join(name);
            match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => std::fs::create_dir(&folder)?,
            }
        }
        Ok(Self {
            root,
            next: Arc::new(AtomicU64::new(1)),
        })
    }

    #[cfg(test)]
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the scene files of one job lie.
    pub(super) fn job_scenes(&self, job: jiggablend_raft::JobId) -> PathBuf {
        self.root.join(SCENES).join(job.to_string())
    }

    /// A new folder for the output of one attempt.
    pub(super) fn attempt(&self) -> io::Result<Folder> {
        self.folder(ATTEMPTS)
    }

    /// A new folder for one process: its home and its temporary files.
    pub(super) fn process(&self) -> io::Result<Folder> {
        self.folder(PROCESSES)
    }

    fn folder(&self, parent: &str) -> io::Result<Folder> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(parent).join(number.to_string());
        std::fs::create_dir(&path)?;
        Ok(Folder { path })
    }

    /// The text without where on this machine the scratch folder is: that is nobody else's
    /// business.
    pub(super) fn hidden_in(&self, text: &str) -> String {
        let root = self.root.to_string_lossy();
        text.replace(&format!("{root}/"), "…/").replace(&*root, "…")
    }

    /// True where the disk is so full that a program's failure is best explained by it.
    pub(super) fn is_full(&self) -> bool {
        const NEARLY_NOTHING_BYTES: u64 = 1024 * 1024;
        nix::sys::statvfs::statvfs(&self.root)
            .is_ok_and(|disk| disk.blocks_available() * disk.fragment_size() < NEARLY_NOTHING_BYTES)
    }
}

/// A folder that is removed with this value.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(folder = %self.path.display(), %error, "cannot remove a scratch folder");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_start_removes_what_a_killed_node_left_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let leftover = root.path().join(ATTEMPTS).join("7");
        std::fs::create_dir_all(&leftover).unwrap();
        std::fs::write(leftover.join("frame_0001.png"), "half").unwrap();
        std::fs::write(root.path().join("not ours"), "stays").unwrap();
        let scratch = Scratch::open(root.path()).unwrap();
        assert!(!leftover.exists());
        assert!(root.path().join("not ours").exists());

        let folder = scratch.attempt().unwrap();
        let path = folder.path().to_owned();
        let line = format!("Saved: '{}/frame_0001.png'", path.display());
        assert_eq!(
            scratch.hidden_in(&line),
            "Saved: '…/attempts/1/frame_0001.png'"
        );
        std::fs::write(path.join("x"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
        assert!(!scratch.is_full());
    }
}
