//! The same calls by a bare HTTP client: what somebody would write who needs nothing but the texts.
//!
//! Tasks take row after row; each asks for a text, has it judged, and tries again up to three times. The prompts are
//! those of the flow, the answers are read as the flow reads them. No order, no record, no limits, no counting of
//! tokens, and an error ends it all.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::Done;
use crate::clock::Clock;

const TRIALS: u32 = 3;

type Anything = Box<dyn Error + Send + Sync>;

struct Client {
    http: reqwest::Client,
    url: String,
    write: Prompt,
    judge: Prompt,
    records: Vec<Map<String, Value>>,
    next: AtomicU32,
    calls: AtomicU64,
}

/// Writes and judges this many texts.
pub(crate) async fn run(url: &str, rows: u32, in_flight: usize) -> Result<Done, Box<dyn Error>> {
    let flows = Path::new(env!("CARGO_MANIFEST_DIR")).join("flows");
    let client = Arc::new(Client {
        http: reqwest::Client::new(),
        url: format!("{url}/chat/completions"),
        write: Prompt::new(&fs::read_to_string(flows.join("prompts/write.md"))?),
        judge: Prompt::new(&fs::read_to_string(flows.join("prompts/judge.md"))?),
        records: serde_json::from_str(&fs::read_to_string(flows.join("data/loan_seed.json"))?)?,
        next: AtomicU32::new(0),
        calls: AtomicU64::new(0),
    });
    let clock = Clock::start();
    let mut tasks = JoinSet::new();
    for _ in 0..in_flight {
        let client = Arc::clone(&client);
        tasks.spawn(async move {
            let mut texts = Vec::new();
            loop {
                let row = client.next.fetch_add(1, Ordering::Relaxed);
                if row >= rows {
                    return Ok::<_, Anything>(texts);
                }
                texts.push(client.justify(row).await?);
            }
        });
    }
    let mut texts = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        texts.extend(joined?.map_err(|e| e.to_string())?);
    }
    let done = Done { took: clock.took(), calls: client.calls.load(Ordering::Relaxed) };
    assert_eq!(texts.len(), rows as usize);
    Ok(done)
}

impl Client {
    /// A text that the judge accepts, or the last one.
    async fn justify(&self, row: u32) -> Result<String, Anything> {
        let record = &self.records[row as usize % self.records.len()];
        let mut text = String::new();
        for trial in 1..=TRIALS {
            let reply = self.ask(&self.write.filled(record, ""), 1.0, format!("{row}-{trial}-write")).await?;
            reply.split_once("Justification:").ok_or("a reply without a text")?.1.trim().clone_into(&mut text);
            let verdict = self.ask(&self.judge.filled(record, &text), 0.0, format!("{row}-{trial}-judge")).await?;
            if verdict.contains("VALID") && !verdict.contains("INVALID") {
                break;
            }
        }
        Ok(text)
    }

    /// One call. The server answers by the call's name, so that a text that is asked for again can be another one.
    async fn ask(&self, prompt: &str, temperature: f64, name: String) -> Result<String, Anything> {
        let body = json!({
            "model": "gpt-4o-mini", "max_tokens": 2048, "temperature": temperature,
            "messages": [{ "role": "user", "content": prompt }],
        });
        let sent = self.http.post(&self.url).header("x-client-request-id", name).json(&body).send().await?;
        let reply: Completion = sent.error_for_status()?.json().await?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let choice = reply.choices.into_iter().next().ok_or("a reply without a choice")?;
        Ok(choice.message.content)
    }
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

/// A prompt of the flow, cut at its holes: each part is a text and the field that follows it.
struct Prompt(Vec<(String, Option<String>)>);

impl Prompt {
    fn new(text: &str) -> Self {
        let cut = |part: &str| match part.split_once("}}") {
            Some((hole, rest)) => (hole.split('\'').nth(1).unwrap_or_default().to_owned(), rest.to_owned()),
            None => (String::new(), part.to_owned()),
        };
        let mut pieces = text.split("{{");
        let mut parts = vec![(pieces.next().unwrap_or_default().to_owned(), None)];
        for (field, rest) in pieces.map(cut) {
            if let Some(last) = parts.last_mut() {
                last.1 = Some(field);
            }
            parts.push((rest, None));
        }
        Self(parts)
    }

    /// The prompt for a record, which is its own example; a hole without a field takes the text.
    fn filled(&self, record: &Map<String, Value>, text: &str) -> String {
        let mut prompt = String::with_capacity(4096);
        for (part, field) in &self.0 {
            prompt.push_str(part);
            match field.as_ref().map(|field| record.get(field)) {
                Some(Some(Value::String(value))) => prompt.push_str(value),
                Some(Some(value)) => prompt.push_str(&value.to_string()),
                Some(None) => prompt.push_str(text),
                None => {}
            }
        }
        prompt
    }
}
