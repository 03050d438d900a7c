//! `bare-socketioxide`: the library that Tradewire stands on, by itself, with plain rooms and its default
//! settings; to see what Tradewire adds and what it saves.
//!
//! `PORT` and `PUBLISH_TOKEN` as Tradewire reads them. It checks no more than the peers do.

#![expect(
    clippy::disallowed_methods,
    reason = "a peer of its own, which takes its settings from the environment as the others do"
)]

use std::env;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef};

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Auth {
    #[serde(rename = "sessionID")]
    session_id: Option<String>,
    user_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    event: String,
    user_id: Option<String>,
    symbol: Option<String>,
    data: Value,
}

#[derive(Serialize)]
struct Confirmed {
    r#type: &'static str,
    symbols: Vec<String>,
}

async fn entered(socket: SocketRef, Data(auth): Data<Auth>) {
    let (Some(_), Some(user)) = (auth.session_id, auth.user_id) else {
        // The socket may have gone already.
        let _ = socket.disconnect();
        return;
    };
    socket.join(format!("user:{user}"));
    let watch = async |socket: SocketRef, Data(symbols): Data<Vec<String>>| {
        for symbol in &symbols {
            socket.join(format!("symbol:{symbol}"));
        }
        let confirmed = Confirmed {
            r#type: "watchlist",
            symbols,
        };
        let _ = socket.emit("subscription:confirmed", &confirmed);
    };
    socket.on("subscribe:watchlist", watch);
}

async fn publish(
    State((io, token)): State<(SocketIo, String)>,
    headers: HeaderMap,
    Json(items): Json<Vec<Item>>,
) -> Result<(StatusCode, Json<Value>), StatusCode> {
    let authorization = headers.get("authorization");
    if authorization.is_none_or(|given| given.as_bytes() != token.as_bytes()) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let accepted = items.len();
    for item in items {
        // What finds a buffer full is dropped: that is the library's default.
        let _ = match (item.user_id, item.symbol) {
            (Some(user), _) => {
                io.to(format!("user:{user}"))
                    .emit(item.event, &item.data)
                    .await
            }
            (_, Some(symbol)) => {
                io.to(format!("symbol:{symbol}"))
                    .emit(item.event, &item.data)
                    .await
            }
            (None, None) => io.emit(item.event, &item.data).await,
        };
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "accepted": accepted }))))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (layer, io) = SocketIo::builder()
        .ping_interval(Duration::from_secs(15))
        .ping_timeout(Duration::from_secs(10))
        .build_layer();
    io.ns("/", entered);
    let token = format!("Bearer {}", env::var("PUBLISH_TOKEN").unwrap_or_default());
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok());
    let app = Router::new()
        .route("/api/publish", post(publish))
        .route("/health/websocket", get(async || "{}"))
        .with_state((io, token))
        .layer(layer);
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    // With the usual queue of 128 clients time out while they wait to be accepted, and without
    // TCP_NODELAY answers wait for acknowledgements, which would say nothing of the library.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, port.unwrap_or(3000)).into())?;
    let listener = socket.listen(4_096)?;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await
}
