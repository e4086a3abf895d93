//! Calls that another node of the farm must answer: they travel through the mesh, as HTTP/1 on a
//! stream of their own, and are answered there by the same routes under the same rules.
//!
//! [`forward`] sends one off with the caller's credentials; [`serve`] answers those that members
//! send. The client's address travels in a header that nobody believes on the web port.

mod client;
mod server;

use async_trait::async_trait;
use axum::http::HeaderName;
use jiggablend_raft::NodeId;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use client::forward;
pub(crate) use server::{Forwarded, serve};

/// The client's address, as the node saw it that the client called.
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("x-jiggablend-client-address");
/// `1` where the client's connection to that node was encrypted.
const CLIENT_TLS: HeaderName = HeaderName::from_static("x-jiggablend-client-tls");

/// A stream of bytes between the web rooms of two nodes.
pub trait NeighbourStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> NeighbourStream for T {}

/// The way to the web rooms of the farm's other nodes. The node implements it with its mesh, which
/// lets members through and nobody else.
#[async_trait]
pub trait Neighbours: Send + Sync + 'static {
    /// Opens a stream to that node, which expects one request on it. The error says in one line
    /// why there is none.
    async fn connect(&self, node: NodeId) -> Result<Box<dyn NeighbourStream>, String>;

    /// The next stream that a member has opened to this node; `None` when there are no more. Safe
    /// to cancel.
    async fn accept(&self) -> Option<Box<dyn NeighbourStream>>;
}
