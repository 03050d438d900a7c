//! Several servers in one process: nothing about a server is global.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tradewire_server::clock::SystemClock;
use tradewire_server::config::{self, Secret};
use tradewire_server::net::Tcp;
use tradewire_server::{Handles, Seeds, Shutdown, StartError, run};

struct Running {
    address: SocketAddr,
    shutdown: watch::Sender<Shutdown>,
    server: JoinHandle<Result<(), StartError>>,
}

async fn start(port: u16) -> Result<Running, StartError> {
    let args = [format!("--websocket-port={port}").into()];
    let config = config::parse(args, |_| None).unwrap();
    let seeds = Seeds {
        engine: 1,
        instance: 2,
        epoch: 3,
        demo: 4,
    };
    let (started, address) = oneshot::channel();
    let (shutdown, asked) = watch::channel(Shutdown::No);
    let token = Secret::new("token");
    let mut server = tokio::spawn(run(
        Tcp,
        SystemClock::start(),
        config,
        token,
        seeds,
        Handles {
            started,
            shutdown: asked,
            recording: None,
        },
    ));
    tokio::select! {
        address = address => match address {
            Ok(address) => Ok(Running { address, shutdown, server }),
            Err(_) => Err(server.await.unwrap().unwrap_err()),
        },
        ended = &mut server => Err(ended.unwrap().unwrap_err()),
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[tokio::test]
async fn two_servers_share_a_process_and_end_apart() {
    let first = start(0).await.unwrap();
    let second = start(0).await.unwrap();
    assert_ne!(first.address, second.address);
    for address in [first.address, second.address] {
        assert!(
            get(address, "/health/ready")
                .await
                .starts_with("HTTP/1.1 200")
        );
    }
    first.shutdown.send(Shutdown::Drain).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), first.server).await;
    ended.unwrap().unwrap().unwrap();
    assert!(
        get(second.address, "/health/ready")
            .await
            .starts_with("HTTP/1.1 200")
    );
    // What the first one listened on is free again.
    let third = start(first.address.port()).await.unwrap();
    assert_eq!(third.address, first.address);
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_says_what_to_do() {
    let first = start(0).await.unwrap();
    let Err(error) = start(first.address.port()).await else {
        panic!("it started")
    };
    let error = error.to_string();
    assert!(error.contains(&first.address.to_string()), "{error}");
    assert!(error.contains("WEBSOCKET_PORT"), "{error}");
}
