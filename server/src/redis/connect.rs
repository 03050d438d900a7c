//! One connection to a Redis: reached, logged in, and known to be new enough.
//!
//! This tries once and says what is wrong and what to do; who called decides when to try again.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, SendError};
use redis::{AsyncConnectionConfig, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;

use crate::net::Net;
use crate::redis::error::{ConnectError, Shown, refused};
use crate::redis::tls::{self, TlsError};
use crate::redis::url::RedisUrl;

/// The oldest Redis that is supported.
const VERSION_MIN: (u64, u64) = (6, 2);

/// What the caller does with a push; it must not block.
pub(crate) type PushSender = Arc<dyn Fn(redis::PushInfo) + Send + Sync>;

/// How to connect.
pub(crate) struct ConnectOptions {
    /// How long it may take in all: name, TCP, TLS and login.
    pub(crate) connect_max: Duration,
    /// How long the answer to a command may take. `None` is for commands that block.
    pub(crate) response_max: Option<Duration>,
    /// Who takes messages of channels, and the connection's end.
    pub(crate) pushes: Option<PushSender>,
}

/// A connection that is ready for commands.
pub(crate) struct Connected {
    /// Where commands go; clones share the connection.
    pub(crate) connection: MultiplexedConnection,
    /// Ends when the connection is gone; the connection ends when this is dropped.
    pub(crate) ended: AbortOnDropHandle<()>,
}

/// Connects to the Redis of `url`, logs in and speaks RESP3 from then on.
///
/// # Errors
/// When there is no connection within `options.connect_max`.
pub(crate) async fn connect<N: Net>(
    net: &N,
    url: &RedisUrl,
    options: ConnectOptions,
) -> Result<Connected, ConnectError> {
    let after = options.connect_max;
    let connecting = try_connect(net, url, options);
    tokio::time::timeout(after, connecting)
        .await
        .unwrap_or_else(|_| {
            Err(ConnectError::Timeout {
                place: url.place(),
                after,
            })
        })
}

async fn try_connect<N: Net>(
    net: &N,
    url: &RedisUrl,
    options: ConnectOptions,
) -> Result<Connected, ConnectError> {
    let stream =
        net.connect(url.host(), url.port())
            .await
            .map_err(|error| ConnectError::Network {
                place: url.place(),
                error,
            })?;
    if !url.tls() {
        return log_in(stream, url, options).await;
    }
    match tls::wrap(stream, url.host()).await {
        Ok(stream) => log_in(stream, url, options).await,
        Err(TlsError::NoAuthorities) => Err(ConnectError::NoAuthorities { place: url.place() }),
        Err(TlsError::Handshake(error)) => Err(ConnectError::Tls {
            place: url.place(),
            error,
        }),
    }
}

async fn log_in<S>(
    stream: S,
    url: &RedisUrl,
    options: ConnectOptions,
) -> Result<Connected, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut config = AsyncConnectionConfig::new().set_response_timeout(options.response_max);
    if let Some(pushes) = options.pushes {
        config = config.set_push_sender(move |push| {
            pushes(push);
            Ok::<(), SendError>(())
        });
    }
    let (mut connection, driver) =
        MultiplexedConnection::new_with_config(&url.login(), stream, config)
            .await
            .map_err(|error| refused(url, &error))?;
    let ended = AbortOnDropHandle::new(tokio::spawn(driver));
    // The crate keeps the answer to its own HELLO to itself.
    let hello: Value = redis::cmd("HELLO")
        .query_async(&mut connection)
        .await
        .map_err(|error| refused(url, &error))?;
    let Value::Map(fields) = &hello else {
        return Err(ConnectError::NotRedis { place: url.place() });
    };
    // A relative of Redis may count differently, and is then believed to be new enough.
    let version = fields
        .iter()
        .find(|(name, _)| text(name) == Some("version"));
    if let Some(version) = version.and_then(|(_, version)| text(version))
        && is_too_old(version)
    {
        return Err(ConnectError::TooOld {
            place: url.place(),
            version: Shown::new(version),
        });
    }
    Ok(Connected { connection, ended })
}

/// The text of a reply that is one.
fn text(value: &Value) -> Option<&str> {
    if let Value::BulkString(bytes) = value {
        core::str::from_utf8(bytes).ok()
    } else if let Value::SimpleString(text) | Value::VerbatimString { text, .. } = value {
        Some(text)
    } else {
        None
    }
}

/// Whether `version`, like `7.0.15`, is known to be below the oldest supported.
fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < VERSION_MIN,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::Tcp;

    async fn listen() -> (TcpListener, RedisUrl) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = RedisUrl::parse(&format!("redis://127.0.0.1:{port}")).unwrap();
        (listener, url)
    }

    fn options() -> ConnectOptions {
        ConnectOptions {
            connect_max: Duration::from_secs(5),
            response_max: None,
            pushes: None,
        }
    }

    /// Connects to a Redis that is only what is needed for that, and hands both ends back.
    async fn connected() -> (Connected, TcpStream) {
        let (listener, url) = listen().await;
        let redis = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            for _ in 0..2 {
                assert!(stream.read(&mut [0; 1_024]).await.unwrap() > 0);
                let hello = b"%2\r\n+version\r\n+7.0.15\r\n+proto\r\n:3\r\n";
                stream.write_all(hello).await.unwrap();
            }
            stream
        };
        let (connected, stream) = tokio::join!(connect(&Tcp, &url, options()), redis);
        (connected.unwrap_or_else(|error| panic!("{error}")), stream)
    }

    #[tokio::test]
    async fn the_end_of_a_connection_is_noticed() {
        let (connected, stream) = connected().await;
        drop(stream);
        connected.ended.await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_ends_with_who_has_it() {
        let (connected, mut stream) = connected().await;
        let clone = connected.connection.clone();
        drop(connected);
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        drop(clone);
    }

    #[tokio::test(start_paused = true)]
    async fn a_redis_that_never_answers_is_given_up_in_time() {
        let (_listener, url) = listen().await;
        let began = tokio::time::Instant::now();
        let error = connect(&Tcp, &url, options()).await.err().unwrap();
        assert!(matches!(error, ConnectError::Timeout { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(6));
    }

    #[test]
    fn only_what_is_known_to_be_old_is_too_old() {
        for old in ["2.8.24", "5.0.14", "6.0.16", "6.0", "6.1.9"] {
            assert!(is_too_old(old), "{old}");
        }
        for other in [
            "6.2.0",
            "6.2",
            "7.0.15",
            "8.2.1-rc1",
            "10.0",
            "df-v1.30.0",
            "",
            "6",
        ] {
            assert!(!is_too_old(other), "{other}");
        }
    }
}
