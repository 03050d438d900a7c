//! Where the repository is, for tests that look at it.

use std::path::{Path, PathBuf};

/// The repository's top folder.
#[must_use]
pub fn top() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
