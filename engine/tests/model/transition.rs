//! What may happen. Choices are small numbers that the world takes modulo what there is, so that
//! every sequence means something and stays meaningful when it is shortened.

use proptest::prelude::*;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Transition {
    /// A client asks for a transport.
    Open,
    /// A transport sends CONNECT.
    Connect { pick: u8, hello: Hello },
    /// A session look-up is answered.
    Verdict { pick: u8, verdict: Verdict },
    /// A CONNECT answer was sent.
    Enter { pick: u8 },
    /// All of the above, for one client whose session is good.
    Arrive { hello: Hello },
    /// A client emits an event.
    Emit { pick: u8, call: Emitted, ack: bool },
    /// A client emits the same event again and again.
    Flood { pick: u8, times: u8 },
    /// A publisher hands in a batch.
    Publish { items: Vec<Item> },
    /// Something that the bus had to say reaches the node.
    BusSays { channel: Channel, count: u8 },
    /// A client reads.
    Read { pick: u8, packets: u8 },
    /// The driver looks at one outbox, or at all, without being asked.
    Look { pick: Option<u8> },
    /// Time passes, and the engine is woken when it wanted to be.
    Pass { ms: u32 },
    /// Time passes unnoticed.
    Oversleep { ms: u32 },
    /// A client leaves the namespace.
    Leave { pick: u8 },
    /// A transport ends.
    Vanish { pick: u8 },
    /// Something is said of a connection that is gone.
    Ghost { pick: u8, what: u8 },
    /// The engine is written down and read again.
    Checkpoint,
    /// Faults stop, everyone reads, and a few seconds pass.
    Settle,
    /// A signal to leave.
    Drain,
    /// A second one.
    Hurry,
}

/// What a client says in its handshake.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) user: u8,
    pub(crate) session: u8,
    pub(crate) claim: Claim,
    pub(crate) last: Last,
    pub(crate) restore: Option<Option<(bool, bool, Vec<u8>)>>,
    pub(crate) replaces: Option<u8>,
}

#[derive(Clone, Debug)]
pub(crate) enum Claim {
    Absent,
    Malformed,
    Right,
}

#[derive(Clone, Debug)]
pub(crate) enum Last {
    Absent,
    Malformed,
    /// One of the user's own.
    Own(u8),
    /// One of anyone's.
    Known(u8),
    /// One that does not.
    Forged,
}

#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// The session is this user's.
    Found(u8),
    Trusted,
    Unavailable,
    Unknown,
}

#[derive(Clone, Debug)]
pub(crate) enum Emitted {
    Portfolio,
    Trades,
    Watch(Option<Vec<u8>>),
    Unwatch(Option<Vec<u8>>),
    Unknown,
}

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) to: To,
    /// An idempotency key, of which there are few.
    pub(crate) id: Option<u8>,
    pub(crate) pad: u8,
}

#[derive(Clone, Debug)]
pub(crate) enum To {
    Market,
    Portfolio(u8),
    Quote(u8),
    Trade(u8),
}

/// The three ways from the bus to the node; each keeps its order, and none knows of the others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Channel {
    Answers,
    Log,
    State,
}

/// A whole run: whether delivery is to subscribers only, and what happens.
pub(crate) fn sequence() -> impl Strategy<Value = (bool, Vec<Transition>)> {
    let body = prop::collection::vec(transition(), 1..500);
    let tail = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(transition(), 1..60).prop_map(|mut tail| {
            tail.insert(0, Transition::Drain);
            tail
        }),
    ];
    (any::<bool>(), body, tail).prop_map(|(subscribed, mut body, tail)| {
        body.extend(tail);
        (subscribed, body)
    })
}

