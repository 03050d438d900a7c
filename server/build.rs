//! Builds the dashboard with npm and writes a table of its files for `src/http/dashboard.rs` to embed.
//!
//! What this machine lacks (npm, a recent Node.js, the packages) costs the dashboard and is warned about;
//! a mistake in the dashboard's own sources fails the build. It writes to `OUT_DIR`, and into the sources
//! only the dashboard's `node_modules`.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "cargo is spoken to on the standard output, and speaks through the environment"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the page is made of. `node_modules` follows from the lock file.
const SOURCES: [&str; 7] = [
    ".npmrc",
    "index.html",
    "package-lock.json",
    "package.json",
    "public",
    "src",
    "vite.config.ts",
];

/// Which lock file `node_modules` was made from.
const STAMP: &str = "node_modules/.tradewire-lock";

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let dashboard = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboard");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    for source in SOURCES {
        println!(
            "cargo::rerun-if-changed={}",
            dashboard.join(source).display()
        );
    }
    // Builds of several profiles may run at once, and share `node_modules`.
    let lock = File::open(dashboard.join("package-lock.json"))?;
    lock.lock()?;
    let (table, missing) = match prepare(&dashboard) {
        Ok(()) => {
            let site = out.join("dashboard");
            build(&dashboard, &site)?;
            (table(&site)?, None)
        }
        Err(missing) => {
            println!("cargo::warning=built without the dashboard: {missing}");
            // Once npm is found elsewhere, it is tried again.
            println!("cargo::rerun-if-env-changed=PATH");
            (String::new(), Some(missing.to_string()))
        }
    };
    let code = format!(
        "/// Every file of the dashboard; none if it could not be built.\n\
         const FILES: &[File] = &[\n{table}];\n\
         /// Why there is no dashboard.\n\
         const MISSING: Option<&str> = {missing:?};\n"
    );
    fs::write(out.join("dashboard.rs"), code)?;
    Ok(())
}

/// Why there can be no dashboard.
#[derive(Debug)]
enum Missing {
    Npm,
    Node(String),
    Packages(String),
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Npm => f.write_str("npm was not found"),
            Self::Node(version) => write!(
                f,
                "Node.js 20.19, 22.12 or newer is needed, this is {version}"
            ),
            Self::Packages(why) => write!(f, "npm ci failed in server/dashboard ({why})"),
        }
    }
}

/// Sees to it that `node_modules` is what the lock file says.
fn prepare(dashboard: &Path) -> Result<(), Missing> {
    let version = |program| {
        let output = Command::new(program).arg("--version").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let (Some(node), Some(_)) = (version("node"), version("npm")) else {
        return Err(Missing::Npm);
    };
    if !is_recent(&node) {
        return Err(Missing::Node(node));
    }
    let wanted = fs::read(dashboard.join("package-lock.json")).ok();
    let stamp = dashboard.join(STAMP);
    if wanted.is_some() && fs::read(&stamp).ok() == wanted {
        return Ok(());
    }
    // Without a network it should be known soon.
    let output = Command::new("npm")
        .args(["ci", "--include=dev", "--prefer-offline"])
        .args([
            "--fetch-retry-mintimeout=500",
            "--fetch-retry-maxtimeout=2000",
        ])
        .current_dir(dashboard)
        .output()
        .map_err(|error| Missing::Packages(error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let why = said.lines().find(|line| line.starts_with("npm error"));
        return Err(Missing::Packages(
            why.unwrap_or("it did not say why").to_owned(),
        ));
    }
    // Without the stamp the next build installs again, which is slow and right.
    let _ = fs::write(stamp, wanted.unwrap_or_default());
    Ok(())
}

/// `v22.12.0`: whether Vite runs on it.
fn is_recent(version: &str) -> bool {
    let mut parts = version.trim_start_matches('v').split('.');
    let mut part = || parts.next().and_then(|part| part.parse::<u32>().ok());
    match (part(), part()) {
        (Some(20), Some(minor)) => minor >= 19,
        (Some(22), Some(minor)) => minor >= 12,
        (Some(major), _) => major > 22,
        (None, _) => false,
    }
}

fn build(dashboard: &Path, site: &Path) -> Result<(), Failure> {
    let output = Command::new("node")
        .args(["node_modules/vite/bin/vite.js", "build", "--emptyOutDir"])
        .arg("--outDir")
        .arg(site)
        .current_dir(dashboard)
        // Whatever is set here, the page is one for production.
        .env("NODE_ENV", "production")
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let (said, complained) = (output.stdout, output.stderr);
    Err(format!(
        "vite build failed in server/dashboard:\n{}{}",
        String::from_utf8_lossy(&said),
        String::from_utf8_lossy(&complained)
    )
    .into())
}

/// One entry for each file: its path, what it is, and its bytes.
fn table(site: &Path) -> Result<String, Failure> {
    let mut files = Vec::new();
    collect(site, &mut files)?;
    files.sort();
    let mut table = String::new();
    for file in files.iter().filter(|file| !has_extension(file, "gz")) {
        let name = file
            .strip_prefix(site)?
            .to_string_lossy()
            .replace('\\', "/");
        let mut packed = file.clone().into_os_string();
        packed.push(".gz");
        let packed = PathBuf::from(packed);
        let packed = files.contains(&packed).then_some(packed);
        let mut hasher = DefaultHasher::new();
        hasher.write(&fs::read(file)?);
        writeln!(
            table,
            "    File {{ path: {:?}, tag: \"{:016x}\", plain: include_bytes!({:?}), gzip: {} }},",
            format!("/{name}"),
            hasher.finish(),
            file,
            packed.map_or("None".to_owned(), |packed| format!(
                "Some(include_bytes!({packed:?}))"
            )),
        )?;
    }
    Ok(table)
}

fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
