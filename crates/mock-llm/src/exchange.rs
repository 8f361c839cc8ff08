//! One request and its answer.

use std::iter::repeat_n;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Either, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use thiserror::Error;

use crate::counters::{Recorded, Tally};
use crate::draw::Draw;
use crate::embed;
use crate::replies::{self, Answer, Replies};
use crate::{FaultKind, Plan};

/// Most bytes of a request.
const LARGEST_REQUEST: usize = 8 * 1024 * 1024;
/// Bytes of the body that is too large for any client.
const HUGE: usize = 32 * 1024 * 1024;
/// Pieces in which a slow body drips.
const DRIPS: usize = 20;

/// Whole bodies are the rule, and cost no allocation of their own.
pub(crate) type Body = Either<Full<Bytes>, BoxBody<Bytes, Dropped>>;

/// The connection is to be closed at once.
#[derive(Debug, Error)]
#[error("the plan drops this connection")]
pub(crate) struct Dropped;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) replies: Replies,
    pub(crate) tally: Tally,
}

/// A request that waits, until it is dropped.
struct Waiting<'a>(&'a Tally);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.left();
    }
}

/// Answers one request. An error closes the connection without an answer.
pub(crate) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/chat/completions") => complete(&shared, request, false).await,
        (&Method::POST, "/v1/embeddings") => complete(&shared, request, true).await,
        (&Method::GET, "/v1/models") => Ok(respond(
            StatusCode::OK,
            &json!({ "object": "list", "data": [{ "id": "mock", "object": "model", "created": 0, "owned_by": "flowrun" }] }),
        )),
        (&Method::GET, "/counters") => Ok(respond(StatusCode::OK, &json!(shared.tally.counters()))),
        (&Method::POST, "/reset") => {
            shared.tally.reset();
            Ok(respond(StatusCode::OK, &json!({})))
        }
        (method, path) => Ok(failure(StatusCode::NOT_FOUND, &format!("there is no {method} {path}"), "not_found")),
    }
}

async fn complete(shared: &Shared, request: Request<Incoming>, embeds: bool) -> Result<Response<Body>, Dropped> {
    let (head, body) = request.into_parts();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let identity = text("x-client-request-id");
    let arrival = shared.tally.arrived(identity);
    let _waiting = Waiting(&shared.tally);

    let refuse = |status: StatusCode, why: &str| {
        shared.tally.answered(identity, status.as_u16(), false);
        Ok(failure(status, why, "invalid_request_error"))
    };
    let Ok(body) = Limited::new(body, LARGEST_REQUEST).collect().await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the request is larger than 8 MiB, or broke off");
    };
    let body = body.to_bytes();
    let request: replies::Request<'_> = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => {
            return refuse(StatusCode::BAD_REQUEST, &format!("the request is no chat completion: {error}"));
        }
    };
    if shared.plan.record {
        let owned = |name: &str| text(name).map(str::to_owned);
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        shared.tally.record(Recorded {
            identity: owned("x-client-request-id"),
            authorization: owned(AUTHORIZATION.as_str()),
            body,
        });
    }

    let mut draw = Draw::new(shared.plan.seed, arrival);
    let faults = &shared.plan.faults;
    let fault = draw.fault(faults, arrival).filter(|kind| shared.tally.fault(identity, *kind, faults.per_call));
    if let Some(kind @ (FaultKind::Status(_) | FaultKind::Quota)) = fault {
        let response = refused(shared, kind, text(AUTHORIZATION.as_str()));
        shared.tally.answered(identity, response.status().as_u16(), false);
        return Ok(response);
    }
    let latency = draw.latency(shared.plan.latency);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if embeds && !matches!(fault, Some(FaultKind::Drop | FaultKind::Malformed | FaultKind::NoChoice)) {
        let response = match embed::vectors(&body) {
            Ok(vectors) => respond(StatusCode::OK, &vectors),
            Err(why) => return refuse(StatusCode::BAD_REQUEST, &why),
        };
        shared.tally.answered(identity, StatusCode::OK.as_u16(), fault.is_none());
        return Ok(response);
    }
    let answer = shared.replies.answer(&request, &body, identity, arrival);
    let response = match fault {
        Some(FaultKind::Drop) => return Err(Dropped),
        Some(kind) => spoiled(shared, kind, &request, &answer),
        None if request.stream => whole("text/event-stream", events(&request, &answer)),
        None => respond(StatusCode::OK, &completion(&request, &answer)),
    };
    shared.tally.answered(identity, StatusCode::OK.as_u16(), fault.is_none());
    Ok(response)
}

/// A fault that is a status. The refusal of a key quotes it, as some real servers do.
fn refused(shared: &Shared, kind: FaultKind, authorization: Option<&str>) -> Response<Body> {
    let FaultKind::Status(status) = kind else {
        let message = "You exceeded your current quota, please check your plan and billing details.";
        return failure(StatusCode::TOO_MANY_REQUESTS, message, "insufficient_quota");
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut message = format!("the plan answers {}", status.as_u16());
    if let (StatusCode::UNAUTHORIZED, Some(authorization)) = (status, authorization) {
        message = format!("{message} to `{authorization}`");
    }
    let code = status.canonical_reason().unwrap_or("error").to_lowercase().replace(' ', "_");
    let mut response = failure(status, &message, &code);
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        retry_after(response.headers_mut(), &shared.plan);
    }
    response
}