fn transition() -> impl Strategy<Value = Transition> {
    prop_oneof![
        4 => Just(Transition::Open),
        4 => (any::<u8>(), hello()).prop_map(|(pick, hello)| Transition::Connect { pick, hello }),
        4 => (any::<u8>(), verdict())
            .prop_map(|(pick, verdict)| Transition::Verdict { pick, verdict }),
        3 => any::<u8>().prop_map(|pick| Transition::Enter { pick }),
        14 => hello().prop_map(|hello| Transition::Arrive { hello }),
        20 => (any::<u8>(), emitted(), any::<bool>())
            .prop_map(|(pick, call, ack)| Transition::Emit { pick, call, ack }),
        1 => (any::<u8>(), 1..30u8).prop_map(|(pick, times)| Transition::Flood { pick, times }),
        30 => prop::collection::vec(item(), 1..6).prop_map(|items| Transition::Publish { items }),
        40 => (channel(), 1..20u8)
            .prop_map(|(channel, count)| Transition::BusSays { channel, count }),
        25 => (any::<u8>(), 1..12u8).prop_map(|(pick, packets)| Transition::Read { pick, packets }),
        3 => prop::option::of(any::<u8>()).prop_map(|pick| Transition::Look { pick }),
        12 => (0..250u32).prop_map(|ms| Transition::Pass { ms }),
        2 => (0..40_000u32).prop_map(|ms| Transition::Pass { ms }),
        1 => (0..8_000u32).prop_map(|ms| Transition::Oversleep { ms }),
        2 => any::<u8>().prop_map(|pick| Transition::Leave { pick }),
        6 => any::<u8>().prop_map(|pick| Transition::Vanish { pick }),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(pick, what)| Transition::Ghost { pick, what }),
        1 => Just(Transition::Checkpoint),
        1 => Just(Transition::Settle),
        1 => prop::bool::weighted(0.02)
            .prop_map(|drain| if drain { Transition::Drain } else { Transition::Hurry }),
    ]
}

fn hello() -> impl Strategy<Value = Hello> {
    let claim = prop_oneof![
        1 => Just(Claim::Absent),
        1 => Just(Claim::Malformed),
        20 => Just(Claim::Right),
    ];
    let last = prop_oneof![
        6 => Just(Last::Absent),
        1 => Just(Last::Malformed),
        8 => any::<u8>().prop_map(Last::Own),
        1 => any::<u8>().prop_map(Last::Known),
        1 => Just(Last::Forged),
    ];
    let wishes = prop::option::weighted(0.95, (any::<bool>(), any::<bool>(), symbols(0)));
    (
        any::<u8>(),
        any::<u8>(),
        claim,
        last,
        prop::option::of(wishes),
        prop::option::weighted(0.3, any::<u8>()),
    )
        .prop_map(|(user, session, claim, last, restore, replaces)| Hello {
            user,
            session,
            claim,
            last,
            restore,
            replaces,
        })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        4 => any::<u8>().prop_map(Verdict::Found),
        4 => Just(Verdict::Trusted),
        1 => Just(Verdict::Unavailable),
        1 => Just(Verdict::Unknown),
    ]
}

fn symbols(least: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), least..5)
}

fn emitted() -> impl Strategy<Value = Emitted> {
    let list = || prop::option::weighted(0.9, symbols(1));
    prop_oneof![
        2 => Just(Emitted::Portfolio),
        2 => Just(Emitted::Trades),
        6 => list().prop_map(Emitted::Watch),
        6 => list().prop_map(Emitted::Unwatch),
        1 => Just(Emitted::Unknown),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let to = prop_oneof![
        2 => Just(To::Market),
        3 => any::<u8>().prop_map(To::Portfolio),
        5 => any::<u8>().prop_map(To::Quote),
        8 => any::<u8>().prop_map(To::Trade),
    ];
    let id = prop::option::weighted(0.05, 0..4u8);
    (to, id, any::<u8>()).prop_map(|(to, id, pad)| Item { to, id, pad })
}

fn channel() -> impl Strategy<Value = Channel> {
    prop_oneof![
        4 => Just(Channel::Answers),
        3 => Just(Channel::Log),
        3 => Just(Channel::State),
    ]
}
