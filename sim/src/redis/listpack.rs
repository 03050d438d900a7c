//! How many bytes the entries of a stream take in Redis' memory.
//!
//! Redis trims a stream by whole nodes, and how much a node holds depends on its bytes: to trim where
//! Redis trims, they must be counted as Redis lays them out.

use bytes::Bytes;

use super::resp::integer;

/// A node without elements: its head and its end.
const EMPTY: usize = 7;

/// A node's bytes before its first entry: counts, the fields of that entry, an end mark.
pub(super) fn node(fields: &[Bytes]) -> usize {
    // Entries, deleted ones, the number of fields and the mark; each count stays below 128 in practice,
    // and Redis does not make a node longer when one grows.
    EMPTY + number(1) + number(0) + number_of(fields.len()) + texts(fields) + number(0)
}

/// An entry's bytes. `ms` and `seq` are its distance from the node's first id.
pub(super) fn entry(ms: i64, seq: i64, pairs: &[(Bytes, Bytes)], same_fields: bool) -> usize {
    let values: usize = pairs.iter().map(|(_, value)| text(value)).sum();
    let head = number(if same_fields { 2 } else { 0 }) + number(ms) + number(seq);
    if same_fields {
        head + values + number_of(pairs.len() + 3)
    } else {
        let names: usize = pairs.iter().map(|(field, _)| text(field)).sum();
        head + number_of(pairs.len()) + names + values + number_of(pairs.len() * 2 + 4)
    }
}

fn texts(texts: &[Bytes]) -> usize {
    texts.iter().map(|each| text(each)).sum()
}

/// A text that is an integer is kept as one.
fn text(bytes: &[u8]) -> usize {
    if bytes.len() <= 20
        && let Some(integer) = integer(bytes)
    {
        return number(integer);
    }
    let head = match bytes.len() {
        0..64 => 1,
        64..4_096 => 2,
        _ => 5,
    };
    with_length(head + bytes.len())
}

fn number(number: i64) -> usize {
    with_length(match number {
        0..=127 => 1,
        -4_096..=4_095 => 2,
        -32_768..=32_767 => 3,
        -8_388_608..=8_388_607 => 4,
        -2_147_483_648..=2_147_483_647 => 5,
        _ => 9,
    })
}

fn number_of(count: usize) -> usize {
    number(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Each element is followed by its length.
fn with_length(bytes: usize) -> usize {
    bytes
        + match bytes {
            0..=127 => 1,
            128..16_383 => 2,
            16_383..2_097_151 => 3,
            2_097_151..268_435_455 => 4,
            _ => 5,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_whole_numbers_take_less() {
        for (bytes, expected) in [
            (&b""[..], 2),
            (b"a", 3),
            (b"127", 2),
            (b"128", 3),
            (b"-1", 3),
            (b"01", 4),
            (b"5000", 4),
            (b"-9223372036854775808", 10),
            (b"9223372036854775808", 21),
            (&[b'x'; 63], 65),
            (&[b'x'; 64], 67),
            (&[b'x'; 126], 130),
            (&[b'x'; 4_096], 4_103),
        ] {
            assert_eq!(text(bytes), expected, "{bytes:?}");
        }
    }
}
