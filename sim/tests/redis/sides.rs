//! The simulated and the real Redis side by side: the same said to both, and what they answer compared.
//!
//! What must differ is made equal before, and nothing else:
//! - ids that Redis makes (`XADD *`) say when that was: each is replaced by its place in the order in
//!   which ids were seen on that side;
//! - the time left that `PTTL` tells is rounded to the lives that the steps use.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::test_runner::TestCaseError;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;
use tradewire_sim::redis::{Redis, Settings};

use crate::real::RealRedis;
use crate::steps::{Step, Word};
use crate::wire::{Frame, Wire, request};

/// What a life is a multiple of, in ms.
const LIFE_STEP: i64 = 100_000;

/// The ids that one side made.
#[derive(Default)]
struct Seen {
    places: BTreeMap<Vec<u8>, usize>,
    ids: Vec<Vec<u8>>,
}

impl Seen {
    fn replace(&mut self, frame: &mut Frame) {
        match frame {
            Frame::Bulk(text) if is_made_id(text) => {
                let place = *self.places.entry(text.clone()).or_insert_with(|| {
                    self.ids.push(text.clone());
                    self.ids.len() - 1
                });
                *text = format!("id {place}").into_bytes();
            }
            Frame::Items(_, items) => items.iter_mut().for_each(|item| self.replace(item)),
            Frame::Line(..) | Frame::Bulk(_) | Frame::None(_) => {}
        }
    }

    fn text(&self, word: &Word, names: &[String]) -> Vec<u8> {
        match word {
            Word::Text(text) => text.clone(),
            Word::Seen(place) => self.ids.get(*place).cloned().unwrap_or(b"0-1".to_vec()),
            // One that was never loaded comes after them.
            Word::Script(place) => {
                let unknown = || "0".repeat(40);
                names
                    .get(*place)
                    .cloned()
                    .unwrap_or_else(unknown)
                    .into_bytes()
            }
        }
    }
}

/// `<13 digits>-<digits>`.
fn is_made_id(text: &[u8]) -> bool {
    let (ms, seq) = text.split_at(text.len().min(13));
    ms.len() == 13
        && ms.iter().all(u8::is_ascii_digit)
        && seq.len() > 1
        && seq[0] == b'-'
        && seq[1..].iter().all(u8::is_ascii_digit)
}

/// Rounds the time left.
fn round_life(frame: &mut Frame) {
    if let Frame::Line(b':', text) = frame {
        let left: i64 = std::str::from_utf8(text).unwrap().parse().unwrap();
        if left > 1_000 {
            let lives = (left + LIFE_STEP / 2) / LIFE_STEP;
            *text = format!("about {lives} lives").into_bytes();
        }
    }
}

/// A connection to each.
struct Pair {
    simulated: Wire<DuplexStream>,
    real: Wire<TcpStream>,
    /// A blocking read has not been answered.
    waits: bool,
}

/// Both of them.
pub(crate) struct Sides {
    pub(crate) redis: Redis,
    pairs: Vec<Pair>,
    simulated_seen: Seen,
    real_seen: Seen,
    names: Vec<String>,
}

/// Connects to the simulated Redis.
pub(crate) fn connect_simulated(redis: &Redis) -> Wire<DuplexStream> {
    let (client, server) = tokio::io::duplex(1 << 20);
    let redis = redis.clone();
    tokio::spawn(async move { redis.serve(server).await });
    Wire::new(client)
}

pub(crate) async fn connect_real(real: &RealRedis) -> Wire<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", real.port))
        .await
        .expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    Wire::new(stream)
}

/// Says something to one and waits for the answer.
pub(crate) async fn ask<S>(wire: &mut Wire<S>, words: &[&str]) -> Frame
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    wire.send(&request(words)).await;
    wire.frame().await.expect("an answer")
}

pub(crate) fn same<T: PartialEq + Debug>(
    simulated: T,
    real: T,
    of: &impl Debug,
) -> Result<(), TestCaseError> {
    if simulated == real {
        return Ok(());
    }
    let text = format!("to {of:?}\nsimulated: {simulated:?}\nreal:      {real:?}");
    Err(TestCaseError::fail(text))
}

impl Sides {
    /// Both without data, with three connections: old protocol, new protocol, and one that has said
    /// nothing of it.
    pub(crate) async fn new(
        real: &RealRedis,
        scripts: &[(&str, String)],
    ) -> Result<Self, TestCaseError> {
        let redis = Redis::new(Settings::default()).expect("a sandbox");
        let mut admin = connect_real(real).await;
        ask(&mut admin, &["FLUSHALL"]).await;
        let mut sides = Self {
            pairs: Vec::new(),
            redis,
            simulated_seen: Seen::default(),
            real_seen: Seen::default(),
            names: Vec::new(),
        };
        for hello in [Some("2"), Some("3"), None] {
            let mut pair = Pair {
                simulated: connect_simulated(&sides.redis),
                real: connect_real(real).await,
                waits: false,
            };
            if let Some(version) = hello {
                let (mut simulated, mut real) = (
                    ask(&mut pair.simulated, &["HELLO", version]).await,
                    ask(&mut pair.real, &["HELLO", version]).await,
                );
                without_client_id(&mut simulated);
                without_client_id(&mut real);
                same(simulated, real, &"HELLO")?;
            }
            sides.pairs.push(pair);
        }
        for (_, script) in scripts {
            let name = sides.both(1, &["SCRIPT", "LOAD", script]).await?;
            let [Frame::Bulk(name)] = &name[..] else {
                return Err(TestCaseError::fail(format!("{name:?}")));
            };
            sides.names.push(String::from_utf8(name.clone()).unwrap());
        }
        Ok(sides)
    }

