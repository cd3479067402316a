//! What a request's first line names: the host, the path and the query.

use bytes::Bytes;
use http::{HeaderValue, Method, Uri, header::HOST, request::Parts, uri::PathAndQuery};

/// Returns the implied path of an absolute-form target without one, or `None` if the target is complete. With a query
/// it is `/`, otherwise the forwarded target would start with the query (RFC 9112, section 3.2.1). Without one, OPTIONS
/// refers to the server as a whole and its target is `*` (section 3.2.4).
///
/// `wire` is the head as received: hyper adds a `/` to an empty path.
pub(super) fn with_path(method: &Method, uri: &Uri, wire: Option<&[u8]>) -> Option<Uri> {
    let target = uri.path_and_query()?.as_str();
    let path_and_query = if target.starts_with('?') {
        format!("/{target}").parse().ok()?
    } else if *method == Method::OPTIONS && target == "/" && uri.authority().is_some() {
        let (_, written) = words(wire?);
        let authority = &written?[memchr::memmem::find(written?, b"://")? + 3..];
        memchr::memchr2(b'/', b'?', authority).is_none().then_some(PathAndQuery::from_static("*"))?
    } else {
        return None;
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query);
    Uri::from_parts(parts).ok()
}

/// Returns the authority by which the client reached the proxy.
pub(super) fn authority(parts: &Parts) -> Option<HeaderValue> {
    match parts.headers.get(HOST) {
        Some(host) => Some(host.clone()),
        None => HeaderValue::from_str(parts.uri.authority()?.as_str()).ok(),
    }
}

/// Returns path and query as received.
pub(super) fn target(uri: &Uri) -> &[u8] {
    uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes()
}

/// Returns the first two words of a head.
fn words(wire: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    let line = wire.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty()).unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    (words.next(), words.next())
}

/// Returns method and target of an invalid head, as far as they can be read. The target is not shortened: a secret that is cut
/// can't be found. It is in the head anyway.
pub(super) fn start_line(wire: &[u8]) -> (Method, Bytes) {
    let (method, target) = words(wire);
    let method = method.and_then(|word| Method::from_bytes(word).ok());
    let target = target.filter(|_| method.is_some()).unwrap_or_default();
    (method.filter(|method| method.as_str().len() <= 32).unwrap_or_default(), Bytes::copy_from_slice(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_without_a_path_gets_the_implied_one() {
        let written = |method: Method, uri: &'static str| {
            let wire = format!("\r\n{method} {uri} HTTP/1.1\r\nHost: a\r\n\r\n");
            let uri = Uri::from_static(uri);
            let uri = with_path(&method, &uri, Some(wire.as_bytes())).unwrap_or(uri);
            let target = uri.path_and_query().unwrap().as_str();
            (target.to_owned(), uri.authority().map(|authority| authority.as_str().to_owned()))
        };
        let host = Some("127.0.0.1".to_owned());
        for (method, uri, target) in [
            (Method::OPTIONS, "http://127.0.0.1", "*"),
            (Method::OPTIONS, "http://127.0.0.1/", "/"),
            (Method::OPTIONS, "http://127.0.0.1?x", "/?x"),
            (Method::OPTIONS, "http://127.0.0.1/a", "/a"),
            (Method::GET, "http://127.0.0.1", "/"),
            (Method::HEAD, "http://127.0.0.1?x", "/?x"),
        ] {
            assert_eq!(written(method.clone(), uri), (target.to_owned(), host.clone()), "{method} {uri}");
        }
        assert_eq!(written(Method::OPTIONS, "*"), ("*".to_owned(), None));
        assert_eq!(written(Method::OPTIONS, "/"), ("/".to_owned(), None));
    }
}
