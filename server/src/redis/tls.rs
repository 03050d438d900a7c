//! TLS to a Redis, over whatever the network gave.
//!
//! Certificates are always checked, against the authorities that the machine trusts, or those of
//! `SSL_CERT_FILE` and `SSL_CERT_DIR`. They are read anew for each connection, so that a renewed
//! authority needs no restart.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// Why there is no TLS.
pub(super) enum TlsError {
    /// No authority is trusted here.
    NoAuthorities,
    /// The handshake failed: certificates, versions, or no TLS at all at the other end.
    Handshake(io::Error),
}

/// Shakes hands with `host`.
pub(super) async fn wrap<S>(stream: S, host: &str) -> Result<TlsStream<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |error: rustls::Error| TlsError::Handshake(io::Error::other(error));
    let mut roots = RootCertStore::empty();
    // What cannot be read is left out: most machines trust a hundred others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TlsError::NoAuthorities);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| TlsError::Handshake(io::Error::other(error)))?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(TlsError::Handshake)
}
