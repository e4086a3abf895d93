//! The channels between members, and the names that they have on the wire.

use libp2p::StreamProtocol;

/// HTTP/1 between the web rooms of two members.
pub(super) const WEB_PROTOCOL: StreamProtocol = StreamProtocol::new("/jiggablend/web/2");

/// What travels over the mesh between members. Each is a libp2p protocol of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The job log's requests (Raft and forwarded proposals).
    JobLog,
    /// The standing streams between a node and the leader.
    Link,
    /// Chunks and manifests.
    Content,
}

impl Channel {
    /// Requests and their answers.
    pub(super) fn call_protocol(self) -> StreamProtocol {
        StreamProtocol::new(match self {
            Self::JobLog => "/jiggablend/job-log/call/2",
            Self::Link => "/jiggablend/link/call/2",
            Self::Content => "/jiggablend/content/call/2",
        })
    }

    /// Message streams.
    pub(super) fn stream_protocol(self) -> StreamProtocol {
        StreamProtocol::new(match self {
            Self::JobLog => "/jiggablend/job-log/stream/2",
            Self::Link => "/jiggablend/link/stream/2",
            Self::Content => "/jiggablend/content/stream/2",
        })
    }
}
