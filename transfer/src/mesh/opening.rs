//! A stream counts as open when the peer's loop has taken it, and says so with one byte.
//!
//! libp2p-stream hands inbound streams over without waiting, and drops those that come while one
//! is waiting already: of several that are opened at one moment, some are reset. Whoever opens a
//! stream must not learn that from its first request, of which nobody could say whether it was
//! heard.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::{Control, OpenStreamError};
use tokio::time::sleep;

const TAKEN: u8 = 1;
const MAX_TRIES: u32 = 7;
/// After the first try that was dropped; doubled with each. Up to that much comes on top by
/// chance, so that those dropped together do not come back together.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Tells the opener that its stream is served from now on.
pub(super) async fn take(stream: &mut Stream) -> io::Result<()> {
    stream.write_all(&[TAKEN]).await?;
    stream.flush().await
}

/// Opens streams until the peer takes one; `connected` is awaited before each try.
///
/// # Errors
/// A peer that cannot be reached or that does not know `protocol`, at once; one that takes no
/// stream, and connections that are lost meanwhile, after some tries.
pub(super) async fn until_taken<C>(
    control: &Control,
    peer: PeerId,
    protocol: StreamProtocol,
    connected: impl Fn() -> C,
) -> Result<Stream, String>
where
    C: Future<Output = Result<(), String>>,
{
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    loop {
        connected().await?;
        let error = match opened(control.clone(), peer, protocol.clone()).await {
            Ok(stream) => return Ok(stream),
            Err(OpenStreamError::Io(error)) => error,
            Err(error) => return Err(error.to_string()),
        };
        if tries == MAX_TRIES {
            return Err(format!("the member does not take the stream: {error}"));
        }
        sleep(pause + pause.mul_f32(rand::random())).await;
        pause *= 2;
        tries += 1;
    }
}

async fn opened(
    mut control: Control,
    peer: PeerId,
    protocol: StreamProtocol,
) -> Result<Stream, OpenStreamError> {
    let mut stream = control.open_stream(peer, protocol).await?;
    let mut said = [0];
    stream.read_exact(&mut said).await?;
    match said {
        [TAKEN] => Ok(stream),
        _ => Err(io::Error::other("its first byte has no meaning").into()),
    }
}
