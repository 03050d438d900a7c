//! A real `redis-server` of a test's own, and the `tradewire doctor` that looks at it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// How many ports are tried: another process may take one before Redis does.
const TRIES: usize = 20;

/// A folder that is gone with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("doctor-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A Redis that runs until it is dropped.
pub struct Redis {
    child: Child,
    pub port: u16,
    _folder: Folder,
}

impl Redis {
    /// Starts one that keeps everything, with `options` on top, and waits until it is ready.
    pub fn start(name: &str, options: &[&str]) -> Self {
        Self::start_at("--port", name, options)
    }

    /// Starts one whose port is given by the option `port`.
    pub fn start_at(port_option: &str, name: &str, options: &[&str]) -> Self {
        for _ in 0..TRIES {
            let port = free_port();
            let folder = Folder::new(&format!("{name}-{port}"));
            let mut child = Command::new("redis-server")
                .args([port_option, &port.to_string(), "--bind", "127.0.0.1"])
                .args(["--appendonly", "yes", "--save", "", "--dir"])
                .arg(&folder.0)
                .args(options)
                .stdout(Stdio::piped())
                .spawn()
                .expect("redis-server is needed");
            let log = BufReader::new(child.stdout.take().unwrap());
            let ready = "Ready to accept connections";
            if log.lines().any(|line| line.unwrap().contains(ready)) {
                return Self {
                    child,
                    port,
                    _folder: folder,
                };
            }
            child.wait().unwrap();
        }
        panic!("no redis-server starts with {options:?}");
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listened on a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// What `tradewire doctor` printed, and how it ended.
pub struct Visit {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Visit {
    /// The line of a check, or nothing.
    pub fn line(&self, check: &str) -> &str {
        self.out
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(check))
            .unwrap_or_default()
    }

    /// Asserts that a check went so and says all of `words`.
    #[track_caller]
    pub fn expect(&self, grade: &str, check: &str, words: &[&str]) {
        let line = self.line(check);
        assert!(
            line.starts_with(grade),
            "{check} is no {grade}: {}",
            self.out
        );
        for word in words {
            assert!(line.contains(word), "{word} is missing: {line}");
        }
    }
}

/// Runs `tradewire doctor` on the Redis at `url`.
pub fn visit(url: &str) -> Visit {
    visit_with(&[("REDIS_URL", url.as_ref())])
}

/// Runs `tradewire doctor` with these variables and no others.
pub fn visit_with(variables: &[(&str, &Path)]) -> Visit {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_tradewire"))
        .arg("doctor")
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    Visit {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}
