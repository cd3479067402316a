//! Advice for requests that nightaudit could not forward, by failure kind.

use nightaudit_exchange::FailureKind;

use crate::rule::Rule;

/// The advice for a failure kind, given by its JSON name.
pub(super) fn advice(kind: &str) -> &'static str {
    let is = |own: FailureKind| kind == own.as_str();
    if is(FailureKind::Method) {
        "nightaudit is not a forward proxy: set its address as the API's base URL in the integration, and remove it from the \
         HTTP client's proxy settings."
    } else if is(FailureKind::Misdirected) {
        "The request was for another host. Set nightaudit's address as the API's base URL, and send nothing else to it."
    } else if is(FailureKind::Malformed) {
        "This is not valid HTTP. If it starts with a TLS handshake, the integration uses https:// on an http:// port: \
         change the URL, or start `serve` with a certificate."
    } else if is(FailureKind::Framing) {
        "The length of the request is ambiguous. Let the HTTP library set `Content-Length`, and never send it together \
         with `Transfer-Encoding`."
    } else if is(FailureKind::HeadTooLarge) {
        "The headers are too large: check cookies, and headers added by a gateway."
    } else if is(FailureKind::RequestTimeout) {
        "The request was not complete before the timeout: find out what the integration waits for while sending."
    } else if is(FailureKind::Overloaded) {
        "Too many open WebSockets: close unused ones, or raise `max_websockets`."
    } else {
        Rule::ErrorsRejected.advice()
    }
}
