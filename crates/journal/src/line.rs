//! One record of the journal: a line of JSON whose last key, `sum`, is the CRC-32 of all that stands before it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `,"sum":"1a2b3c4d"}` and the end of the line.
const TAIL: usize = TAIL_START.len() + 8 + TAIL_END.len();
const TAIL_START: &str = ",\"sum\":\"";
const TAIL_END: &str = "\"}\n";

/// A record as it is written. Exactly one of `journal`, `effect`, `item`, `map`, `begun` and `ended` is there.
#[derive(Debug, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own that is there or not")]
pub(crate) struct Line<'a> {
    /// The first line: the format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) journal: Option<u32>,
    /// Of the first line: whether the effects inside of finished items were dropped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) compacted: bool,
    /// The key of an effect.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) effect: Option<Cow<'a, str>>,
    /// Of an effect: whether it is what somebody answered, not what a call gave.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) answer: bool,
    /// The visit of the map that a finished item belongs to.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) item: Option<Cow<'a, str>>,
    /// The item's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<u64>,
    /// Whether the item ended in an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) failed: bool,
    /// Whether the item was not accepted, although it ended well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) rejected: bool,
    /// A visit of a map that has begun.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) map: Option<Cow<'a, str>>,
    /// How many items it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asked: Option<u64>,
    /// How many of its items are to be accepted, where it ends with that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<u64>,
    /// A visit of a step of the top flow that has begun.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) begun: Option<Cow<'a, str>>,
    /// A visit of a step of the top flow that has ended.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Cow<'a, str>>,
    /// What is kept.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<&'a RawValue>,
    /// The digest under which what is kept stands in the folder `values`, where it is large.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) large: Option<Cow<'a, str>>,
}

impl Line<'_> {
    /// The bytes of the line.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = Vec::with_capacity(160);
        self.begin(&mut bytes)?;
        seal(&mut bytes);
        Ok(bytes)
    }

    /// The bytes of the line with this value, which is JSON and is not read once more to see that.
    ///
    /// # Errors
    /// Where it has more than one line.
    pub(crate) fn encode_with(&self, value: &str) -> Result<Vec<u8>, serde_json::Error> {
        debug_assert!(serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok(), "no JSON: {value}");
        if value.contains('\n') {
            // White space between tokens; a line must not end there.
            return Err(serde_json::Error::io(std::io::Error::other("a value has more than one line")));
        }
        self.encode_and(",\"value\":", value, "")
    }

    /// The bytes of the line, whose value has this digest and stands in a file of its own.
    pub(crate) fn encode_with_large(&self, digest: &str) -> Result<Vec<u8>, serde_json::Error> {
        self.encode_and(",\"large\":\"", digest, "\"")
    }

    fn encode_and(&self, before: &str, text: &str, after: &str) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = Vec::with_capacity(text.len() + 200);
        self.begin(&mut bytes)?;
        for part in [before, text, after] {
            bytes.extend_from_slice(part.as_bytes());
        }
        seal(&mut bytes);
        Ok(bytes)
    }

    /// Writes all but the brace that closes it.
    fn begin(&self, bytes: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut *bytes, self)?;
        bytes.pop();
        Ok(())
    }
}

/// Ends a line with the checksum of what stands before.
fn seal(bytes: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let sum = crc32fast::hash(bytes);
    bytes.extend_from_slice(TAIL_START.as_bytes());
    bytes.extend((0..8).rev().map(|place| DIGITS[(sum >> (4 * place) & 15) as usize]));
    bytes.extend_from_slice(TAIL_END.as_bytes());
}

/// Reads a line with its end; says what is wrong with it.
pub(crate) fn decode(bytes: &[u8]) -> Result<Line<'_>, String> {
    let start = bytes.len().checked_sub(TAIL).ok_or("it is cut short")?;
    let (body, tail) = bytes.split_at(start);
    let sum = tail
        .strip_prefix(TAIL_START.as_bytes())
        .and_then(|t| t.strip_suffix(TAIL_END.as_bytes()))
        .and_then(|t| std::str::from_utf8(t).ok())
        .and_then(|t| u32::from_str_radix(t, 16).ok())
        .ok_or("it does not end in a checksum")?;
    if sum != crc32fast::hash(body) {
        return Err("its checksum does not fit".to_owned());
    }
    let text = std::str::from_utf8(&bytes[..bytes.len() - 1]).map_err(|e| e.to_string())?;
    serde_json::from_str(text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_and_knows_when_it_was_changed() {
        let value: Box<RawValue> = RawValue::from_string("{\"text\":\"a \\\"b\\\"\"}".to_owned()).unwrap();
        let line = Line { effect: Some("write#1!reply".into()), value: Some(&value), ..Line::default() };
        let bytes = line.encode().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["effect"], "write#1!reply");
        assert_eq!(decode(&bytes).unwrap().value.unwrap().get(), value.get());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(decode(&changed).is_err(), "a change at {at} was not seen");
            assert!(decode(&bytes[..at]).is_err());
        }
    }
}
