//! Why a request is refused before it is handled.

use std::fmt;

use bytes::Bytes;

/// The most headers in a request; hyper has the same limit.
pub(crate) const MAX_HEADERS: usize = 100;

/// Why a request was refused before it could be handled.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The reason, for programs.
    pub kind: RefusalKind,
    /// The reason, for people.
    pub message: String,
    /// What was received of the head.
    pub wire: Bytes,
}

/// The reasons for a [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// Not HTTP, or invalid syntax.
    Malformed,
    /// Ambiguous message length.
    Framing,
    /// The head is larger than the server allows.
    TooLarge,
    /// The head was not complete in time.
    Timeout,
    /// `CONNECT`, which requests a tunnel to any host.
    Connect,
    /// Too many concurrent requests on an HTTP/2 connection.
    TooMany,
}

/// A fault in a head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: RefusalKind,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn framing(message: impl fmt::Display) -> Self {
        Self { kind: RefusalKind::Framing, message: message.to_string() }
    }

    pub(crate) fn malformed(message: impl fmt::Display) -> Self {
        Self { kind: RefusalKind::Malformed, message: message.to_string() }
    }

    /// The refusal of a head of which `wire` was received.
    pub(crate) fn refusal(self, wire: Bytes) -> Refusal {
        Refusal { kind: self.kind, message: self.message, wire }
    }

    pub(crate) fn too_many_headers() -> Self {
        let message = format!("the request has more than {MAX_HEADERS} headers");
        Self { kind: RefusalKind::TooLarge, message }
    }
}
