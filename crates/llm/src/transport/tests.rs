//! What becomes of connections, against a server of a few lines that shows each request as it came.

use std::sync::{Arc, Mutex};

use hyper_util::client::proxy::matcher::Matcher;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::HttpClient;
use crate::{Binder, BoundModel, ChatRequest, Environment, Message, ModelConfig, ModelErrorKind};

const REPLY: &str = r#"{"choices":[{"message":{"content":"VALID"}}]}"#;

/// A request, with the number of the connection that it came on.
type Seen = Arc<Mutex<Vec<(usize, String)>>>;

/// Serves at a free port; `answer` gives the bytes of the reply to a request, none to keep silent for ever.
async fn serve(answer: impl Fn(&str) -> Option<String> + Clone + Send + 'static) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Seen::default();
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve_one(stream, number, answer.clone(), Arc::clone(&shared)));
        }
    });
    (address, seen)
}

async fn serve_one(mut stream: TcpStream, number: usize, answer: impl Fn(&str) -> Option<String>, seen: Seen) {
    let mut read = String::new();
    loop {
        let length = |head: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            line.map_or(0, |length| length.parse().unwrap())
        };
        while read.split_once("\r\n\r\n").is_none_or(|(head, body)| body.len() < length(head)) {
            let mut piece = [0; 4096];
            let bytes = stream.read(&mut piece).await.unwrap_or(0);
            if bytes == 0 {
                return;
            }
            read.push_str(std::str::from_utf8(&piece[..bytes]).unwrap());
        }
        let reply = answer(&read);
        seen.lock().unwrap().push((number, std::mem::take(&mut read)));
        match reply {
            Some(reply) => stream.write_all(reply.as_bytes()).await.unwrap(),
            None => std::future::pending().await,
        }
    }
}

fn good(head: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{head}content-length: {}\r\n\r\n{REPLY}", REPLY.len())
}

fn model(http: &HttpClient, base_url: &str) -> BoundModel {
    model_within(http, base_url, 600.0)
}

/// A model that may take so many seconds.
fn model_within(http: &HttpClient, base_url: &str, timeout: f64) -> BoundModel {
    let config = json!({ "base_url": base_url, "model": "m", "timeout": timeout, "retry": { "tries": 1 } });
    let config: ModelConfig = serde_json::from_value(config).unwrap();
    let environment = Environment::default();
    Binder { environment: &environment, overrides: &[], http }.bind("writer", &config, false).unwrap()
}

fn asked() -> ChatRequest {
    ChatRequest { messages: vec![Message::user("é")], identity: "ab".to_owned(), ..ChatRequest::default() }
}

fn connections(seen: &Seen) -> Vec<usize> {
    seen.lock().unwrap().iter().map(|(number, _)| *number).collect()
}

#[tokio::test]
async fn models_at_one_server_share_its_connections() {
    let (address, seen) = serve(|_| Some(good(""))).await;
    let http = HttpClient::with_proxies(Matcher::builder().build()).unwrap();
    let (writer, judge) =
        (model(&http, &format!("http://{address}/v1")), model(&http, &format!("http://{address}/v2")));
    for model in [&writer, &judge, &writer] {
        assert_eq!(model.chat(&asked()).await.unwrap().text, "VALID");
    }
    let at_once = tokio::join!(async { writer.chat(&asked()).await }, async { judge.chat(&asked()).await });
    assert!(at_once.0.is_ok() && at_once.1.is_ok());
    let mut used = connections(&seen);
    used[3..].sort_unstable();
    assert_eq!(used, [0, 0, 0, 0, 1]);
    let (_, first) = &seen.lock().unwrap()[0];
    let head = first.split_once("\r\n\r\n").unwrap().0;
    let mut lines: Vec<&str> = head.lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: {address}");
    let agent = concat!("user-agent: flowrun/", env!("CARGO_PKG_VERSION"));
    let length = format!("content-length: {}", first.len() - head.len() - 4);
    let wanted = [
        "POST /v1/chat/completions HTTP/1.1",
        "accept: */*",
        &length,
        "content-type: application/json",
        &host,
        agent,
        "x-client-request-id: ab",
    ];
    assert_eq!(lines, wanted);
}

#[tokio::test]
async fn a_connection_that_ends_is_not_used_again() {
    let (address, seen) = serve(|_| Some(good("connection: close\r\n"))).await;
    let http = HttpClient::with_proxies(Matcher::builder().build()).unwrap();
    let model = model(&http, &format!("http://me:pw@{address}"));
    for _ in 0..3 {
        assert_eq!(model.chat(&asked()).await.unwrap().text, "VALID");
    }
    assert_eq!(connections(&seen), [0, 1, 2]);
    let (_, request) = &seen.lock().unwrap()[0];
    assert!(request.starts_with("POST /chat/completions HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nauthorization: Basic bWU6cHc=\r\n"), "{request}");
}

