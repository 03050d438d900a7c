//! Why a command is refused, in Redis' own words.

use bytes::Bytes;

use super::reply::Reply;

/// A refusal. What it says is what the client reads after the dash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    #[error("ERR value is out of range, value must between -2147483648 and 2147483647")]
    NotInt32,
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(&'static str),
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("NOAUTH Authentication required.")]
    NoAuth,
    #[error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
         AUTH <user> <pass> option can be used to authenticate the client and select the RESP \
         protocol version at the same time"
    )]
    NoAuthHello,
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPassword,
    #[error(
        "ERR AUTH <password> called without any password configured for the default user. Are you \
         sure your configuration is correct?"
    )]
    NoPassword,
    #[error("NOPROTO unsupported protocol version")]
    NoProtocol,
    #[error("ERR Protocol version is not an integer or out of range")]
    ProtocolNotInteger,
    #[error("ERR Client names cannot contain spaces, newlines or special characters.")]
    ClientName,
    #[error("ERR DB index is out of range")]
    Database,
    #[error(
        "ERR Can't execute '{0}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
         allowed in this context"
    )]
    Subscribed(&'static str),
    #[error("LOADING Redis is loading the dataset in memory")]
    Loading,
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    #[error("READONLY You can't write against a read only replica.")]
    ReadOnly,
    #[error("ERR invalid expire time in '{0}' command")]
    ExpireTime(&'static str),
    #[error("ERR Invalid stream ID specified as stream command argument")]
    StreamId,
    #[error("ERR The ID specified in XADD must be greater than 0-0")]
    StreamIdZero,
    #[error("ERR The ID specified in XADD is equal or smaller than the target stream top item")]
    StreamIdSmall,
    #[error("ERR The stream has exhausted the last possible ID, unable to add more items")]
    StreamIdsExhausted,
    #[error("ERR The MAXLEN argument must be >= 0.")]
    MaxLen,
    #[error("ERR timeout is not an integer or out of range")]
    TimeoutNotInteger,
    #[error("ERR timeout is negative")]
    TimeoutNegative,
    #[error(
        "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified."
    )]
    Unbalanced,
    #[error(
        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
         <consumer> option."
    )]
    GroupId,
    #[error("NOSCRIPT No matching script. Please use EVAL.")]
    NoScript,
    #[error("ERR Number of keys can't be negative")]
    KeysNegative,
    #[error("ERR Number of keys can't be greater than number of args")]
    KeysTooMany,
    #[error("ERR This Redis command is not allowed from script")]
    NotInScript,
    #[error("ERR Unknown Redis command called from script")]
    UnknownInScript,
    #[error("ERR Wrong number of args calling Redis command from script")]
    ArityInScript,
    #[error("ERR Lua redis lib command arguments must be strings or integers")]
    ScriptArgs,
    #[error("ERR Please specify at least one argument for this redis lib call")]
    ScriptNoArgs,
    /// One that repeats what the client said.
    #[error("{}", String::from_utf8_lossy(.0))]
    Echo(Bytes),
}

impl Refusal {
    /// One of these pieces. A zero byte ends a piece, as it does in C.
    pub(super) fn echo(pieces: &[&[u8]]) -> Self {
        let until_zero = |piece: &&[u8]| -> Vec<u8> {
            piece
                .iter()
                .copied()
                .take_while(|byte| *byte != 0)
                .collect()
        };
        let said: Vec<u8> = pieces.iter().flat_map(until_zero).collect();
        Self::Echo(Bytes::from(said))
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        if let Refusal::Echo(said) = refusal {
            Self::Error(said)
        } else {
            Self::error(refusal)
        }
    }
}
