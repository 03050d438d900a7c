//! The segments of a trace: one file, or those of a directory in their order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the names of segments end with.
const EXTENSION: &str = "trace";

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilesError {
    /// The path cannot be read.
    #[error("{}: {error}", .path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The path is a device or a pipe, which may never end.
    #[error("{}: neither a file nor a directory", .0.display())]
    Other(PathBuf),
    /// The directory has no segments.
    #[error("{}: no file in it ends with .trace", .0.display())]
    None(PathBuf),
}

/// The files to read, in order: names sort by life and number.
pub(super) fn segments(path: &Path) -> Result<Vec<PathBuf>, FilesError> {
    let unreadable = |error| FilesError::Path {
        path: path.to_owned(),
        error,
    };
    let kind = fs::metadata(path).map_err(unreadable)?;
    if kind.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if !kind.is_dir() {
        return Err(FilesError::Other(path.to_owned()));
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.is_file() && file.extension().is_some_and(|found| found == EXTENSION) {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(FilesError::None(path.to_owned()));
    }
    files.sort();
    Ok(files)
}

/// One file's bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, FilesError> {
    fs::read(path).map_err(|error| FilesError::Path {
        path: path.to_owned(),
        error,
    })
}
