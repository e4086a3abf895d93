//! The content store of one node: chunks and manifests on its own disk.
//!
//! - [`types`]: hashes and how files are cut; [`manifest`]: what a file consists of, encoded.
//! - [`cutting`]: bytes into chunks; [`hashing`]: a file's name, without storing it.
//! - [`disk`]: files, fsync and the order of both. The files are the truth.
//! - [`index`]: a redb table over them, which is rebuilt from the files where it may be behind.
//! - [`ContentStore`]: all of it together.

mod content_store;
mod cutting;
mod disk;
mod error;
mod hashing;
mod index;
mod manifest;
#[cfg(test)]
mod tests;
mod types;

pub use content_store::ContentStore;
pub use error::StoreError;
pub(crate) use manifest::{Body, ChunkRef, Manifest};
pub use types::{ChunkHash, Chunking, ManifestHash, Stored};
