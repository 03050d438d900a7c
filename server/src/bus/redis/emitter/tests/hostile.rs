//! Whatever anyone sends on an emitter's channel is refused or comes out well formed, at little cost.

use proptest::prelude::*;

use super::*;

#[test]
fn lengths_are_not_believed() {
    let huge: [&[u8]; 6] = [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xdc\xff\xff",
    ];
    for head in huge {
        assert!(read("socket.io#/#", head).is_err());
        let status = b"\x92\xadmarket:status\x80".as_slice();
        for (data, rooms) in [(head, b"\x90".as_slice()), (status, head)] {
            let whole = message(data, rooms);
            assert!(read("socket.io#/#", &whole).is_err());
            // Where it stands nothing follows.
            let at = whole.windows(head.len()).position(|w| w == head).unwrap();
            assert!(read("socket.io#/#", &whole[..at + head.len()]).is_err());
        }
        let data = [b"\x92\xadmarket:status", head].concat();
        assert!(read("socket.io#/#", &message(&data, b"\x90")).is_err());
    }
}

#[test]
fn nesting_ends_at_its_limit() {
    let nested = |depth: usize| {
        let inner = [&[0x91].repeat(depth - 2), b"\x90".as_slice()].concat();
        status(&[b"\x81\xa1x", inner.as_slice()].concat())
    };
    assert!(nested(64).is_ok());
    assert_eq!(nested(65), Err(UnpackError::TooDeep { max: 64 }.into()));
    assert_eq!(
        nested(900_000),
        Err(UnpackError::TooDeep { max: 64 }.into())
    );
    // Where it is only read past.
    let deep = [[0x91].repeat(900_000), vec![0xc0]].concat();
    let (_, all) = heard::TO_ALL;
    let body = [b"\x93", deep.as_slice(), &bytes(all)[9..]].concat();
    assert!(read("socket.io#/#", &body).is_ok());
}

#[test]
fn a_message_ends_at_its_bounds() {
    let text = |length: u32| {
        [
            b"\x81\xa1x\xdb",
            length.to_be_bytes().as_slice(),
            &vec![b'x'; length as usize],
        ]
        .concat()
    };
    assert!(status(&text(999_000)).is_ok());
    assert_eq!(status(&text(1_000_000)), Err(EmitterError::TooLarge));
    // Short here, long as JSON.
    let nils = [
        b"\x81\xa1x\xdd\x00\x04\x00\x00".as_slice(),
        &[0xc0].repeat(1 << 18),
    ]
    .concat();
    let large = UnpackError::TooLarge { max: 1_000_000 };
    assert_eq!(status(&nils), Err(large.into()));
    let rooms = |count: u16| {
        [
            b"\xdc",
            count.to_be_bytes().as_slice(),
            &b"\xa6user:1".repeat(count.into()),
        ]
        .concat()
    };
    let data = b"\x92\xb0portfolio:update\x80";
    let items = read("socket.io#/#", &message(data, &rooms(32))).unwrap();
    assert_eq!(items.len(), 1, "the same room");
    let many = EmittedError::TooManyRooms { max: 32 };
    assert_eq!(
        read("socket.io#/#", &message(data, &rooms(33))),
        Err(many.into())
    );
}

#[test]
fn what_is_not_a_message_is_refused() {
    for (body, expected) in [
        (b"".as_slice(), "the message is cut short"),
        (
            b"PING",
            "the message is not laid out as an emitter does: an array must be there",
        ),
        (
            b"\xc1",
            "the message is not laid out as an emitter does: a value must be there",
        ),
        (
            b"\x92\xc0\x80",
            "the message is not laid out as an emitter does: an array of three must be there",
        ),
        (
            b"\x93\xc0\x80\x80",
            "the message is not laid out as an emitter does: the packet's type must be there",
        ),
        (
            b"\x93\xc0\x81\xa4type\x02\x80",
            "the message is not laid out as an emitter does: the packet's data must be there",
        ),
        (
            b"\x93\xc0\x81\x01\x02\x80",
            "the message is not laid out as an emitter does: a field's name must be there",
        ),
    ] {
        assert_eq!(
            read("socket.io#/#", body).unwrap_err().to_string(),
            expected
        );
    }
    let good = message(b"\x92\xadmarket:status\x80", b"\x90");
    let more = [good.as_slice(), b"\xc0"].concat();
    assert_eq!(
        read("socket.io#/#", &more),
        Err(UnpackError::Trailing.into())
    );
    let of = |kind: u8| {
        let mut body = good.clone();
        let at = body.windows(4).position(|w| w == b"type").unwrap() + 4;
        body[at] = kind;
        read("socket.io#/#", &body)
    };
    assert!(of(2).is_ok());
    assert_eq!(of(3), Err(EmitterError::Kind));
    assert_eq!(of(5), Err(UnpackError::Binary.into()));
    assert_eq!(status(b"\x81\xa1x\xa1\xff"), Err(UnpackError::Utf8.into()));
    assert_eq!(
        status(b"\x81\x01\x02").unwrap_err().to_string(),
        "the message is not laid out as an emitter does: a field's name must be there"
    );
    assert_eq!(
        status(b"\x90").unwrap_err().to_string(),
        "data must be an object"
    );
    assert_eq!(
        status(b"\x81\xa1x\xd4\x07\x00"),
        Err(UnpackError::Extension.into())
    );
}

const HEARD: [Heard; 13] = [
    heard::ONE_ROOM,
    heard::SEVERAL_ROOMS,
    heard::ONE_SYMBOL,
    heard::TO_ALL,
    heard::EXCEPT,
    heard::FLAGS,
    heard::BINARY,
    heard::NUMBERS,
    heard::UNICODE,
    heard::DATES,
    heard::TWO_ARGUMENTS,
    heard::NO_ARGUMENT,
    heard::NAMESPACE,
];

fn harmless(channel: &str, body: &[u8]) -> Result<(), TestCaseError> {
    match read(channel, body) {
        Ok(items) => {
            for item in items {
                let text = item.payload.text();
                let value: Result<serde_json::Value, _> = serde_json::from_str(text);
                prop_assert!(value.is_ok_and(|value| value.is_object()), "{text}");
            }
        }
        Err(error) => prop_assert_ne!(error.to_string(), ""),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_cause_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        harmless("socket.io#/#", &body)?;
        harmless("socket.io#/#", &message(&body, b"\x90"))?;
        harmless("socket.io#/#", &message(b"\x92\xadmarket:status\x80", &body))?;
        let data = [b"\x92\xadmarket:status", body.as_slice()].concat();
        harmless("socket.io#/#", &message(&data, b"\x90"))?;
    }

    #[test]
    fn a_damaged_message_is_refused_or_comes_out_well_formed(
        which in 0..HEARD.len(),
        edits in prop::collection::vec((any::<u16>(), 0..4_usize, prop::collection::vec(any::<u8>(), 0..4)), 0..4),
    ) {
        let (channel, body) = HEARD[which];
        let mut body = bytes(body);
        for (at, removed, put) in edits {
            let start = usize::from(at) % (body.len() + 1);
            let end = (start + removed).min(body.len());
            body.splice(start..end, put);
        }
        harmless(channel, &body)?;
        harmless("socket.io#/#", &body)?;
    }
}
