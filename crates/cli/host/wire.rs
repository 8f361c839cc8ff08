//! Lines of JSON-RPC 2.0: one message a line, within a limit.

use std::io::{self, BufRead};

use serde::Deserialize;
use serde_json::{Value, json};

/// Most bytes of a message, in either direction.
pub(super) const LARGEST: usize = 32 << 20;

/// What a line turned out to be.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The host asks.
    Request { id: Option<Value>, method: String, params: Value },
    /// The host answers a call: the number that it was sent under, and the result or the error.
    Answer { id: u64, given: Result<Value, Value> },
    /// It is neither; the error that tells so, under the id that could be made out.
    Wrong { id: Value, error: RpcError },
}

/// An error of JSON-RPC.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RpcError {
    pub(super) code: i32,
    pub(super) message: String,
    pub(super) data: Option<Value>,
}

impl RpcError {
    pub(super) fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub(super) fn data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    pub(super) fn parse(message: impl Into<String>) -> Self {
        Self::new(-32700, message)
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(-32600, message)
    }

    pub(super) fn method(name: &str) -> Self {
        Self::new(-32601, format!("there is no method `{name}`"))
    }

    /// What was asked does not fit; `code` says in a word how.
    pub(super) fn params(code: &str, message: impl Into<String>) -> Self {
        Self::new(-32602, message).data(json!({ "code": code }))
    }

    pub(super) fn handle(handle: &Value) -> Self {
        Self::new(-32003, format!("there is no {handle}"))
    }
}

/// The answer to a request.
pub(super) fn answer(id: &Value, given: Result<Value, RpcError>) -> Value {
    match given {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(RpcError { code, message, data }) => {
            let mut error = json!({ "code": code, "message": message });
            if let (Some(error), Some(data)) = (error.as_object_mut(), data) {
                error.insert("data".to_owned(), data);
            }
            json!({ "jsonrpc": "2.0", "id": id, "error": error })
        }
    }
}

/// Any message, with what it may have. A member that is absent is not the same as one that is null.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    params: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    error: Option<Value>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads a message off its line.
pub(super) fn read(line: &[u8]) -> Incoming {
    let wrong = |id: Option<Value>, error| Incoming::Wrong { id: id.unwrap_or_default(), error };
    let message: Message = match serde_json::from_slice(line) {
        Ok(message) => message,
        Err(error) if error.is_data() => {
            return wrong(None, RpcError::invalid(format!("the line is no message of JSON-RPC: {error}")));
        }
        Err(error) => return wrong(None, RpcError::parse(format!("the line is no JSON: {error}"))),
    };
    match message {
        Message { method: Some(method), params, id, .. } => {
            Incoming::Request { id, method, params: params.unwrap_or_else(|| json!({})) }
        }
        Message { id, result, error, .. } => match (id.as_ref().and_then(Value::as_u64), result, error) {
            (Some(id), Some(result), None) => Incoming::Answer { id, given: Ok(result) },
            (Some(id), None, Some(error)) => Incoming::Answer { id, given: Err(error) },
            _ => {
                let message = "the line has neither a `method` nor one of `result` and `error` for a call";
                wrong(id, RpcError::invalid(message))
            }
        },
    }
}

/// A line of the input.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// It is longer than a message may be; what it held is dropped.
    TooLong,
}

/// Reads the next line; none at the end of the input. An empty one is passed over.
pub(super) fn next_line(input: &mut impl BufRead) -> io::Result<Option<Line>> {
    loop {
        let mut line = Vec::new();
        let read = io::Read::take(&mut *input, LARGEST as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') && line.len() > LARGEST {
            skip_line(input)?;
            return Ok(Some(Line::TooLong));
        }
        if !line.iter().all(u8::is_ascii_whitespace) {
            return Ok(Some(Line::Bytes(line)));
        }
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let held = input.fill_buf()?;
        if held.is_empty() {
            return Ok(());
        }
        let (used, ended) = match held.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (held.len(), false),
        };
        input.consume(used);
        if ended {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_request_an_answer_or_wrong() {
        let request = read(br#"{"jsonrpc":"2.0","id":"a","method":"load","params":{"text":""}}"#);
        assert!(matches!(request, Incoming::Request { id: Some(_), method, .. } if method == "load"));
        let null = read(br#"{"id":3,"result":null}"#);
        assert!(matches!(null, Incoming::Answer { id: 3, given: Ok(Value::Null) }));
        let failed = read(br#"{"id":3,"error":{"code":1,"message":"m"}}"#);
        assert!(matches!(failed, Incoming::Answer { id: 3, given: Err(_) }));
        for (line, code) in [
            (&b"{"[..], -32700),
            (b"\xff", -32700),
            (b"[]", -32600),
            (b"3", -32600),
            (b"{}", -32600),
            (br#"{"id":3}"#, -32600),
            (br#"{"id":3,"result":1,"error":2}"#, -32600),
            (br#"{"id":"x","result":1}"#, -32600),
            (br#"{"id":3,"method":4}"#, -32600),
        ] {
            let found = read(line);
            assert!(matches!(&found, Incoming::Wrong { error, .. } if error.code == code), "{found:?}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let mut input = vec![b'x'; LARGEST + 1];
        input.extend_from_slice(b"more\n\n  \n{}\nlast");
        let mut input = &input[..];
        assert_eq!(next_line(&mut input).unwrap(), Some(Line::TooLong));
        assert_eq!(next_line(&mut input).unwrap(), Some(Line::Bytes(b"{}\n".to_vec())));
        assert_eq!(next_line(&mut input).unwrap(), Some(Line::Bytes(b"last".to_vec())));
        assert_eq!(next_line(&mut input).unwrap(), None);
    }
}
