//! Texts that must not be seen: tokens, signing secrets, addresses with passwords in them.
//!
//! A secret never reaches a log, an error or a trace, and guessing one learns nothing from how long a
//! refusal takes.

use core::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A text that only its users see.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Hides `text` from here on.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The text itself, for those that sign, verify or show it once.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether `given` is the secret.
    ///
    /// The time taken depends on the length of what was given, never on the secret: both are hashed
    /// first, so that a wrong length is not told apart from a wrong byte.
    #[must_use]
    pub fn matches(&self, given: &[u8]) -> bool {
        Sha256::digest(given)
            .ct_eq(&Sha256::digest(self.expose()))
            .into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_itself_and_nothing_else() {
        let secret = Secret::new("s3cret");
        assert!(secret.matches(b"s3cret"));
        for other in ["", "s", "s3cre", "s3crets", "S3cret", "s3cret ", "s3cret\0"] {
            assert!(!secret.matches(other.as_bytes()), "{other:?}");
        }
        assert!(!secret.matches(b"\xff\xfe"));
    }

    #[test]
    fn a_secret_is_not_seen_when_printed() {
        let secret = Secret::new("s3cret");
        assert_eq!(
            format!("{secret:?} {:?}", Some(&secret)),
            "[redacted] Some([redacted])"
        );
        assert_eq!(secret.expose(), b"s3cret");
    }
}
