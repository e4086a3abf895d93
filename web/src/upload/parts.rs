//! Files that are being sent in pieces, on the node where the first piece arrived.
//!
//! ```text
//! <node>-<uuid>.part    what has come so far
//! <node>-<uuid>.json    the record: what it is for, and how much of it is fsynced
//! ```
//!
//! The record's offset is what a client was told: it is written after an fsync of the bytes before
//! it. Bytes behind it, which a crash may have left, are cut off.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiggablend_raft::{FileId, JobId, NodeId, TimestampMs};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// An upload of which nothing came for so long is given up.
pub(super) const EXPIRES_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
const SWEEP_EVERY: Duration = Duration::from_secs(10 * 60);
/// Uploads that this node holds at a time.
const MAX_PARTS: usize = 1000;
/// What this node leaves free on its disk for everything else.
const SPARE_BYTES: u64 = 1 << 30;

/// The name of an upload: the node that has it, and the id that the scene file will have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct UploadId {
    pub(crate) node: NodeId,
    pub(crate) file: FileId,
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.node, self.file)
    }
}

impl FromStr for UploadId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (node, file) = text.split_once('-').ok_or(())?;
        Ok(Self {
            node: node.parse().map_err(drop)?,
            file: file.parse().map_err(drop)?,
        })
    }
}

/// What an upload is for and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) job: JobId,
    /// Made safe.
    pub(super) name: Option<String>,
    pub(super) length_bytes: u64,
    /// Fsynced.
    pub(super) offset_bytes: u64,
    pub(super) touched_at: TimestampMs,
    /// The job has the file. The record stays until it expires, for clients whose answer was lost.
    pub(super) is_done: bool,
}

impl Record {
    pub(super) fn expires_at(&self) -> TimestampMs {
        self.touched_at.plus(EXPIRES_AFTER)
    }

    fn missing_bytes(&self) -> u64 {
        match self.is_done {
            true => 0,
            false => self.length_bytes.saturating_sub(self.offset_bytes),
        }
    }
}

/// Why an upload cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum PartsError {
    #[error("this node holds as many unfinished uploads as it takes")]
    TooMany,
    #[error("the disk of this node has no room for the file")]
    Full,
    #[error("{doing}: {source}")]
    Io {
        doing: String,
        #[source]
        source: io::Error,
    },
}

impl PartsError {
    fn io(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let doing = format!("{doing} {}", path.display());
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io { doing, source },
        }
    }
}

/// One upload.
pub(super) struct Part {
    pub(super) id: UploadId,
    record: Mutex<Record>,
    /// Held by whoever writes to it, finishes it or removes it.
    pub(super) writing: Arc<tokio::sync::Mutex<()>>,
    /// Ends the request that writes now, for one that came later: its client has given it up.
    writer: Mutex<CancellationToken>,
}

impl Part {
    fn new(id: UploadId, record: Record) -> Self {
        Self {
            id,
            record: Mutex::new(record),
            writing: Arc::default(),
            writer: Mutex::default(),
        }
    }

    pub(super) fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// Tells the request that writes now to stop, and answers what tells the next one.
    pub(super) fn take_over(&self) -> CancellationToken {
        let mut writer = lock(&self.writer);
        writer.cancel();
        *writer = CancellationToken::new();
        writer.clone()
    }
}

/// All uploads of this node that are not done. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Parts(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    parts: Mutex<HashMap<UploadId, Arc<Part>>>,
}

