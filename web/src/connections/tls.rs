//! TLS on the web port: the certificate from its files, read again when they change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// How long a certificate that was replaced may go on being shown.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// The first byte of each TLS connection: a handshake record. No HTTP request begins so.
const HANDSHAKE_RECORD: u8 = 22;

/// Where a node's certificate is, as PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, and those that lead from it to its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The certificate that the web port shows.
pub struct Certificates {
    files: TlsFiles,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    version: FilesVersion,
    looked_at: Instant,
}

/// What tells a replaced file from the one that was read.
type FilesVersion = [(SystemTime, u64); 2];

impl Certificates {
    /// Reads the files; an error names the one that is wrong and says what to do.
    pub fn read(files: TlsFiles) -> io::Result<Self> {
        let version = version_of(&files)?;
        let current = Current {
            acceptor: acceptor_of(&files)?,
            version,
            looked_at: Instant::now(),
        };
        Ok(Self {
            files,
            current: Mutex::new(current),
        })
    }

    /// Shakes hands with the newest certificate that can be read.
    pub(super) async fn accept(
        self: &Arc<Self>,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor().await.accept(stream).await
    }

    async fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let now = Instant::now();
        let must_look = {
            let mut current = self.current();
            let is_due = now.duration_since(current.looked_at) >= LOOK_AGAIN_AFTER;
            if is_due {
                // Others go on with the old one meanwhile.
                current.looked_at = now;
            }
            is_due
        };
        if must_look {
            let this = Arc::clone(self);
            let looked = tokio::task::spawn_blocking(move || this.look_again()).await;
            if let Ok(Err(error)) = looked {
                tracing::warn!(%error, "cannot read the new certificate; the web port goes on with the old one");
            }
        }
        self.current().acceptor.clone()
    }

    /// Takes in what stands in the files now; an error changes nothing.
    pub(crate) fn look_again(&self) -> io::Result<()> {
        let version = version_of(&self.files)?;
        if version == self.current().version {
            return Ok(());
        }
        // A certificate without its new key is refused here and found again at the next look.
        let acceptor = acceptor_of(&self.files)?;
        let mut current = self.current();
        current.acceptor = acceptor;
        current.version = version;
        tracing::info!(certificate = %self.files.certificate.display(), "the web port shows a new certificate");
        Ok(())
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current
            .lock()
            .expect("nothing panics while it holds the certificate")
    }
}

/// Waits for the first byte, and leaves it there.
pub(super) async fn begins_with_handshake(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let read = stream.peek(&mut first).await?;
    Ok(read == 1 && first[0] == HANDSHAKE_RECORD)
}

fn version_of(files: &TlsFiles) -> io::Result<FilesVersion> {
    let version = |path: &Path| {
        let metadata = std::fs::metadata(path).map_err(|error| cannot_read(path, &error))?;
        Ok::<_, io::Error>((metadata.modified()?, metadata.len()))
    };
    Ok([version(&files.certificate)?, version(&files.key)?])
}

fn acceptor_of(files: &TlsFiles) -> io::Result<TlsAcceptor> {
    let certificate = &files.certificate;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| cannot_read(certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| cannot_read(&files.key, &error))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key);
    let mut config = config.map_err(|error| {
        io::Error::other(format!(
            "cannot use the certificate {} with the key {}: {error}; give the files of one certificate",
            certificate.display(),
            files.key.display()
        ))
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn cannot_read(path: &Path, error: &dyn std::error::Error) -> io::Error {
    io::Error::other(format!(
        "cannot read {} as PEM: {error}; check --tls-cert and --tls-key",
        path.display()
    ))
}
