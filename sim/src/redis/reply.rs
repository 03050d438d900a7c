//! Replies and pushes, and how either protocol writes them.

use bytes::{BufMut as _, Bytes, BytesMut};

/// Which RESP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Resp2,
    Resp3,
}

/// What is said to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Status(Bytes),
    /// With its code, without the dash.
    Error(Bytes),
    Int(i64),
    Bulk(Bytes),
    Null,
    NullArray,
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
    /// Pairs that the old protocol has as lists of two.
    Pairs(Vec<(Self, Self)>),
    Push(Vec<Self>),
    /// Several, one after the other.
    Each(Vec<Self>),
}

impl Reply {
    pub(super) const OK: Self = Self::Status(Bytes::from_static(b"OK"));

    pub(super) fn text(text: &'static str) -> Self {
        Self::Bulk(Bytes::from_static(text.as_bytes()))
    }

    /// A length or count.
    pub(super) fn count(count: usize) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(super) fn error(error: impl ToString) -> Self {
        Self::Error(Bytes::from(error.to_string()))
    }

    /// Writes it as `protocol` has it.
    pub(super) fn write(&self, protocol: Protocol, out: &mut BytesMut) {
        let new = protocol == Protocol::Resp3;
        match self {
            Self::Status(text) => line(out, b'+', text),
            Self::Error(text) => line(out, b'-', text),
            Self::Int(number) => head(out, b':', number),
            Self::Bulk(bytes) => {
                head(out, b'$', &bytes.len());
                out.put_slice(bytes);
                out.put_slice(b"\r\n");
            }
            Self::Null if new => out.put_slice(b"_\r\n"),
            Self::Null => out.put_slice(b"$-1\r\n"),
            Self::NullArray if new => out.put_slice(b"_\r\n"),
            Self::NullArray => out.put_slice(b"*-1\r\n"),
            Self::Array(items) => {
                head(out, b'*', &items.len());
                items.iter().for_each(|item| item.write(protocol, out));
            }
            Self::Map(pairs) => {
                if new {
                    head(out, b'%', &pairs.len());
                } else {
                    head(out, b'*', &(pairs.len() * 2));
                }
                for (key, value) in pairs {
                    key.write(protocol, out);
                    value.write(protocol, out);
                }
            }
            Self::Pairs(pairs) => {
                head(out, if new { b'%' } else { b'*' }, &pairs.len());
                for (key, value) in pairs {
                    if !new {
                        out.put_slice(b"*2\r\n");
                    }
                    key.write(protocol, out);
                    value.write(protocol, out);
                }
            }
            Self::Push(items) => {
                head(out, if new { b'>' } else { b'*' }, &items.len());
                items.iter().for_each(|item| item.write(protocol, out));
            }
            Self::Each(replies) => replies.iter().for_each(|reply| reply.write(protocol, out)),
        }
    }
}

/// A line of text, which must not hold a line's end.
fn line(out: &mut BytesMut, kind: u8, text: &[u8]) {
    out.put_u8(kind);
    let text = match text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')) {
        Some(last) => text.get(..=last).unwrap_or(text),
        None => &[],
    };
    out.extend(text.iter().map(|byte| match byte {
        b'\r' | b'\n' => b' ',
        other => *other,
    }));
    out.put_slice(b"\r\n");
}

fn head(out: &mut BytesMut, kind: u8, number: &impl ToString) {
    out.put_u8(kind);
    out.put_slice(number.to_string().as_bytes());
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply, protocol: Protocol) -> String {
        let mut out = BytesMut::new();
        reply.write(protocol, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn both_protocols_are_written() {
        let pair = || vec![(Reply::text("a"), Reply::Int(-1))];
        for (reply, resp2, resp3) in [
            (Reply::OK, "+OK\r\n", "+OK\r\n"),
            (Reply::error("ERR a\nb\r\n"), "-ERR a b\r\n", "-ERR a b\r\n"),
            (Reply::Null, "$-1\r\n", "_\r\n"),
            (Reply::NullArray, "*-1\r\n", "_\r\n"),
            (
                Reply::Map(pair()),
                "*2\r\n$1\r\na\r\n:-1\r\n",
                "%1\r\n$1\r\na\r\n:-1\r\n",
            ),
            (
                Reply::Pairs(pair()),
                "*1\r\n*2\r\n$1\r\na\r\n:-1\r\n",
                "%1\r\n$1\r\na\r\n:-1\r\n",
            ),
            (
                Reply::Push(vec![Reply::Int(1)]),
                "*1\r\n:1\r\n",
                ">1\r\n:1\r\n",
            ),
            (
                Reply::Array(vec![Reply::Null]),
                "*1\r\n$-1\r\n",
                "*1\r\n_\r\n",
            ),
            (
                Reply::Each(vec![Reply::OK, Reply::OK]),
                "+OK\r\n+OK\r\n",
                "+OK\r\n+OK\r\n",
            ),
        ] {
            assert_eq!(written(&reply, Protocol::Resp2), resp2);
            assert_eq!(written(&reply, Protocol::Resp3), resp3);
        }
    }
}
