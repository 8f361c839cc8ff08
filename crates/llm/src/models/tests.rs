use serde_json::{Value, json};

use super::*;

struct Case {
    config: Value,
    key: Option<&'static str>,
    url: Option<&'static str>,
    choice: &'static str,
    templates: bool,
}

impl Default for Case {
    fn default() -> Self {
        Self { config: json!({}), key: None, url: None, choice: "", templates: false }
    }
}

impl Case {
    fn bind(self) -> Result<BoundModel, BindError> {
        let config: ModelConfig = serde_json::from_value(self.config).unwrap();
        let environment =
            Environment { openai_api_key: self.key.map(Secret::new), openai_base_url: self.url.map(BaseUrl::new) };
        let overrides: Vec<ModelOverride> =
            self.choice.split_whitespace().map(|choice| choice.parse().unwrap()).collect();
        let http = HttpClient::new().unwrap();
        Binder { environment: &environment, overrides: &overrides, http: &http }.bind(
            "writer",
            &config,
            self.templates,
        )
    }

    fn description(self) -> String {
        self.bind().unwrap().describe()
    }
}

#[test]
fn auto_takes_what_is_set() {
    let case = Case::default;
    assert_eq!(Case { key: Some("k"), ..case() }.description(), "openai gpt-4o-mini at api.openai.com");
    assert_eq!(
        Case { url: Some("http://localhost:8000/v1/"), ..case() }.description(),
        "openai gpt-4o-mini at localhost:8000"
    );
    assert_eq!(
        Case { config: json!({ "base_url": "http://h/v1", "model": "m" }), ..case() }.description(),
        "openai m at h"
    );
    assert_eq!(
        Case { config: json!({ "api_key": "k" }), templates: true, ..case() }.description(),
        "openai gpt-4o-mini at api.openai.com"
    );
    assert_eq!(
        Case {
            key: Some(" "),
            url: Some(""),
            config: json!({ "api_key": "", "base_url": "" }),
            templates: true,
            ..case()
        }
        .description(),
        "offline templates (no OPENAI_API_KEY or OPENAI_BASE_URL set; --model openai:NAME to use one)"
    );
}

#[test]
fn the_flow_wins_over_the_environment_and_the_command_line_over_both() {
    let config = json!({ "provider": "offline", "model": "m", "base_url": "https://user:pw@flow.example/v1" });
    let case = || Case {
        config: config.clone(),
        key: Some("k"),
        url: Some("http://env.example/v1"),
        templates: true,
        ..Case::default()
    };
    assert_eq!(case().description(), "offline templates (provider: offline)");
    assert_eq!(Case { choice: "openai", ..case() }.description(), "openai m at flow.example");
    assert_eq!(Case { choice: "writer=openai:n", ..case() }.description(), "openai n at flow.example");
    assert_eq!(Case { choice: "judge=openai:n", ..case() }.description(), "offline templates (provider: offline)");
    assert_eq!(
        Case { choice: "offline", key: Some("k"), templates: true, ..Case::default() }.description(),
        "offline templates (--model offline)"
    );
}

#[test]
fn a_model_that_nobody_answers_for_is_an_error_that_says_what_to_do() {
    let case = Case::default;
    for (case, code, words) in [
        (
            case(),
            "model.nothing_set",
            &["OPENAI_API_KEY", "OPENAI_BASE_URL", "--model openai:NAME", "`offline` text"][..],
        ),
        (
            Case { config: json!({ "provider": "openai" }), templates: true, ..case() },
            "model.no_key",
            &["OPENAI_API_KEY", "OPENAI_BASE_URL"],
        ),
        (Case { choice: "openai:m", ..case() }, "model.no_key", &["OPENAI_API_KEY"]),
        (
            Case { choice: "offline", key: Some("k"), ..case() },
            "model.no_template",
            &["`offline` text", "--model openai:NAME"],
        ),
        (Case { url: Some("ftp://h"), ..case() }, "model.bad_url", &["ftp://h", "http://"]),
        (Case { key: Some("sk-a\nb"), ..case() }, "model.bad_key", &["OPENAI_API_KEY"]),
    ] {
        let error = case.bind().unwrap_err();
        let text = format!("{error}; {}", error.help());
        assert_eq!(error.code(), code, "{text}");
        assert!(text.contains("`writer`") && words.iter().all(|word| text.contains(word)), "{text}");
        assert!(!text.contains("sk-a") && !format!("{error:?}").contains("sk-a"), "{text}");
    }
}

#[test]
fn debug_of_a_bound_model_shows_no_key() {
    let model =
        Case { key: Some("sk-hidden"), url: Some("http://me:hunter2@h/v1"), ..Case::default() }.bind().unwrap();
    let printed = format!("{model:?} {}", model.describe());
    assert!(!printed.contains("sk-hidden") && !printed.contains("hunter2"), "{printed}");
}