    /// Says the same to both on one connection and compares the answers, which it hands back.
    pub(crate) async fn both(
        &mut self,
        connection: usize,
        words: &[&str],
    ) -> Result<Vec<Frame>, TestCaseError> {
        self.both_bytes(connection, &request(words)).await
    }

    /// The same for requests one after the other.
    pub(crate) async fn both_bytes(
        &mut self,
        connection: usize,
        bytes: &[u8],
    ) -> Result<Vec<Frame>, TestCaseError> {
        let pair = &mut self.pairs[connection];
        let (simulated, real) = tokio::join!(
            async {
                pair.simulated.send(bytes).await;
                pair.simulated.mark().await;
                pair.simulated.until_mark().await
            },
            async {
                pair.real.send(bytes).await;
                pair.real.mark().await;
                pair.real.until_mark().await
            },
        );
        same(&simulated, &real, &bytes.escape_ascii().to_string())?;
        Ok(simulated)
    }

    /// Asks both, and leaves it to the caller to compare.
    pub(crate) async fn ask_both(&mut self, words: &[&str]) -> (Frame, Frame) {
        let pair = &mut self.pairs[1];
        (
            ask(&mut pair.simulated, words).await,
            ask(&mut pair.real, words).await,
        )
    }

    /// The name under which a script was loaded.
    pub(crate) fn name(&self, place: usize) -> String {
        self.names[place].clone()
    }

    /// The same for one of the server's by its own name in capitals; anything else is itself.
    pub(crate) fn name_of(&self, word: &str) -> String {
        let scripts = crate::scripts::scripts();
        let place = scripts
            .iter()
            .position(|(name, _)| name.to_uppercase() == word);
        place.map_or_else(|| word.to_owned(), |place| self.name(place))
    }

    /// Says the same to both and compares what comes on all connections.
    pub(crate) async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        // The first never waits, so that one is always free.
        let connection = if self.pairs[step.connection].waits || may_wait(step) {
            let mut others = [1, 2].into_iter().filter(|other| !self.pairs[*other].waits);
            let free = others.next();
            if may_wait(step) && free.is_none() {
                return Ok(());
            }
            free.unwrap_or(0)
        } else {
            step.connection
        };
        let bytes = |seen: &Seen| {
            let words = step.words.iter().map(|word| seen.text(word, &self.names));
            request(&words.collect::<Vec<_>>())
        };
        let (simulated, real) = (bytes(&self.simulated_seen), bytes(&self.real_seen));
        for_both(&mut self.pairs[connection], &simulated, &real).await;
        if may_wait(step) {
            // Until the simulation has answered, nobody knows whether there will be an answer.
            let pair = &mut self.pairs[connection];
            pair.waits = !pair.simulated.is_marked().await;
        }
        if !self.pairs[connection].waits {
            self.compare(connection, step).await?;
        }
        for other in 0..self.pairs.len() {
            let pair = &mut self.pairs[other];
            if pair.waits {
                pair.waits = !pair.simulated.is_marked().await;
            } else if other != connection {
                pair.simulated.mark().await;
                pair.real.mark().await;
            }
            if other != connection && !self.pairs[other].waits {
                self.compare(other, step).await?;
            }
        }
        Ok(())
    }

    async fn compare(&mut self, connection: usize, step: &Step) -> Result<(), TestCaseError> {
        let pair = &mut self.pairs[connection];
        let (mut simulated, mut real) = (
            pair.simulated.until_mark().await,
            pair.real.until_mark().await,
        );
        let asks_life =
            matches!(&step.words[0], Word::Text(name) if name.eq_ignore_ascii_case(b"PTTL"));
        for (frames, seen) in [
            (&mut simulated, &mut self.simulated_seen),
            (&mut real, &mut self.real_seen),
        ] {
            for frame in frames {
                seen.replace(frame);
                if asks_life {
                    round_life(frame);
                }
            }
        }
        same(simulated, real, &(connection, &step.words))
    }

    /// Nobody says anything to those who still wait.
    pub(crate) async fn nobody_is_told(&mut self) -> Result<(), TestCaseError> {
        self.both(0, &["PING"]).await?;
        for pair in &mut self.pairs {
            if pair.waits && pair.real.is_marked().await {
                return Err(TestCaseError::fail("only the simulated one waits"));
            }
        }
        Ok(())
    }
}

async fn for_both(pair: &mut Pair, simulated: &[u8], real: &[u8]) {
    pair.simulated.send(simulated).await;
    pair.simulated.mark().await;
    pair.real.send(real).await;
    pair.real.mark().await;
}

fn may_wait(step: &Step) -> bool {
    let is = |word: &Word, name: &[u8]| matches!(word, Word::Text(text) if text.eq_ignore_ascii_case(name));
    is(&step.words[0], b"XREAD") && step.words.iter().any(|word| is(word, b"BLOCK"))
}

/// Which client it is depends on how many were there before.
pub(crate) fn without_client_id(hello: &mut Frame) {
    if let Frame::Items(_, items) = hello {
        let place = items
            .iter()
            .position(|item| *item == Frame::Bulk(b"id".to_vec()));
        if let Some(place) = place {
            items[place + 1] = Frame::Line(b':', b"id".to_vec());
        }
    }
}
