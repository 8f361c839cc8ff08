//! Why there is no reply.

use thiserror::Error;

use crate::rules::Refused;

/// A request that came to no reply. Its message holds no secret of the request.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// What was wrong: a lower-case fragment.
    pub message: String,
    /// What to do.
    pub help: &'static str,
    /// How often it was tried; 0 where nothing was sent.
    pub tries: u32,
}

/// The kinds of failures, each with a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request cannot be sent as it is: a header with a line break, a method that does not exist.
    Request,
    /// The rules do not allow the address, or that of a redirect, or where it leads.
    RefusedUrl,
    /// There was no connection, or it broke.
    Connect,
    /// No complete reply came in time.
    Timeout,
    /// The reply is larger than it may be.
    TooLarge,
}

impl ErrorKind {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Request => "http.request",
            Self::RefusedUrl => "http.refused_url",
            Self::Connect => "http.connect",
            Self::Timeout => "http.timeout",
            Self::TooLarge => "http.too_large",
        }
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>, help: &'static str) -> Self {
        Self { kind, message: message.into(), help, tries: 0 }
    }

    /// A request that cannot be sent as it is.
    pub(crate) fn request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Request, message, "correct the part of the request that is named")
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::new(ErrorKind::RefusedUrl, refused.message, refused.help)
    }
}
