//! What recording has to know of the API whose traffic is recorded.

/// A description of an API, as far as its exchanges are recorded and redacted by it. Plain data, made at compile time.
///
/// ```
/// use nightaudit_exchange::{Api, TokenForm};
///
/// const BOOKS: Api = Api {
///     name: "Books",
///     possessive: "Books'",
///     operation_prefix: "/v1/",
///     request_id_header: "X-Request-Id",
///     request_id_property: "requestId",
///     message_property: "message",
///     token_words: &["library"],
///     token_form: TokenForm::new(32, 31),
/// };
/// assert_eq!(BOOKS.operation_of("/v1/loans/list"), Some("loans/list"));
/// assert_eq!(BOOKS.operation_of("/v2/loans/list"), None);
/// assert_eq!(BOOKS.error_body("no such \"loan\""), r#"{"message":"no such \"loan\""}"#);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// Whose it is, as messages name the host: `Mews`.
    pub name: &'static str,
    /// The same as a possessive: `Mews'`.
    pub possessive: &'static str,
    /// What the path of every operation begins with; ends with a slash.
    pub operation_prefix: &'static str,
    /// The header with which a response carries the host's own id of the request.
    pub request_id_header: &'static str,
    /// The property of an error's body with the same id.
    pub request_id_property: &'static str,
    /// The property of an error's body with the message.
    pub message_property: &'static str,
    /// The words, in lower case, that stand before `token` in the names of its tokens: `access` for `AccessToken`,
    /// `access_token` and `X-Access-Token`. Names that are usual everywhere, such as `Authorization`, `X-Api-Key` and
    /// `refresh_token`, are known without.
    pub token_words: &'static [&'static str],
    /// The form by which its tokens are recognised where no name tells.
    pub token_form: TokenForm,
}

impl Api {
    /// The operation that `path` (without a query) addresses: what follows the prefix, unchanged. `None` for a path
    /// outside the API, and if nothing follows.
    #[must_use]
    pub fn operation_of<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(self.operation_prefix).filter(|operation| !operation.is_empty())
    }

    /// An error's body with this message, as JSON. It has no request id: a local response must not appear to carry one
    /// that the host's support could look up.
    #[must_use]
    pub fn error_body(&self, message: &str) -> String {
        let string = |text: &str| serde_json::Value::from(text).to_string();
        format!("{{{}:{}}}", string(self.message_property), string(message))
    }
}

/// The form of tokens: hexadecimal digits, a hyphen, more of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenForm {
    before: usize,
    after: usize,
}

impl TokenForm {
    /// The length in bytes of the shortest token that has a form.
    pub const SHORTEST: usize = 64;

    /// So many digits before the hyphen, and so many after it.
    ///
    /// # Panics
    ///
    /// If there are fewer than 16 before it, or a token is shorter than [`SHORTEST`](Self::SHORTEST): the search takes
    /// samples, and could miss it.
    #[must_use]
    pub const fn new(before: usize, after: usize) -> Self {
        assert!(before >= 16 && before + 1 + after >= Self::SHORTEST);
        Self { before, after }
    }

    /// The digits before the hyphen.
    #[must_use]
    pub const fn before(self) -> usize {
        self.before
    }

    /// The digits after the hyphen.
    #[must_use]
    pub const fn after(self) -> usize {
        self.after
    }

    /// The length of a token in bytes.
    #[must_use]
    pub const fn length(self) -> usize {
        self.before + 1 + self.after
    }
}

/// An API as tests record it.
#[cfg(test)]
pub(crate) static SAMPLE: Api = Api {
    name: "Mews",
    possessive: "Mews'",
    operation_prefix: "/api/connector/v1/",
    request_id_header: "Request-Id",
    request_id_property: "RequestId",
    message_property: "Message",
    token_words: &["access", "client", "connection"],
    token_form: TokenForm::new(32, 31),
};
