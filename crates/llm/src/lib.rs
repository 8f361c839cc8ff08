//! Chat models for flowrun: OpenAI-compatible endpoints, and offline templates where there is none.
//!
//! The way of one call:
//!
//! ```text
//! models: (YAML) ── ModelConfig ──┐
//! --model        ── ModelOverride ┼─ Binder::bind ─► BoundModel ── chat(&ChatRequest) ─► Reply | ModelError
//! environment    ── Environment ──┘                     │   embed(&EmbedRequest) ─► Embedded | ModelError
//!                                                       └─ tries: one HTTP exchange each, waits between them
//! ```
//!
//! Everything that the environment or the command line decides is decided once, in [`Binder::bind`]; a
//! [`BoundModel`] never looks at either again. Transient failures (429, 5xx, timeouts, resets) are tried
//! again in here and nowhere else; "the answer was not good enough" is the caller's business.
//!
//! The crate knows nothing of flows, steps or journals. What it hands back is plain data that can be
//! written down ([`Reply`]) or shown to a user ([`ModelError`], each kind with a stable code).

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that panics here has failed"))]

mod chat;
mod choice;
mod config;
mod connect;
mod connections;
mod embed;
mod error;
mod models;
mod number;
mod openai;
mod quoted;
mod retry;
mod secret;
mod settings;
mod transport;
mod wire;

pub use chat::{
    ChatRequest, Compared, FinishReason, Message, Reply, ReplySchema, Role, ToolCall, ToolChoice, ToolSpec, Usage,
};
pub use choice::{ModelChoice, ModelOverride, ModelOverrideError};
pub use config::{MaxTokensKey, ModelConfig, Price, Provider, RetryConfig};
pub use embed::{EmbedRequest, Embedded, offline_vector};
pub use error::{ModelError, ModelErrorKind};
pub use models::{Answerer, BindError, Binder, BoundModel, Environment, EnvironmentError, OfflineReason};
pub use openai::OpenAiModel;
pub use secret::{BaseUrl, BaseUrlError, Secret};
pub use settings::{SeedSetting, Settings, extra as extra_fields};
pub use transport::{HttpClient, HttpClientError};

/// The `tracing` targets that a program should switch off.
///
/// The client library logs whole replies at the error level when it cannot read them: texts that belong to
/// the user's data and not to a log. The same failures come back as a [`ModelError`], with a short excerpt.
pub const QUIET_TARGETS: &[&str] = &["async_openai"];