fn retry_after(headers: &mut HeaderMap, plan: &Plan) {
    if let Some(Ok(value)) = plan.faults.retry_after.as_deref().map(HeaderValue::from_str) {
        headers.insert(RETRY_AFTER, value);
    }
    if let Some(ms) = plan.faults.retry_after_ms {
        headers.insert("retry-after-ms", HeaderValue::from(ms));
    }
}

/// A good reply that something happens to.
fn spoiled(shared: &Shared, kind: FaultKind, request: &replies::Request<'_>, answer: &Answer) -> Response<Body> {
    let good = || Bytes::from(completion(request, answer).to_string());
    let half = |body: &Bytes| body.slice(..body.len() / 2);
    match kind {
        FaultKind::Truncated => whole("application/json", half(&good())),
        FaultKind::Malformed => {
            whole("text/html", Bytes::from_static(b"<html><body>upstream is warming up</body></html>"))
        }
        FaultKind::NoChoice => {
            respond(StatusCode::OK, &json!({ "error": { "message": "upstream has failed", "code": 502 } }))
        }
        FaultKind::Empty => {
            let mut reply = completion(request, answer);
            reply["choices"][0]["message"]["content"] = Value::Null;
            respond(StatusCode::OK, &reply)
        }
        FaultKind::Huge => {
            let block = Bytes::from(vec![b' '; HUGE / 64]);
            streamed(None, stream::iter(repeat_n(block, 64).map(Ok)))
        }
        FaultKind::Slow => {
            let body = good();
            let (length, pause) = (
                body.len(),
                Duration::from_millis(shared.plan.faults.slow_ms) / u32::try_from(DRIPS).unwrap_or(1),
            );
            let pieces = (0..DRIPS).map(move |n| body.slice(length * n / DRIPS..length * (n + 1) / DRIPS));
            let drip = stream::iter(pieces).then(move |piece| async move {
                tokio::time::sleep(pause).await;
                Ok(piece)
            });
            streamed(Some(length), drip)
        }
        FaultKind::Cut | FaultKind::Drop | FaultKind::Status(_) | FaultKind::Quota => {
            let body = good();
            // The pause lets the first half go out before the connection is closed.
            let broken = stream::once(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Err(Dropped)
            });
            streamed(Some(body.len()), stream::iter([Ok(half(&body))]).chain(broken))
        }
    }
}

fn completion(request: &replies::Request<'_>, answer: &Answer) -> Value {
    let mut message = json!({ "role": "assistant", "content": answer.text, "refusal": null });
    if let Some(tool) = &answer.tool {
        let function = json!({ "name": tool, "arguments": answer.text });
        message["content"] = Value::Null;
        message["tool_calls"] =
            json!([{ "id": format!("call_{:08x}", answer.id), "type": "function", "function": function }]);
    }
    let logprobs = request.logprobs.is_some_and(|asked| asked).then(|| logprobs(answer));
    json!({
        "id": format!("chatcmpl-{:016x}", answer.id),
        "object": "chat.completion",
        "created": 0,
        "model": request.model,
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": logprobs,
            "finish_reason": answer.finish_reason,
        }],
        "usage": usage(request, answer),
    })
}

/// A token for each word, the likelier the shorter it is.
fn logprobs(answer: &Answer) -> Value {
    let likely = |word: &str| -f64::from(u8::try_from(word.len()).unwrap_or(u8::MAX)) / 8.0;
    let token = |word: &str| {
        let one = json!({ "token": word, "logprob": likely(word), "bytes": word.as_bytes() });
        let mut taken = one.clone();
        taken["top_logprobs"] = json!([one]);
        taken
    };
    json!({ "content": answer.text.split_inclusive(' ').map(token).collect::<Vec<_>>(), "refusal": null })
}

fn usage(request: &replies::Request<'_>, answer: &Answer) -> Value {
    let (input, output) = (request.tokens(), replies::tokens(&answer.text));
    json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output })
}

/// The reply as server-sent events, a word each.
fn events(request: &replies::Request<'_>, answer: &Answer) -> Bytes {
    let chunk = |choices: Value, usage: Value| {
        let id = format!("chatcmpl-{:016x}", answer.id);
        json!({ "id": id, "object": "chat.completion.chunk", "created": 0, "model": request.model, "choices": choices, "usage": usage })
    };
    let delta = |delta: Value, reason: Value| {
        chunk(json!([{ "index": 0, "delta": delta, "finish_reason": reason }]), Value::Null)
    };

    let mut chunks = vec![delta(json!({ "role": "assistant", "content": "" }), Value::Null)];
    chunks.extend(answer.text.split_inclusive(' ').map(|word| delta(json!({ "content": word }), Value::Null)));
    chunks.push(delta(json!({}), json!(answer.finish_reason)));
    if request.stream_options.as_ref().is_some_and(|options| options.include_usage) {
        chunks.push(chunk(json!([]), usage(request, answer)));
    }
    let lines = chunks.iter().map(Value::to_string).chain(["[DONE]".to_owned()]);
    let text = lines.fold(String::new(), |text, data| text + "data: " + &data + "\n\n");
    text.into()
}

fn failure(status: StatusCode, message: &str, code: &str) -> Response<Body> {
    respond(status, &json!({ "error": { "message": message, "type": code, "param": null, "code": code } }))
}

fn respond(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = whole("application/json", body.to_string().into());
    *response.status_mut() = status;
    response
}

fn whole(content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn streamed(
    length: Option<usize>,
    body: impl futures::Stream<Item = Result<Bytes, Dropped>> + Send + Sync + 'static,
) -> Response<Body> {
    let body = StreamBody::new(body.map(|piece| piece.map(Frame::data)));
    let mut response = Response::new(Either::Right(BoxBody::new(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}
