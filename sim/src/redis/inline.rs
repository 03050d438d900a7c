//! Commands typed as a line of words, the form that garbage usually takes.

use bytes::Bytes;

/// The words of a line, or nothing if a quote is not closed or something follows it at once.
pub(super) fn words(line: &[u8]) -> Option<Vec<Bytes>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        // A vertical tab is a blank for C and none for Rust.
        if let [0x0b, after @ ..] = rest {
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return Some(words);
        }
        let (word, after) = word(rest)?;
        words.push(Bytes::from(word));
        rest = after;
    }
}

/// The first word, and what follows it.
fn word(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    let mut rest = line;
    loop {
        rest = match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t' | 0, ..] => return Some((word, rest)),
            [b'"', after @ ..] => return closed(word, double_quoted(after)?),
            [b'\'', after @ ..] => return closed(word, single_quoted(after)?),
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        };
    }
}

/// A closed quote ends the word, and a blank must follow.
fn closed(mut word: Vec<u8>, quoted: (Vec<u8>, &[u8])) -> Option<(Vec<u8>, &[u8])> {
    let (text, rest) = quoted;
    word.extend(text);
    match rest {
        [] => Some((word, rest)),
        [byte, ..] if byte.is_ascii_whitespace() || *byte == 0x0b => Some((word, rest)),
        [..] => None,
    }
}

fn double_quoted(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    loop {
        rest = match rest {
            [] => return None,
            [b'"', after @ ..] => return Some((text, after)),
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                let digit = |digit: u8| char::from(digit).to_digit(16);
                let byte = digit(*high)? * 16 + digit(*low)?;
                text.push(u8::try_from(byte).ok()?);
                after
            }
            [b'\\', escaped, after @ ..] => {
                text.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                text.push(*byte);
                after
            }
        };
    }
}

fn single_quoted(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    loop {
        rest = match rest {
            [] => return None,
            [b'\'', after @ ..] => return Some((text, after)),
            [b'\\', b'\'', after @ ..] => {
                text.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                text.push(*byte);
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_be_quoted() {
        for (line, expected) in [
            (&b"  ping\t a  "[..], Some(vec![&b"ping"[..], b"a"])),
            (b"a \"b\\x41\\n\\\"\" c", Some(vec![b"a", b"bA\n\"", b"c"])),
            (b"'a\\'b' ''", Some(vec![b"a'b", b""])),
            (b"x\"y\" z", Some(vec![b"xy", b"z"])),
            (b"", Some(vec![])),
            (b"\"a", None),
            (b"'a", None),
            (b"'a'b", None),
            (b"\"a\"b", None),
        ] {
            let words = words(line);
            let words = words
                .as_ref()
                .map(|words| words.iter().map(|word| &word[..]).collect());
            assert_eq!(words, expected, "{line:?}");
        }
    }
}
