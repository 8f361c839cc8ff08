//! The server over real connections.

#![allow(clippy::unwrap_used, reason = "a test that panics here has failed")]

use flowrun_mock_llm::{Counters, FaultKind, Faults, Latency, MockServer, Plan, Rule};
use reqwest::{Client, Response};
use serde_json::{Value, json};

fn body(prompt: &str) -> Value {
    json!({ "model": "small", "messages": [{ "role": "user", "content": prompt }] })
}

async fn post(server: &MockServer, body: &Value, identity: &str) -> Result<Response, reqwest::Error> {
    let url = format!("{}/chat/completions", server.base_url());
    Client::new().post(url).header("X-Client-Request-Id", identity).json(body).send().await
}

async fn text(server: &MockServer, prompt: &str, identity: &str) -> String {
    let reply: Value = post(server, &body(prompt), identity).await.unwrap().json().await.unwrap();
    reply["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_completion_has_every_field() {
    let server = MockServer::start(Plan { rules: vec![Rule::new("hello (.*)", "bye $1")], ..Plan::default() })
        .await
        .unwrap();
    let reply: Value = post(&server, &body("hello you"), "a").await.unwrap().json().await.unwrap();
    assert_eq!(reply["choices"][0]["message"]["content"], "bye you");
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    assert_eq!(reply["model"], "small");
    assert_eq!(reply["usage"], json!({ "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 }));
    server.shutdown().await;
}

#[tokio::test]
async fn a_repeated_call_gets_the_same_text_whatever_came_before() {
    let plan = |seed| Plan { seed, latency: Latency::Jittered { ms: 1.0, jitter_ms: 1.0 }, ..Plan::default() };
    let (one, two) = (MockServer::start(plan(1)).await.unwrap(), MockServer::start(plan(2)).await.unwrap());
    let first = text(&one, "Income: 7", "a").await;
    assert!(text(&two, "Age: 3", "x").await.contains("Age"));
    assert_eq!(text(&two, "Income: 7", "a").await, first);
    assert_ne!(text(&two, "Income: 8", "a").await, first);
}

#[tokio::test]
async fn a_stream_spells_the_same_text() {
    let server = MockServer::start(Plan::default()).await.unwrap();
    let mut request = body("Income: 7");
    request["stream"] = json!(true);
    request["stream_options"] = json!({ "include_usage": true });
    let events = post(&server, &request, "a").await.unwrap().text().await.unwrap();
    let data: Vec<&str> = events.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let (done, chunks) = data.split_last().unwrap();
    assert_eq!(*done, "[DONE]");
    let chunks: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
    let spelled: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert!(spelled.starts_with("Justification: ") && spelled.contains("Income"), "{spelled}");
    assert!(chunks.iter().any(|chunk| chunk["choices"][0]["finish_reason"] == "stop"));
    assert!(chunks.last().unwrap()["usage"]["total_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn faults_are_what_they_say() {
    use FaultKind::{Cut, Drop, Empty, Huge, Malformed, NoChoice, Quota, Slow, Status, Truncated};
    let script = [Status(429), Quota, Drop, Cut, Slow, Truncated, Malformed, NoChoice, Empty, Huge];
    let mut plan = Plan::failing(script);
    (plan.faults.retry_after, plan.faults.retry_after_ms, plan.faults.slow_ms) =
        (Some("1".to_owned()), Some(5), 20);
    let server = MockServer::start(plan).await.unwrap();
    let request = body("x");

    let limited = post(&server, &request, "a").await.unwrap();
    assert_eq!(
        (limited.status().as_u16(), &limited.headers()["retry-after"], &limited.headers()["retry-after-ms"]),
        (429, &"1".parse().unwrap(), &"5".parse().unwrap())
    );
    assert!(post(&server, &request, "a").await.unwrap().text().await.unwrap().contains("insufficient_quota"));
    assert!(post(&server, &request, "a").await.is_err());
    let cut = post(&server, &request, "a").await.unwrap();
    assert!(cut.status().is_success() && cut.text().await.is_err());
    assert!(post(&server, &request, "a").await.unwrap().json::<Value>().await.is_ok());
    for _ in [Truncated, Malformed] {
        let text = post(&server, &request, "a").await.unwrap().text().await.unwrap();
        assert!(serde_json::from_str::<Value>(&text).is_err(), "{text}");
    }
    assert!(post(&server, &request, "a").await.unwrap().json::<Value>().await.unwrap()["choices"].is_null());
    assert!(
        post(&server, &request, "a")
            .await
            .unwrap()
            .json::<Value>()
            .await
            .unwrap()["choices"][0]["message"]["content"]
            .is_null()
    );
    assert_eq!(post(&server, &request, "a").await.unwrap().bytes().await.unwrap().len(), 32 << 20);

    let counters = server.counters();
    assert_eq!(counters.faults.len(), script.len());
    assert_eq!((counters.requests, counters.completed, counters.identities), (10, 0, 1));
    assert_eq!(counters.by_status[&200], 7);
}

#[tokio::test]
async fn a_call_meets_no_more_faults_than_the_plan_allows() {
    let mut plan = Plan::always(FaultKind::Status(500));
    plan.faults.per_call = Some(2);
    let server = MockServer::start(plan).await.unwrap();
    for (identity, status) in [("a", 500), ("b", 500), ("a", 500), ("a", 200), ("a", 200), ("b", 500), ("b", 200)]
    {
        assert_eq!(post(&server, &body("x"), identity).await.unwrap().status().as_u16(), status);
    }
    let counters = server.counters();
    assert_eq!((counters.completed, counters.completed_again, counters.identities), (3, 1, 2));
}

#[tokio::test]
async fn counters_are_served_and_reset() {
    let server = MockServer::start(Plan {
        faults: Faults { script: vec![Some(FaultKind::Status(503))], ..Faults::default() },
        ..Plan::default()
    })
    .await
    .unwrap();
    let root = server.base_url().trim_end_matches("/v1").to_owned();
    for status in [503, 200] {
        assert_eq!(post(&server, &body("x"), "a").await.unwrap().status().as_u16(), status);
    }
    let client = Client::new();
    let counters: Counters = client.get(format!("{root}/counters")).send().await.unwrap().json().await.unwrap();
    assert_eq!(counters, server.counters());
    assert_eq!((counters.requests, counters.completed, counters.max_in_flight), (2, 1, 1));
    assert!(client.post(format!("{root}/reset")).send().await.unwrap().status().is_success());
    assert_eq!(server.counters(), Counters::default());
    assert_eq!(post(&server, &body("x"), "a").await.unwrap().status().as_u16(), 503);
}

#[tokio::test]
async fn anything_else_is_refused() {
    let server = MockServer::start(Plan::default()).await.unwrap();
    let client = Client::new();
    let models: Value =
        client.get(format!("{}/models", server.base_url())).send().await.unwrap().json().await.unwrap();
    assert_eq!(models["data"][0]["object"], "model");
    assert_eq!(
        client.get(format!("{}/elsewhere", server.base_url())).send().await.unwrap().status().as_u16(),
        404
    );
    assert_eq!(post(&server, &json!({ "messages": 3 }), "a").await.unwrap().status().as_u16(), 400);
    assert_eq!(post(&server, &body(&"x".repeat(9 << 20)), "a").await.unwrap().status().as_u16(), 413);
    let wrong = Plan { rules: vec![Rule::new("(", "x")], ..Plan::default() };
    assert!(MockServer::start(wrong).await.is_err());
}

#[tokio::test]
async fn a_server_that_is_shut_down_is_gone() {
    let server = MockServer::start(Plan::default()).await.unwrap();
    let url = format!("{}/models", server.base_url());
    let client = Client::new();
    assert!(client.get(&url).send().await.is_ok());
    server.shutdown().await;
    assert!(client.get(&url).send().await.is_err());
}

#[tokio::test]
async fn a_schema_that_is_asked_for_is_filled() {
    let server = MockServer::start(Plan::default()).await.unwrap();
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer", "maximum": 3 } } });
    let mut request = body("x");
    request["response_format"] =
        json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": schema } });
    let reply: Value = post(&server, &request, "a").await.unwrap().json().await.unwrap();
    let text = reply["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(text).unwrap()["n"].as_i64().unwrap() <= 3);

    let mut request = body("x");
    request["tools"] = json!([{ "type": "function", "function": { "name": "t", "parameters": schema } }]);
    request["tool_choice"] = json!({ "type": "function", "function": { "name": "t" } });
    let reply: Value = post(&server, &request, "a").await.unwrap().json().await.unwrap();
    assert!(reply["choices"][0]["message"]["content"].is_null(), "{reply}");
    let call = &reply["choices"][0]["message"]["tool_calls"][0]["function"];
    assert!(call["name"] == "t" && call["arguments"].as_str().unwrap().contains("\"n\":"), "{reply}");
}

#[tokio::test]
async fn replies_come_in_order_of_arrival_and_parts_are_read() {
    let replies = vec![Rule::new("", "one"), Rule::new("", "{}").tool("t"), Rule::new("never", "three")];
    let rules = vec![Rule::new("look", "seen")];
    let server = MockServer::start(Plan { replies, rules, ..Plan::default() }).await.unwrap();
    assert_eq!(text(&server, "x", "a").await, "one");
    let reply: Value = post(&server, &body("x"), "a").await.unwrap().json().await.unwrap();
    assert_eq!(reply["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "t");
    let mut request = body("");
    let image = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64," } });
    request["messages"][0]["content"] = json!([{ "type": "text", "text": "look" }, image]);
    request["logprobs"] = json!(true);
    let reply: Value = post(&server, &request, "a").await.unwrap().json().await.unwrap();
    assert_eq!(reply["choices"][0]["message"]["content"], "seen");
    assert_eq!(reply["choices"][0]["logprobs"]["content"][0]["token"], "seen");
}
