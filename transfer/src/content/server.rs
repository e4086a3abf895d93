//! Answering other members' requests from this node's store.

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::Semaphore;

use super::protocol::{Answer, MAX_LACKING_NAMED, Request, decode, encode};
use crate::store::Manifest;
use crate::{ContentStore, ManifestHash, RequestHandler, StoreError};

/// Requests worked on at a time, all members together: each holds a chunk in memory.
const REQUESTS_AT_A_TIME: usize = 32;

pub(super) struct ContentServer {
    store: ContentStore,
    places: Semaphore,
}

impl ContentServer {
    pub(super) fn new(store: ContentStore) -> Self {
        Self {
            store,
            places: Semaphore::new(REQUESTS_AT_A_TIME),
        }
    }

    async fn answer(&self, request: Request, body: Bytes) -> Result<(Answer, Bytes), StoreError> {
        let without_body = |answer| Ok((answer, Bytes::new()));
        match request {
            Request::Has(hash) => without_body(match self.store.has(hash) {
                true => Answer::Yes,
                false => Answer::No,
            }),
            Request::Manifest(hash) => Ok(match self.store.manifest(hash).await? {
                Some((_, encoded)) => (Answer::Here, encoded),
                None => (Answer::NotHere, Bytes::new()),
            }),
            Request::Chunk(hash) => Ok(match self.store.chunk(hash).await? {
                Some(bytes) => (Answer::Here, bytes),
                None => (Answer::NotHere, Bytes::new()),
            }),
            Request::Keep(hash) => without_body(self.keep(hash, &body).await?),
            Request::Give(hash) => {
                self.store.insert_chunk(hash, body).await?;
                without_body(Answer::Taken)
            }
        }
    }

    async fn keep(&self, hash: ManifestHash, encoded: &Bytes) -> Result<Answer, StoreError> {
        let manifest = Manifest::decode_verified(hash, encoded).map_err(StoreError::Corrupt)?;
        let mut lacking = self.store.lacking(&manifest).await?;
        if lacking.is_empty() {
            self.store.commit_manifest(manifest).await?;
            return Ok(Answer::Kept);
        }
        lacking.truncate(MAX_LACKING_NAMED);
        let positions = lacking
            .into_iter()
            .map(|position| u32::try_from(position).expect("a manifest's length is bounded"));
        Ok(Answer::Lacking(positions.collect()))
    }
}

#[async_trait]
impl RequestHandler for ContentServer {
    async fn handle(&self, _from: PeerId, request: Bytes) -> Result<Vec<u8>, String> {
        let (request, body) = decode(&request)?;
        let _place = self.places.acquire().await.map_err(|e| e.to_string())?;
        let (answer, body) = self
            .answer(request, body)
            .await
            .map_err(|error| error.to_string())?;
        encode(&answer, &body)
    }
}
