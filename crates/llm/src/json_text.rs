//! A text as JSON, eight bytes at a time: prompts are long, and little in them has to be written in another way.

/// Appends the text with its quotes.
pub(crate) fn push_json(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = first_special(rest.as_bytes()) {
        out.push_str(&rest[..at]);
        push_escaped(out, rest.as_bytes()[at]);
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

fn push_escaped(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' => "\\\"",
        b'\\' => "\\\\",
        b'\n' => "\\n",
        b'\r' => "\\r",
        b'\t' => "\\t",
        0x08 => "\\b",
        0x0c => "\\f",
        control => {
            out.push_str("\\u00");
            out.push(DIGITS[usize::from(control >> 4)].into());
            out.push(DIGITS[usize::from(control & 15)].into());
            return;
        }
    };
    out.push_str(short);
}

/// The place of the first byte that cannot stand as it is: a quote, a backslash or a control character.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(n * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    rest.iter().position(special).map(|at| words.len() * 8 + at)
}

/// The highest bit of each byte that is special. A borrow may mark a byte above the first one that is, never one below.
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHS: u64 = ONES << 7;
    let less = |word: u64, than: u64| word.wrapping_sub(ONES * than) & !word;
    let is = |byte: u8| less(word ^ (ONES * u64::from(byte)), 1);
    (less(word, 0x20) | is(b'"') | is(b'\\')) & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn it_is_what_serde_json_writes(text in "(\\PC|[\u{0}-\u{2f}\"\\\\éß\u{7f}\u{80}\u{10ffff}]|[a-z ]{0,20}){0,40}") {
            let mut out = "x".to_owned();
            push_json(&mut out, &text);
            proptest::prop_assert_eq!(&out[1..], serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn each_byte_is_found_at_each_place() {
        for byte in 0..0x80_u8 {
            for place in 0..20 {
                let text: String = (0..20).map(|n| if n == place { char::from(byte) } else { '\u{7f}' }).collect();
                let mut out = String::new();
                push_json(&mut out, &text);
                assert_eq!(out, serde_json::to_string(&text).unwrap());
            }
        }
    }
}