#[tokio::test]
async fn a_call_that_is_given_up_takes_its_connection_with_it() {
    let (address, seen) = serve(|request| request.contains("\"ok\"").then(|| good(""))).await;
    let http = HttpClient::with_proxies(Matcher::builder().build()).unwrap();
    let model = model(&http, &format!("http://{address}/v1"));
    let silent = asked();
    {
        let mut call = std::pin::pin!(model.chat(&silent));
        while seen.lock().unwrap().is_empty() {
            assert!(futures::poll!(call.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
    }
    let ok = ChatRequest { messages: vec![Message::user("ok")], ..asked() };
    assert_eq!(model.chat(&ok).await.unwrap().text, "VALID");
    assert_eq!(connections(&seen), [0, 1]);
}

/// An alarm is the connection's, and each exchange puts it off or forward.
#[tokio::test]
async fn each_exchange_has_its_own_time_on_a_connection_that_several_models_use() {
    let (address, seen) = serve(|request| request.contains("\"ok\"").then(|| good(""))).await;
    let http = HttpClient::with_proxies(Matcher::builder().build()).unwrap();
    let at = format!("http://{address}/v1");
    let (patient, quick) = (model(&http, &at), model_within(&http, &at, 0.5));
    let ok = ChatRequest { messages: vec![Message::user("ok")], ..asked() };
    patient.chat(&ok).await.unwrap();
    let error = quick.chat(&asked()).await.unwrap_err();
    assert_eq!((error.kind, error.status), (ModelErrorKind::Timeout, None), "{error}");
    quick.chat(&ok).await.unwrap();
    // Its time is over while nobody uses the connection.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    quick.chat(&ok).await.unwrap();
    assert_eq!(connections(&seen), [0, 0, 1, 1]);
}

#[tokio::test]
async fn a_reply_in_pieces_is_read_whole_up_to_the_limit() {
    let chunked = |pieces: &[&str]| {
        let chunks: Vec<_> = pieces.iter().map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len())).collect();
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunks.concat())
    };
    let whole = chunked(&[&REPLY[..5], &REPLY[5..20], &REPLY[20..]]);
    let endless = chunked(&[" ".repeat(1 << 20).as_str(); 17]);
    let (address, _) =
        serve(move |request| Some(if request.contains("ok") { whole.clone() } else { endless.clone() })).await;
    let http = HttpClient::with_proxies(Matcher::builder().build()).unwrap();
    let model = model(&http, &format!("http://{address}/v1"));
    let ok = ChatRequest { messages: vec![Message::user("ok")], ..asked() };
    assert_eq!(model.chat(&ok).await.unwrap().text, "VALID");
    let error = model.chat(&asked()).await.unwrap_err();
    assert_eq!((error.kind, error.status), (ModelErrorKind::BadReply, Some(200)), "{error}");
    assert!(error.detail.contains("more than 16 MiB"), "{error}");
    assert_eq!(model.chat(&ok).await.unwrap().text, "VALID");
}

#[tokio::test]
async fn a_proxy_passes_on_what_is_not_encrypted() {
    let (address, seen) = serve(|_| Some(good(""))).await;
    let proxies = Matcher::builder().http(format!("http://me:pw@{address}")).no("direct.example").build();
    let http = HttpClient::with_proxies(proxies).unwrap();
    let reply = model(&http, "http://models.example:8000/v1").chat(&asked()).await.unwrap();
    assert_eq!(reply.text, "VALID");
    let (_, request) = &seen.lock().unwrap()[0];
    assert!(request.starts_with("POST http://models.example:8000/v1/chat/completions HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nhost: models.example:8000\r\n"), "{request}");
    assert!(request.contains("\r\nproxy-authorization: Basic bWU6cHc=\r\n"), "{request}");
}

#[tokio::test]
async fn a_proxy_opens_a_tunnel_for_what_is_encrypted() {
    let (address, seen) = serve(|_| Some("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned())).await;
    let proxies = Matcher::builder().all(format!("me:pw@{address}")).build();
    let http = HttpClient::with_proxies(proxies).unwrap();
    let error = model(&http, "https://models.example/v1").chat(&asked()).await.unwrap_err();
    assert_eq!((error.kind, error.retryable()), (ModelErrorKind::Connection, true), "{error}");
    assert!(error.detail.contains("no connection to models.example: "), "{error}");
    let (_, request) = &seen.lock().unwrap()[0];
    assert!(request.starts_with("CONNECT models.example:443 HTTP/1.1\r\n"), "{request}");
    let request = request.to_lowercase();
    assert!(request.contains("\r\nproxy-authorization: basic bwu6chc=\r\n"), "{request}");
    assert!(request.contains("\r\nuser-agent: flowrun/"), "{request}");
    assert!(!request.contains("é"), "the proxy saw the prompt");
}
