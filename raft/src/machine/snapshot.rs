//! Snapshots: the whole state as one file, and the folder that keeps the newest.
//!
//! A file is `MAGIC`, the blake3 hash of the rest, then zstd'd msgpack. It is written under
//! another name, fsynced, renamed, and its folder fsynced, before older ones go.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use openraft::type_config::alias::SnapshotMetaOf;
use serde::{Deserialize, Serialize};

use super::Point;
use crate::State;
use crate::consensus::{LogId, StoredMembership, TypeConfig};

const MAGIC: &[u8; 8] = b"jblsnap1";
const HEADER_BYTES: usize = MAGIC.len() + blake3::OUT_LEN;
/// A larger file is not read, nor taken from the leader.
pub(crate) const MAX_SNAPSHOT_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// What a snapshot may unpack to: a bound against a crafted file.
const MAX_UNPACKED_BYTES: u64 = 16 * 1024 * 1024 * 1024;
const ZSTD_LEVEL: i32 = 1;
const SUFFIX: &str = ".snapshot";

/// A snapshot's file, in memory: it cannot vanish while it is sent or installed.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotBytes(pub(crate) Bytes);

pub(crate) type SnapshotMeta = SnapshotMetaOf<TypeConfig>;

/// What is in a snapshot's file.
#[derive(Serialize)]
struct ContentRef<'a> {
    applied: &'a Option<LogId>,
    membership: &'a StoredMembership,
    state: &'a State,
}

#[derive(Deserialize)]
struct Content {
    applied: Option<LogId>,
    membership: StoredMembership,
    state: State,
}

/// A state and its encoded form.
pub(crate) struct Snapshot {
    pub(crate) point: Point,
    pub(crate) bytes: SnapshotBytes,
}

impl Snapshot {
    /// Encodes the state; seconds for a very large one, so not for an async task.
    pub(crate) fn encode(point: Point) -> io::Result<Self> {
        let mut file = vec![0; HEADER_BYTES];
        let mut packer = zstd::Encoder::new(&mut file, ZSTD_LEVEL)?;
        let content = ContentRef {
            applied: &point.applied,
            membership: &point.membership,
            state: &point.state,
        };
        rmp_serde::encode::write_named(&mut packer, &content).map_err(io::Error::other)?;
        packer.finish()?;
        let hash = blake3::hash(&file[HEADER_BYTES..]);
        file[..MAGIC.len()].copy_from_slice(MAGIC);
        file[MAGIC.len()..HEADER_BYTES].copy_from_slice(hash.as_bytes());
        Ok(Self {
            point,
            bytes: SnapshotBytes(file.into()),
        })
    }

    /// Checks and decodes a snapshot's file.
    pub(crate) fn decode(bytes: SnapshotBytes) -> io::Result<Self> {
        let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let file = &bytes.0;
        if file.len() < HEADER_BYTES || file[..MAGIC.len()] != MAGIC[..] {
            return Err(damaged("it is not a snapshot"));
        }
        let packed = &file[HEADER_BYTES..];
        let hash = blake3::hash(packed);
        if file[MAGIC.len()..HEADER_BYTES] != hash.as_bytes()[..] {
            return Err(damaged("its checksum does not match"));
        }
        let unpacker = io::Read::take(zstd::Decoder::new(packed)?, MAX_UNPACKED_BYTES);
        let mut content: Content = rmp_serde::from_read(io::BufReader::new(unpacker))
            .map_err(|error| damaged(&error.to_string()))?;
        content.state.rebuild_index();
        Ok(Self {
            point: Point {
                applied: content.applied,
                membership: content.membership,
                state: content.state,
            },
            bytes,
        })
    }

    pub(crate) fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.point.applied,
            last_membership: self.point.membership.clone(),
        }
    }
}

/// The folder of snapshots. All calls block on the disk.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotStore {
    dir: PathBuf,
}

impl SnapshotStore {
    /// Opens the folder and clears away what an interrupted write left.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "part")
            {
                fs::remove_file(path)?;
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// Keeps the snapshot on disk; when this returns, older ones are gone and it is not.
    pub(crate) fn save(&self, snapshot: &Snapshot) -> io::Result<()> {
        let name = format!("{:020}{SUFFIX}", snapshot.point.index());
        let path = self.dir.join(&name);
        let part = self.dir.join(format!("{name}.part"));
        let mut file = fs::File::create(&part)?;
        file.write_all(&snapshot.bytes.0)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&part, &path)?;
        self.sync_dir()?;
        for older in self.list()? {
            if older < path {
                fs::remove_file(older)?;
            }
        }
        Ok(())
    }

    /// The newest snapshot that is whole. Damaged ones are set aside with a warning.
    pub(crate) fn newest(&self) -> io::Result<Option<Snapshot>> {
        for path in self.list()?.into_iter().rev() {
            if fs::metadata(&path)?.len() > MAX_SNAPSHOT_BYTES {
                self.set_aside(&path, "it is too large")?;
                continue;
            }
            let bytes = SnapshotBytes(fs::read(&path)?.into());
            match Snapshot::decode(bytes) {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(error) => self.set_aside(&path, &error.to_string())?,
            }
        }
        Ok(None)
    }

    /// Snapshots by their names, oldest first.
    fn list(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.ends_with(SUFFIX)) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn set_aside(&self, path: &Path, reason: &str) -> io::Result<()> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".damaged");
        tracing::warn!(?path, reason, "setting a damaged snapshot aside");
        fs::rename(path, aside)?;
        self.sync_dir()
    }

    fn sync_dir(&self) -> io::Result<()> {
        fs::File::open(&self.dir)?.sync_all()
    }
}
