//! A real redis-server of a test's own.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Ends with the test.
pub(crate) struct RealRedis {
    pub(crate) port: u16,
    folder: PathBuf,
    process: Child,
}

impl RealRedis {
    pub(crate) fn start() -> Self {
        // Given back at once: nobody else is given it so soon.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let folder =
            std::env::temp_dir().join(format!("tradewire-sim-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let mut process = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--save",
                "",
            ])
            // A large hash would otherwise tell its fields in an order that chance makes.
            .args(["--hash-max-listpack-value", "1000000"])
            .args(["--hash-max-listpack-entries", "100000"])
            .current_dir(&folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server, which this test needs; install it, or put it on the PATH");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let ready = |line: std::io::Result<String>| {
            line.expect("text").contains("Ready to accept connections")
        };
        assert!(
            lines.by_ref().any(ready),
            "redis-server ended before it was ready"
        );
        // It must not find its output closed or full.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            port,
            folder,
            process,
        }
    }
}

impl Drop for RealRedis {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
