//! nginx as the peer of the transfer benches: one process that serves and takes files.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::node::free_port;
use crate::wait::{Look, wait_for};
use crate::{Result, TestnetError};

const START_DEADLINE: Duration = Duration::from_secs(10);

/// A running nginx, ended when this is dropped.
pub(super) struct Nginx {
    port: u16,
    root: PathBuf,
    _process: Child,
}

impl Nginx {
    /// Serves `dir/nginx/root`, and takes files there by PUT.
    pub(super) async fn start(dir: &Path) -> Result<Self> {
        let prefix = dir.join("nginx");
        let root = prefix.join("root");
        for folder in [&root, &prefix.join("temporary")] {
            std::fs::create_dir_all(folder)
                .map_err(TestnetError::io(format!("making {}", folder.display())))?;
        }
        let port = free_port()?;
        let file = prefix.join("nginx.conf");
        std::fs::write(&file, configuration(&prefix, port))
            .map_err(TestnetError::io(format!("writing {}", file.display())))?;
        let mut process = Command::new(program())
            .arg("-p")
            .arg(&prefix)
            .arg("-e")
            .arg(prefix.join("error.log"))
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(TestnetError::io("starting nginx"))?;
        wait_for("nginx to serve", START_DEADLINE, || {
            let ended = process.try_wait().ok().flatten();
            let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
            async move {
                match (ended, connected) {
                    (Some(status), _) => Look::Never(format!("it ended ({status})")),
                    (None, Ok(_)) => Look::Seen(()),
                    (None, Err(error)) => Look::NotYet(error.to_string()),
                }
            }
        })
        .await?;
        Ok(Self {
            port,
            root,
            _process: process,
        })
    }

    pub(super) fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// Where the file lies that [`Self::url`] of this name names.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// `NGINX`, or the one of the system; Debian keeps it where only root's PATH leads.
fn program() -> PathBuf {
    match std::env::var_os("NGINX") {
        Some(given) => given.into(),
        None if Path::new("/usr/sbin/nginx").is_file() => "/usr/sbin/nginx".into(),
        None => "nginx".into(),
    }
}

/// All of it below the prefix. One process: one connection has one worker anyway, and dropping
/// the process leaves none behind.
fn configuration(prefix: &Path, port: u16) -> String {
    let temporary = prefix.join("temporary");
    let temporary = temporary.display();
    let prefix = prefix.display();
    format!(
        "daemon off;
master_process off;
pid {prefix}/nginx.pid;
events {{}}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_max_body_size 0;
    client_body_temp_path {temporary};
    proxy_temp_path {temporary};
    fastcgi_temp_path {temporary};
    uwsgi_temp_path {temporary};
    scgi_temp_path {temporary};
    server {{
        listen 127.0.0.1:{port};
        root {prefix}/root;
        dav_methods PUT;
    }}
}}
"
    )
}
