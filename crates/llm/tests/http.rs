//! The client over real connections, against a server that misbehaves.

#![allow(clippy::unwrap_used, reason = "a test that panics here has failed")]

use std::time::{Duration, Instant};

use flowrun_llm::{
    BaseUrl, Binder, BoundModel, ChatRequest, EmbedRequest, Environment, FinishReason, HttpClient, Message,
    ModelConfig, ModelError, ModelErrorKind, ReplySchema, Secret, Settings, ToolChoice, ToolSpec,
};
use flowrun_mock_llm::{FaultKind, MockServer, Plan, Rule};
use serde_json::{Value, json};

const KEY: &str = "sk-never-to-be-seen";

/// A model at the address; `config` is merged over quick retries.
fn model_at(address: &str, config: &Value) -> BoundModel {
    let mut merged =
        json!({ "retry": { "tries": 3, "initial_delay": 0.001, "max_delay": 0.002 }, "model": "small" });
    merged.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let config: ModelConfig = serde_json::from_value(merged).unwrap();
    let environment =
        Environment { openai_api_key: Some(Secret::new(KEY)), openai_base_url: Some(BaseUrl::new(address)) };
    let http = HttpClient::new().unwrap();
    Binder { environment: &environment, overrides: &[], http: &http }.bind("writer", &config, false).unwrap()
}

fn request(prompt: &str) -> ChatRequest {
    ChatRequest {
        messages: vec![Message::user(prompt)],
        identity: "0123abcd".to_owned(),
        ..ChatRequest::default()
    }
}

/// One call of a model with quick retries against a server with the given plan.
async fn call(plan: Plan) -> (Result<flowrun_llm::Reply, ModelError>, MockServer) {
    let server = MockServer::start(plan).await.unwrap();
    let model = model_at(&server.base_url(), &json!({}));
    (model.chat(&request("Income: 7")).await, server)
}

#[tokio::test]
async fn a_reply_is_read_whole() {
    let cut = Rule::new("", "a text that is c").finish("length");
    let (reply, server) = call(Plan { rules: vec![cut], record: true, ..Plan::default() }).await;
    let reply = reply.unwrap();
    assert_eq!(
        (reply.text.as_str(), reply.finish_reason, reply.tries),
        ("a text that is c", FinishReason::Length, 1)
    );
    assert_eq!((reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.reported), (3, 4, true));
    assert_eq!(reply.served_by.as_deref(), Some("small"));
    let seen = &server.recorded()[0];
    assert_eq!(seen.identity.as_deref(), Some("0123abcd"));
    assert_eq!(seen.authorization.as_deref(), Some("Bearer sk-never-to-be-seen"));
    assert_eq!(
        seen.body,
        json!({ "model": "small", "messages": [{ "role": "user", "content": "Income: 7" }], "stream": false })
    );
}

