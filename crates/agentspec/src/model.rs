//! LLM configurations as the models of a flow.

use flowrun_core::diagnostics::Spanned;
use flowrun_core::node::{Node, NodeKind};
use flowrun_core::spec::DefinitionSpec;
use serde_json::{Map, Value as Json, json};

use crate::codes;
use crate::component::{Component, unsupported};
use crate::config::{Config, text};
use crate::document::first_line;
use crate::import::Importer;

/// Fields that are files of a client's own, for which the model layer has nothing.
const FILES: &[&str] = &["key_file", "cert_file", "ca_file"];

/// Providers of a plain `LlmConfig` that speak its language.
const COMPATIBLE: &[&str] =
    &["openai", "openai_compatible", "openai-compatible", "vllm", "ollama", "meta", "other"];

/// Settings of a generation that a model has keys for.
pub(crate) const SETTINGS: &[&str] =
    &["max_tokens", "temperature", "top_p", "stop", "frequency_penalty", "presence_penalty", "seed"];

impl<'a> Importer<'a> {
    /// The name of the model that a configuration is here.
    pub(crate) fn model(&self, c: Component<'a>) -> Option<String> {
        let key = c.identity();
        if let Some(known) = self.models.borrow().known.get(&key) {
            return known.clone();
        }
        let config = self.model_config(c);
        let mut models = self.models.borrow_mut();
        let name = config.map(|config| {
            let name = models.names.unique(c.name());
            let spanned = Spanned::new(name.clone(), c.name_span().clone());
            models.specs.push(DefinitionSpec { name: spanned, config });
            name
        });
        models.known.insert(key, name.clone());
        name
    }

    fn model_config(&self, c: Component<'a>) -> Option<Node> {
        let own: &[&str] = match c.kind {
            "OpenAiConfig" => &["model_id", "api_type", "api_key"],
            "OpenAiCompatibleConfig" | "VllmConfig" | "OllamaConfig" => {
                &["url", "model_id", "api_type", "api_key", "key_file", "cert_file", "ca_file"]
            }
            "LlmConfig" => &["model_id", "provider", "api_provider", "api_type", "url", "api_key"],
            _ => {
                self.doc.report(unsupported(c));
                return None;
            }
        };
        let fields: Vec<&str> =
            own.iter().copied().chain(["default_generation_parameters", "retry_policy"]).collect();
        self.doc.known_fields(c, &fields);
        self.check_provider(c)?;
        let model = self.doc.needed_text(c, "model_id");
        let mut config = Config::new(&first_line(c.name_span()));
        config.put("model", model?.clone());
        let has_url = c.kind != "OpenAiConfig";
        match self.doc.text(c, "url").filter(|_| has_url) {
            Some(url) => {
                config.put("base_url", text(base_url(url.as_str().unwrap_or_default()), &url.span));
            }
            None if has_url && c.kind != "LlmConfig" => {
                self.doc.missing(c, "url");
            }
            None => {}
        }
        if c.kind == "OpenAiConfig" {
            config.set("max_tokens_key", "max_completion_tokens");
        }
        for field in FILES {
            if c.entry(field).is_some_and(|e| e.value.as_str() != Some("")) {
                let message = format!("`{field}` of `{}` is not supported here", c.name());
                self.doc.error(codes::UNSUPPORTED, message, c.span_of(field));
            }
        }
        // A key that is not given may still be that of the environment.
        if let Some(entry) = c.entry("api_key")
            && let Ok(Some(key)) = self.doc.secret(&entry.value)
        {
            config.put("api_key", text(key, &entry.value.span));
        }
        self.generation(c, &mut config);
        let retries = self.retries(c);
        if !retries.retry.is_empty() {
            config.set_at("retry", Json::Object(retries.retry), c.span_of("retry_policy"));
        }
        if let Some(seconds) = retries.timeout {
            config.set_at("timeout", seconds, c.span_of("retry_policy"));
        }
        for entry in c.own("config").and_then(Node::entries).unwrap_or_default() {
            config.put(&entry.key, self.own_value(&entry.value));
        }
        Some(config.finish())
    }

    fn check_provider(&self, c: Component<'a>) -> Option<()> {
        if let Some(kind) = self.doc.text(c, "api_type")
            && !matches!(kind.as_str(), Some("chat_completions" | "openai_chat_completions"))
        {
            let message = format!(
                "`api_type: {}` of `{}` is not supported here",
                kind.as_str().unwrap_or_default(),
                c.name()
            );
            self.doc.error(codes::UNSUPPORTED, message, &kind.span);
            return None;
        }
        for field in ["provider", "api_provider"] {
            let Some(provider) = self.doc.text(c, field).filter(|_| c.kind == "LlmConfig") else { continue };
            let word = provider.as_str().unwrap_or_default().to_ascii_lowercase();
            if !COMPATIBLE.contains(&word.as_str()) {
                let message = format!("`{}` asks the provider `{word}`, which is not supported here", c.name());
                self.doc.error(codes::UNSUPPORTED, message, &provider.span);
                return None;
            }
        }
        Some(())
    }

    fn generation(&self, c: Component<'a>, config: &mut Config) {
        let mut extra = Map::new();
        for entry in self.doc.map(c, "default_generation_parameters") {
            if entry.value.kind == NodeKind::Null {
                continue;
            }
            if SETTINGS.contains(&&*entry.key) {
                config.put(&entry.key, entry.value.clone());
            } else {
                extra.insert(entry.key.to_string(), entry.value.to_value().to_json().unwrap_or_default());
            }
        }
        if !extra.is_empty() {
            config.set_at("extra", json!(extra), c.span_of("default_generation_parameters"));
        }
    }
}

/// The address of an endpoint up to its version: exporters leave scheme and path out.
pub(crate) fn base_url(url: &str) -> String {
    let url = url.trim().trim_end_matches('/');
    let url = url.strip_suffix("/chat/completions").unwrap_or(url);
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let path = url.split_once("://").map_or("", |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    let last = path.rsplit('/').next().unwrap_or_default();
    let versioned =
        last.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.starts_with(|c: char| c.is_ascii_digit()));
    if versioned { url } else { format!("{url}/v1") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_up_to_the_version() {
        for (url, expected) in [
            ("http://localhost:5006", "http://localhost:5006/v1"),
            ("localhost:11434", "http://localhost:11434/v1"),
            ("https://h.example/v1/", "https://h.example/v1"),
            ("https://h.example/v1/chat/completions", "https://h.example/v1"),
            ("https://h.example/api/v2beta", "https://h.example/api/v2beta"),
            ("https://h.example/openai", "https://h.example/openai/v1"),
        ] {
            assert_eq!(base_url(url), expected, "{url}");
        }
    }
}