impl Parts {
    /// Goes on with what an earlier start has left in the folder.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut parts = HashMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match read_record(&path) {
                Some((id, record)) => {
                    parts.insert(id, Arc::new(Part::new(id, record)));
                }
                // The bytes of an upload go with its record, below.
                None if path.extension().is_some_and(|kind| kind == "part") => {}
                None => fs::remove_file(&path)?,
            }
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let id = stem.and_then(|stem| stem.parse().ok());
            if id.is_none_or(|id| !parts.contains_key(&id)) {
                fs::remove_file(&path)?;
            }
        }
        let folder = folder.to_owned();
        let parts = Mutex::new(parts);
        Ok(Self(Arc::new(Inner { folder, parts })))
    }

    pub(super) fn get(&self, id: UploadId) -> Option<Arc<Part>> {
        lock(&self.0.parts).get(&id).cloned()
    }

    /// Makes room for a file of that length and remembers it, durably. Blocks for an fsync.
    pub(super) fn create(&self, id: UploadId, record: Record) -> Result<Arc<Part>, PartsError> {
        let part = Arc::new(Part::new(id, record.clone()));
        {
            let mut parts = lock(&self.0.parts);
            if parts.len() >= MAX_PARTS {
                return Err(PartsError::TooMany);
            }
            let promised: u64 = parts
                .values()
                .map(|part| part.record().missing_bytes())
                .sum();
            // At its end the file is here and in the content store.
            let needed = promised.saturating_add(record.length_bytes.saturating_mul(2));
            if self.free_bytes()? < needed.saturating_add(SPARE_BYTES) {
                return Err(PartsError::Full);
            }
            parts.insert(id, Arc::clone(&part));
        }
        let made = File::create(self.bytes_path(id))
            .map_err(PartsError::io("making", &self.bytes_path(id)))
            .and_then(|_| self.write_record(id, &record));
        if let Err(error) = made {
            self.remove(id);
            return Err(error);
        }
        Ok(part)
    }

    /// Bytes of all unfinished uploads for these jobs, as they will be.
    pub(super) fn promised_bytes(&self, is_counted: impl Fn(JobId) -> bool) -> u64 {
        let parts = lock(&self.0.parts);
        let records = parts.values().map(|part| part.record());
        records
            .filter(|record| !record.is_done && is_counted(record.job))
            .map(|record| record.length_bytes)
            .sum()
    }

    fn free_bytes(&self) -> Result<u64, PartsError> {
        let folder = &self.0.folder;
        let stat = nix::sys::statvfs::statvfs(folder)
            .map_err(|errno| PartsError::io("looking at", folder)(errno.into()))?;
        Ok(stat.blocks_available() as u64 * stat.fragment_size() as u64)
    }

    /// Opens the file behind the bytes that are known to be durable; what follows them goes.
    pub(super) fn writer(&self, part: &Arc<Part>) -> Result<PartWriter, PartsError> {
        let path = self.bytes_path(part.id);
        let offset_bytes = part.record().offset_bytes;
        let opening = || -> io::Result<File> {
            let mut file = File::options().write(true).open(&path)?;
            file.set_len(offset_bytes)?;
            file.seek(SeekFrom::Start(offset_bytes))?;
            Ok(file)
        };
        Ok(PartWriter {
            parts: self.clone(),
            part: Arc::clone(part),
            file: opening().map_err(PartsError::io("opening", &path))?,
            written_bytes: offset_bytes,
        })
    }

    pub(super) fn bytes_path(&self, id: UploadId) -> PathBuf {
        self.0.folder.join(format!("{id}.part"))
    }

    fn record_path(&self, id: UploadId) -> PathBuf {
        self.0.folder.join(format!("{id}.json"))
    }

    /// The job has the file: its bytes here are not needed any more. Blocks for an fsync.
    pub(super) fn finish(&self, part: &Part) -> Result<(), PartsError> {
        let record = {
            let mut record = lock(&part.record);
            record.is_done = true;
            record.touched_at = TimestampMs::now();
            record.clone()
        };
        self.write_record(part.id, &record)?;
        self.remove_file(&self.bytes_path(part.id));
        Ok(())
    }

    /// Forgets the upload and frees its space.
    pub(super) fn remove(&self, id: UploadId) {
        lock(&self.0.parts).remove(&id);
        // The record first: bytes without one are removed at the next start.
        self.remove_file(&self.record_path(id));
        self.remove_file(&self.bytes_path(id));
    }

    fn remove_file(&self, path: &Path) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a part of an upload stays behind");
            }
            _ => {}
        }
    }

    fn write_record(&self, id: UploadId, record: &Record) -> Result<(), PartsError> {
        let path = self.record_path(id);
        let writing = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.0.folder)?;
            file.write_all(&serde_json::to_vec(record)?)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(&self.0.folder)?.sync_all()
        };
        writing().map_err(PartsError::io("writing", &path))
    }

    /// Removes what nobody will finish: what is expired, and what `is_wanted` no job.
    fn sweep(&self, now: TimestampMs, is_wanted: impl Fn(JobId) -> bool) {
        let all: Vec<Arc<Part>> = lock(&self.0.parts).values().cloned().collect();
        for part in all {
            let record = part.record();
            let is_over = record.expires_at() <= now || !(record.is_done || is_wanted(record.job));
            if is_over && let Ok(_alone) = part.writing.try_lock() {
                self.remove(part.id);
            }
        }
    }
}

/// Writes behind what has come of an upload so far. Its methods block.
pub(super) struct PartWriter {
    parts: Parts,
    part: Arc<Part>,
    file: File,
    written_bytes: u64,
}

impl PartWriter {
    pub(super) fn write(&mut self, pieces: &[Bytes]) -> Result<(), PartsError> {
        let path = self.parts.bytes_path(self.part.id);
        for piece in pieces {
            self.file
                .write_all(piece)
                .map_err(PartsError::io("writing to", &path))?;
            self.written_bytes += piece.len() as u64;
        }
        Ok(())
    }

