//! A text as a string of JSON, the fast way for what prompts are made of.
//!
//! `serde_json` looks every byte up in a table. Of prompts, almost no byte needs a backslash, and those that do are quotes,
//! backslashes and ends of lines: those are looked for by many bytes at once, and what lies between them is copied. That is
//! a third of the instructions; texts were a quarter of all that a call costs.

use memchr::memchr3_iter;

/// Adds a text with its quotes; the same bytes as `serde_json` writes.
pub(crate) fn push(out: &mut Vec<u8>, text: &str) -> Result<(), serde_json::Error> {
    let bytes = text.as_bytes();
    // Not `any`: a loop that may end early is not done by many bytes at once.
    let rare = bytes.iter().fold(0, |found, byte| found | u8::from(*byte < b' ' && *byte != b'\n'));
    if rare != 0 {
        return serde_json::to_writer(out, text);
    }
    out.push(b'"');
    let mut from = 0;
    for at in memchr3_iter(b'\n', b'"', b'\\', bytes) {
        out.extend_from_slice(&bytes[from..at]);
        out.push(b'\\');
        out.push(if bytes[at] == b'\n' { b'n' } else { bytes[at] });
        from = at + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_writes_what_serde_json_writes(text in "[a-zß\\n\"\\\\ ]{0,200}", rare in "\\PC{0,8}|[\\x00-\\x7f]{0,8}") {
            for text in [text.clone(), rare.clone(), text + &rare] {
                let mut out = Vec::new();
                push(&mut out, &text).unwrap();
                prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
            }
        }
    }
}
