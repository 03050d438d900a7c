//! The publisher: POSTs to /api/publish on a connection that is kept.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::BenchError;

/// One connection to publish on, one POST after the other.
#[derive(Debug)]
pub(crate) struct Publisher {
    stream: TcpStream,
    head: String,
    answer: Vec<u8>,
}

impl Publisher {
    pub(crate) async fn connect(server: SocketAddr, token: &str) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "POST /api/publish HTTP/1.1\r\nHost: {server}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: "
        );
        Ok(Self {
            stream,
            head,
            answer: Vec::new(),
        })
    }

    /// Publishes a body, and waits until it is taken.
    pub(crate) async fn publish(&mut self, body: &str) -> Result<(), BenchError> {
        let request = format!("{}{}\r\n\r\n{body}", self.head, body.len());
        self.stream.write_all(request.as_bytes()).await?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(BenchError::Publish("nothing, and closed".into()));
            }
            let Some(length) = whole(&self.answer) else {
                continue;
            };
            if self.answer.len() >= length {
                break;
            }
        }
        if self.answer.starts_with(b"HTTP/1.1 202") {
            return Ok(());
        }
        let answer = String::from_utf8_lossy(&self.answer);
        let line = answer.lines().next().unwrap_or_default();
        Err(BenchError::Publish(line.to_owned()))
    }
}

/// How long an answer is, once its head is there.
fn whole(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n")?;
    let text = std::str::from_utf8(answer.get(..head)?).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let named = name.eq_ignore_ascii_case("content-length");
        named.then(|| value.trim().parse::<usize>().ok())?
    });
    Some(head + 4 + length.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is_there() {
        assert_eq!(whole(b"HTTP/1.1 202 Accepted\r\n"), None);
        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-LENGTH: 5\r\n\r\n";
        assert_eq!(whole(answer), Some(answer.len() + 5));
    }
}