    /// Makes what was written durable, and then the record that says so.
    pub(super) fn make_durable(&mut self) -> Result<u64, PartsError> {
        let path = self.parts.bytes_path(self.part.id);
        self.file
            .sync_data()
            .map_err(PartsError::io("fsyncing", &path))?;
        let mut record = self.part.record();
        record.offset_bytes = self.written_bytes;
        record.touched_at = TimestampMs::now();
        self.parts.write_record(self.part.id, &record)?;
        *lock(&self.part.record) = record;
        Ok(self.written_bytes)
    }
}

fn read_record(path: &Path) -> Option<(UploadId, Record)> {
    if path.extension()? != "json" {
        return None;
    }
    let id = path.file_stem()?.to_str()?.parse().ok()?;
    let record = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some((id, record))
}

/// Removes uploads that nobody will finish, now and then, until the web port stops.
pub(crate) async fn sweep_parts(app: App) {
    let sweeping = async {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let swept = app.clone();
            let sweeping = tokio::task::spawn_blocking(move || sweep(&swept));
            if sweeping.await.is_err() {
                tracing::error!("sweeping the unfinished uploads failed");
            }
        }
    };
    app.stop.run_until_cancelled(sweeping).await;
}

fn sweep(app: &App) {
    app.parts.sweep(TimestampMs::now(), |id| {
        app.log.read(|state| {
            let job = state.jobs.get(&id);
            job.is_some_and(|job| job.scene.is_none() && !job.state.is_final())
        })
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn upload() -> (UploadId, Record) {
        let id = UploadId {
            node: NodeId(3),
            file: FileId::new(),
        };
        let record = Record {
            job: JobId::new(),
            name: Some("a.blend".into()),
            length_bytes: 100,
            offset_bytes: 0,
            touched_at: TimestampMs(1000),
            is_done: false,
        };
        (id, record)
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn an_id_names_its_node_and_is_never_a_path() {
        let (id, _) = upload();
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "3", "3-", "../3-x", "3-../../etc/passwd", "x-y"] {
            assert!(bad.parse::<UploadId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_told_survives_a_restart_and_what_was_not_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let (id, record) = upload();
        let parts = Parts::open(folder.path()).unwrap();
        let part = parts.create(id, record).unwrap();
        let mut writer = parts.writer(&part).unwrap();
        writer.write(&[Bytes::from_static(b"told")]).unwrap();
        writer.make_durable().unwrap();
        writer.write(&[Bytes::from_static(b"and lost")]).unwrap();
        drop((writer, part, parts));

        let parts = Parts::open(folder.path()).unwrap();
        let part = parts.get(id).unwrap();
        assert_eq!(part.record().offset_bytes, 4);
        let mut writer = parts.writer(&part).unwrap();
        writer.write(&[Bytes::from_static(b" more")]).unwrap();
        assert_eq!(writer.make_durable().unwrap(), 9);
        assert_eq!(fs::read(parts.bytes_path(id)).unwrap(), b"told more");
    }

    #[test]
    fn an_upload_that_nobody_finishes_frees_its_space() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path()).unwrap();
        let (expired, record) = upload();
        parts.create(expired, record).unwrap();
        let (unwanted, record) = upload();
        let job_that_is_gone = record.job;
        let fresh = TimestampMs(EXPIRES_AFTER.as_millis() as u64);
        parts
            .create(
                unwanted,
                Record {
                    touched_at: fresh,
                    ..record
                },
            )
            .unwrap();
        assert_eq!(files(folder.path()), 4);

        let now = TimestampMs(1000).plus(EXPIRES_AFTER);
        parts.sweep(now, |_| true);
        assert!(parts.get(expired).is_none());
        assert_eq!(files(folder.path()), 2);
        parts.sweep(now, |job| job != job_that_is_gone);
        assert!(parts.get(unwanted).is_none());
        assert_eq!(files(folder.path()), 0);
    }

    #[test]
    fn a_file_that_the_disk_has_no_room_for_is_refused_before_it_comes() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path()).unwrap();
        let (id, record) = upload();
        let huge = Record {
            length_bytes: u64::MAX / 4,
            ..record
        };
        assert!(matches!(parts.create(id, huge), Err(PartsError::Full)));
        assert_eq!(files(folder.path()), 0);
    }

    #[test]
    fn what_has_no_record_is_removed_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let (id, _) = upload();
        for name in [format!("{id}.part"), "x.json".into(), ".tmpabc".into()] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        Parts::open(folder.path()).unwrap();
        assert_eq!(files(folder.path()), 0);
    }
}
