//! What to do about requests that nightaudit could not forward, by the kind of the failure.

use nightaudit_exchange::FailureKind;

use crate::rule::Rule;

/// The advice for a kind, as it stands in JSON.
pub(super) fn advice(kind: &str) -> &'static str {
    let is = |own: FailureKind| kind == own.as_str();
    if is(FailureKind::Method) {
        "nightaudit is no proxy for HTTP clients: make its address the base address of the API in the integration, and \
         take it out of the client's proxy settings."
    } else if is(FailureKind::Misdirected) {
        "The request was for another host. Make nightaudit's address the base address of the API, and send nothing else \
         there."
    } else if is(FailureKind::Malformed) {
        "What came is not HTTP, or breaks its grammar. If it begins with the bytes of TLS, the integration calls \
         https:// on a port for http://: change the address, or start `serve` with a certificate."
    } else if is(FailureKind::Framing) {
        "The length of the request can be read in two ways. Let the HTTP library set `Content-Length`, and never both it \
         and `Transfer-Encoding`."
    } else if is(FailureKind::HeadTooLarge) {
        "The headers are larger than allowed: look at cookies and at what a gateway adds."
    } else if is(FailureKind::RequestTimeout) {
        "The request was not sent to its end in time: look at what the integration waits for while it sends."
    } else if is(FailureKind::Overloaded) {
        "Too many WebSockets are open: close those that are not used, or raise `max_websockets`."
    } else {
        Rule::ErrorsRejected.advice()
    }
}