#[tokio::test]
async fn what_cannot_pass_is_not_tried_again() {
    use FaultKind::{Empty, Huge, Quota, Status};
    for (fault, kind, fatal) in [
        (Status(302), ModelErrorKind::BadRequest, false),
        (Status(400), ModelErrorKind::BadRequest, false),
        (Status(401), ModelErrorKind::Unauthorized, true),
        (Status(402), ModelErrorKind::Quota, true),
        (Status(403), ModelErrorKind::Unauthorized, true),
        (Status(404), ModelErrorKind::NotFound, true),
        (Status(413), ModelErrorKind::BadRequest, false),
        (Status(422), ModelErrorKind::BadRequest, false),
        (Status(501), ModelErrorKind::ServerError, false),
        (Quota, ModelErrorKind::Quota, true),
        (Empty, ModelErrorKind::EmptyReply, false),
        (Huge, ModelErrorKind::BadReply, false),
    ] {
        let (reply, server) = call(Plan::always(fault)).await;
        let error = reply.unwrap_err();
        assert_eq!(
            (error.kind, error.fatal(), error.retryable(), error.tries),
            (kind, fatal, false, 1),
            "{fault}: {error}"
        );
        assert_eq!(server.counters().requests, 1, "{fault}");
        if let Status(status) = fault {
            assert_eq!(error.status, Some(status));
            assert!(error.body.as_deref().unwrap().contains("the plan answers"), "{error:?}");
            assert!(error.to_string().contains(&format!("answered {status} (")), "{error}");
        }
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_under_the_same_name() {
    use FaultKind::{Cut, Drop, Malformed, NoChoice, Status, Truncated};
    for (fault, kind, status) in [
        (Status(408), ModelErrorKind::Timeout, Some(408)),
        (Status(409), ModelErrorKind::Conflict, Some(409)),
        (Status(429), ModelErrorKind::RateLimited, Some(429)),
        (Status(500), ModelErrorKind::ServerError, Some(500)),
        (Status(503), ModelErrorKind::ServerError, Some(503)),
        (Drop, ModelErrorKind::Connection, None),
        (Cut, ModelErrorKind::Connection, None),
        (Truncated, ModelErrorKind::BadReply, Some(200)),
        (Malformed, ModelErrorKind::BadReply, Some(200)),
        (NoChoice, ModelErrorKind::BadReply, Some(200)),
    ] {
        let (reply, server) = call(Plan::failing([fault, fault])).await;
        assert_eq!(reply.unwrap().tries, 3, "{fault}");
        let seen = server.recorded();
        assert_eq!(seen.len(), 3, "{fault}");
        assert!(
            seen.iter().all(|request| *request == seen[0] && request.identity.as_deref() == Some("0123abcd")),
            "{seen:?}"
        );

        let (reply, server) = call(Plan::always(fault)).await;
        let error = reply.unwrap_err();
        assert_eq!(
            (error.kind, error.status, error.retryable(), error.fatal(), error.tries),
            (kind, status, true, false, 3),
            "{fault}: {error}"
        );
        assert!(error.to_string().ends_with("(after 3 tries)"), "{error}");
        assert_eq!(error.body.is_some(), status.is_some(), "{error:?}");
        assert_eq!(server.counters().requests, 3, "{fault}");
    }
}

#[tokio::test]
async fn an_error_in_a_good_status_is_quoted() {
    let (reply, _server) = call(Plan::always(FaultKind::NoChoice)).await;
    let error = reply.unwrap_err();
    assert!(
        error.detail.contains("missing field `choices`") && error.detail.ends_with(": upstream has failed"),
        "{error}"
    );
}

#[tokio::test]
async fn the_wait_that_the_server_asks_for_is_kept() {
    let mut plan = Plan::failing([FaultKind::Status(429), FaultKind::Status(503)]);
    plan.faults.retry_after_ms = Some(60);
    plan.faults.retry_after = Some("3600".to_owned());
    let started = Instant::now();
    let (reply, _server) = call(plan).await;
    assert_eq!(reply.unwrap().tries, 3);
    assert!(started.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn a_slow_body_meets_the_timeout_of_each_try() {
    let server = MockServer::start(Plan::always(FaultKind::Slow)).await.unwrap();
    let error = model_at(&server.base_url(), &json!({ "timeout": 0.1 })).chat(&request("x")).await.unwrap_err();
    assert_eq!((error.kind, error.tries, error.status), (ModelErrorKind::Timeout, 3, None), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_connection_error() {
    let server = MockServer::start(Plan::default()).await.unwrap();
    let address = server.base_url();
    server.shutdown().await;
    let error = model_at(&address.replace("http://", "http://me:hunter2@"), &json!({}))
        .chat(&request("x"))
        .await
        .unwrap_err();
    assert_eq!((error.kind, error.tries), (ModelErrorKind::Connection, 3), "{error}");
    assert!(
        error.to_string().contains("127.0.0.1") && !format!("{error} {error:?}").contains("hunter2"),
        "{error:?}"
    );
}

#[tokio::test]
async fn settings_of_a_call_are_merged_over_those_of_the_model() {
    let server = MockServer::start(Plan { record: true, ..Plan::default() }).await.unwrap();
    let model = model_at(
        &format!("{}/", server.base_url()),
        &json!({ "temperature": 0.7, "max_tokens": 100, "seed": "auto", "stop": ["END"], "extra": { "reasoning_effort": "low" } }),
    );
    let settings = serde_json::from_value(json!({ "temperature": 0.0, "extra": { "user": "u" } })).unwrap();
    for identity in ["aa", "bb", "aa"] {
        model
            .chat(&ChatRequest {
                settings: Settings::clone(&settings),
                identity: identity.to_owned(),
                ..request("x")
            })
            .await
            .unwrap();
    }
    let bodies: Vec<Value> = server.recorded().into_iter().map(|request| request.body).collect();
    let seed = bodies[0]["seed"].as_i64().unwrap();
    assert_eq!(
        bodies[0],
        json!({
            "model": "small", "messages": [{ "role": "user", "content": "x" }], "stream": false, "max_tokens": 100, "temperature": 0.0,
            "stop": ["END"], "seed": seed, "reasoning_effort": "low", "user": "u",
        })
    );
    assert_eq!(bodies[0], bodies[2]);
    assert_ne!(bodies[0]["seed"], bodies[1]["seed"]);
}

#[tokio::test]
async fn a_server_without_a_key_gets_none() {
    let server = MockServer::start(Plan { record: true, ..Plan::default() }).await.unwrap();
    let environment = Environment { openai_api_key: None, openai_base_url: Some(BaseUrl::new(server.base_url())) };
    let http = HttpClient::new().unwrap();
    let binder = Binder { environment: &environment, overrides: &[], http: &http };
    binder.bind("writer", &ModelConfig::default(), false).unwrap().chat(&request("x")).await.unwrap();
    assert_eq!(server.recorded()[0].authorization, None);
}

#[tokio::test]
async fn the_key_is_in_no_error_even_where_the_server_repeats_it() {
    let (reply, _server) = call(Plan::always(FaultKind::Status(401))).await;
    let error = reply.unwrap_err();
    assert!(error.body.as_deref().unwrap().contains("`Bearer ***`"), "{error:?}");
    assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}");
}

#[tokio::test]
async fn an_offline_model_does_not_answer_itself() {
    let environment = Environment::default();
    let http = HttpClient::new().unwrap();
    let model = Binder { environment: &environment, overrides: &[], http: &http }
        .bind("writer", &ModelConfig::default(), true)
        .unwrap();
    let error = model.chat(&request("x")).await.unwrap_err();
    assert_eq!((error.code(), error.tries), ("model.no_template", 0));
    assert!(model.is_offline() && error.detail.contains("`writer`"));
}

#[tokio::test]
async fn a_reply_schema_a_tool_and_logprobs_travel_both_ways() {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    let server = MockServer::start(Plan { record: true, ..Plan::default() }).await.unwrap();
    let model = model_at(&server.base_url(), &json!({}));

    let reply_schema = Some(ReplySchema { name: "answer".to_owned(), schema: schema.clone(), strict: false });
    let settings = Settings { top_logprobs: Some(1), ..Settings::default() };
    let reply = model.chat(&ChatRequest { reply_schema, settings, ..request("x") }).await.unwrap();
    assert!(serde_json::from_str::<Value>(&reply.text).unwrap()["n"].is_i64(), "{reply:?}");
    assert_eq!(reply.logprobs.unwrap()[0]["token"], reply.text);

    let tools = vec![ToolSpec {
        name: "answer".to_owned(),
        description: String::new(),
        parameters: schema,
        strict: false,
    }];
    let tool_choice = Some(ToolChoice::Named("answer".to_owned()));
    let reply = model.chat(&ChatRequest { tools, tool_choice, ..request("x") }).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.tool_calls[0].name.as_str()), ("", "answer"));
    assert_eq!(reply.finish_reason, FinishReason::ToolCalls);
    assert!(serde_json::from_str::<Value>(&reply.tool_calls[0].arguments).unwrap()["n"].is_i64());
    let sent: Vec<Value> = server.recorded().into_iter().map(|request| request.body).collect();
    assert_eq!(sent[0]["response_format"]["json_schema"]["name"], "answer");
    assert_eq!(sent[1]["tool_choice"]["function"]["name"], "answer");
}

fn texts(texts: &[&str]) -> EmbedRequest {
    EmbedRequest { texts: texts.iter().map(|t| (*t).to_owned()).collect(), identity: "0123abcd".to_owned() }
}

#[tokio::test]
async fn vectors_come_in_the_order_of_the_texts() {
    let server = MockServer::start(Plan { record: true, ..Plan::default() }).await.unwrap();
    let model = model_at(&server.base_url(), &json!({ "temperature": 0.5, "extra": { "dimensions": 64 } }));
    let embedded = model.embed(&texts(&["a b", "c"])).await.unwrap();
    let sums: Vec<f32> = embedded.vectors.iter().map(|v| v.iter().sum()).collect();
    assert_eq!((sums, embedded.tries, embedded.usage.reported), (vec![2.0, 1.0], 1, true));
    let seen = &server.recorded()[0];
    assert_eq!(seen.body, json!({ "model": "small", "input": ["a b", "c"], "dimensions": 64 }));
    assert_eq!(seen.identity.as_deref(), Some("0123abcd"));
}

#[tokio::test]
async fn vectors_are_asked_for_again_and_bad_ones_refused() {
    let once = flowrun_mock_llm::Faults { per_call: Some(1), ..Plan::always(FaultKind::Status(503)).faults };
    let server = MockServer::start(Plan { faults: once, ..Plan::default() }).await.unwrap();
    let embedded = model_at(&server.base_url(), &json!({})).embed(&texts(&["a"])).await.unwrap();
    assert_eq!(embedded.tries, 2);
    for (plan, kind) in [
        (Plan::always(FaultKind::Status(401)), ModelErrorKind::Unauthorized),
        (Plan::always(FaultKind::Malformed), ModelErrorKind::BadReply),
        (Plan::always(FaultKind::NoChoice), ModelErrorKind::BadReply),
    ] {
        let server = MockServer::start(plan).await.unwrap();
        let error = model_at(&server.base_url(), &json!({})).embed(&texts(&["a"])).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
}
