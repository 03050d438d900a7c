//! Names the engine by its sources, so that a trace says which decisions it was made with.

use std::path::{Path, PathBuf};
use std::{fs, io};

use xxhash_rust::xxh3::Xxh3;

fn main() -> io::Result<()> {
    let sources = Path::new("../src");
    let mut files = Vec::new();
    collect(sources, &mut files)?;
    files.sort();
    let mut hash = Xxh3::new();
    for file in files {
        hash.update(file.to_string_lossy().as_bytes());
        hash.update(&fs::read(file)?);
    }
    let text = format!(
        "cargo::rerun-if-changed=../src\ncargo::rustc-env=ENGINE_HASH={:016x}\n",
        hash.digest()
    );
    io::Write::write_all(&mut io::stdout(), text.as_bytes())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
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
