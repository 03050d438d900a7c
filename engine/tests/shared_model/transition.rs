//! What may happen. Choices are small numbers that the world takes modulo what there is, so that
//! every sequence means something and stays meaningful when it is shortened.

use proptest::prelude::*;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Transition {
    /// A client comes as far as its session's verdict, and further if its CONNECT answer is sent.
    Arrive {
        hello: Hello,
    },
    /// A CONNECT answer was sent.
    Enter {
        pick: u8,
    },
    /// A client emits an event.
    Emit {
        pick: u8,
        call: Emitted,
    },
    /// A publisher hands in a batch, or the last one once more.
    Publish {
        items: Vec<Item>,
    },
    Republish {
        pick: u8,
    },
    /// An emitter's message to one room is heard.
    Emitter {
        item: Item,
    },
    /// Another node publishes.
    Elsewhere {
        items: Vec<Item>,
    },
    /// A user of another node connects there, or all of them leave.
    ConnectElsewhere {
        user: u8,
    },
    LeaveElsewhere,
    /// Something that the bus has to say reaches the node.
    BusSays {
        channel: Channel,
        count: u8,
    },
    /// An answer of the bus is lost, though it did what it was asked.
    AnswerLost,
    /// The bus takes nothing in and does not answer, or does so again.
    Deaf(bool),
    /// The bus answers that it cannot, or does what it is asked again.
    Refusing(bool),
    /// The contact ends; the contact is made.
    Cut,
    Reach,
    /// Messages of values are lost on their way, which is noticed.
    StateMissed,
    /// The bus forgets all its data; or log events that were not read yet.
    DataLost,
    Trimmed,
    /// Sessions are found gone for a while.
    SessionsGone {
        seconds: u8,
    },
    /// A client reads.
    Read {
        pick: u8,
        packets: u8,
    },
    /// Time passes, and the engine is woken when it wanted to be.
    Pass {
        ms: u32,
    },
    /// Time passes unnoticed.
    Oversleep {
        ms: u32,
    },
    /// A transport ends.
    Vanish {
        pick: u8,
    },
    /// The engine is written down and read again.
    Checkpoint,
    /// Faults stop, everyone reads, and some time passes.
    Settle,
}

/// What a client says in its handshake.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) user: u8,
    pub(crate) found: bool,
    pub(crate) last: Last,
    pub(crate) restore: Option<(bool, bool, Vec<u8>)>,
    pub(crate) replaces: Option<u8>,
    pub(crate) enters: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Last {
    Absent,
    /// One of the user's own that this node has read, counted from the newest.
    Read(u8),
    /// The newest of the user's own, which may not be read yet.
    Newest,
    /// One of anyone's.
    Known(u8),
    Forged,
}

#[derive(Clone, Debug)]
pub(crate) enum Emitted {
    Portfolio,
    Trades,
    Watch(Vec<u8>),
    Unwatch(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) to: To,
    pub(crate) keyed: bool,
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
    (any::<bool>(), prop::collection::vec(transition(), 1..400))
}

fn transition() -> impl Strategy<Value = Transition> {
    let busy = prop_oneof![
        14 => hello().prop_map(|hello| Transition::Arrive { hello }),
        3 => any::<u8>().prop_map(|pick| Transition::Enter { pick }),
        22 => (any::<u8>(), emitted()).prop_map(|(pick, call)| Transition::Emit { pick, call }),
        25 => items(5).prop_map(|items| Transition::Publish { items }),
        2 => any::<u8>().prop_map(|pick| Transition::Republish { pick }),
        3 => item().prop_map(|item| Transition::Emitter { item }),
        10 => items(4).prop_map(|items| Transition::Elsewhere { items }),
        3 => any::<u8>().prop_map(|user| Transition::ConnectElsewhere { user }),
        1 => Just(Transition::LeaveElsewhere),
        70 => (channel(), 1..15u8)
            .prop_map(|(channel, count)| Transition::BusSays { channel, count }),
        20 => (any::<u8>(), 1..12u8).prop_map(|(pick, packets)| Transition::Read { pick, packets }),
        12 => (0..250u32).prop_map(|ms| Transition::Pass { ms }),
        3 => (0..20_000u32).prop_map(|ms| Transition::Pass { ms }),
        5 => any::<u8>().prop_map(|pick| Transition::Vanish { pick }),
    ];
    let faulty = prop_oneof![
        2 => Just(Transition::AnswerLost),
        2 => prop::bool::weighted(0.3).prop_map(Transition::Deaf),
        3 => prop::bool::weighted(0.4).prop_map(Transition::Refusing),
        3 => Just(Transition::Cut),
        6 => Just(Transition::Reach),
        2 => Just(Transition::StateMissed),
        1 => Just(Transition::DataLost),
        1 => Just(Transition::Trimmed),
        2 => (5..30u8).prop_map(|seconds| Transition::SessionsGone { seconds }),
        1 => (0..8_000u32).prop_map(|ms| Transition::Oversleep { ms }),
        2 => Just(Transition::Checkpoint),
        1 => Just(Transition::Settle),
    ];
    prop_oneof![9 => busy, 1 => faulty]
}

fn hello() -> impl Strategy<Value = Hello> {
    let last = prop_oneof![
        6 => Just(Last::Absent),
        5 => any::<u8>().prop_map(Last::Read),
        4 => Just(Last::Newest),
        1 => any::<u8>().prop_map(Last::Known),
        1 => Just(Last::Forged),
    ];
    let restore = (any::<bool>(), any::<bool>(), symbols(0));
    (
        any::<u8>(),
        any::<bool>(),
        last,
        prop::option::of(restore),
        prop::option::weighted(0.3, any::<u8>()),
        prop::bool::weighted(0.8),
    )
        .prop_map(|(user, found, last, restore, replaces, enters)| Hello {
            user,
            found,
            last,
            restore,
            replaces,
            enters,
        })
}

fn symbols(least: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), least..4)
}

fn emitted() -> impl Strategy<Value = Emitted> {
    prop_oneof![
        2 => Just(Emitted::Portfolio),
        2 => Just(Emitted::Trades),
        6 => symbols(1).prop_map(Emitted::Watch),
        6 => symbols(1).prop_map(Emitted::Unwatch),
    ]
}

fn items(most: usize) -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec(item(), 1..most)
}

fn item() -> impl Strategy<Value = Item> {
    let to = prop_oneof![
        2 => Just(To::Market),
        3 => any::<u8>().prop_map(To::Portfolio),
        6 => any::<u8>().prop_map(To::Quote),
        4 => any::<u8>().prop_map(To::Trade),
    ];
    (to, prop::bool::weighted(0.3)).prop_map(|(to, keyed)| Item { to, keyed })
}

fn channel() -> impl Strategy<Value = Channel> {
    prop_oneof![
        4 => Just(Channel::Answers),
        3 => Just(Channel::Log),
        3 => Just(Channel::State),
    ]
}
