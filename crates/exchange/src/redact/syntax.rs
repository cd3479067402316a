//! The kinds of text that are searched.

/// The kind of text, which determines how names and values are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// A body: JSON unless it proves otherwise.
    Json,
    /// A body of `application/x-www-form-urlencoded`.
    Form,
    /// A request's target.
    Target,
    /// `Cookie` or `Set-Cookie`.
    Cookie,
    /// `Authorization` or `Proxy-Authorization`.
    Credentials,
    /// The entire text is a secret.
    Token,
    /// Any other header, or free text that may contain URLs.
    Field,
}
