//! Files that are replaced whole.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces the file in one step: a reader, and the disk after a power cut, has the old one or
/// the new one, whole. Nobody but the owner can read it: `tempfile` creates with mode 0600.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}
