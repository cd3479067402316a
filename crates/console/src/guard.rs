//! Access control: the console's host names, and the token.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Method, StatusCode, Uri, header, uri::Authority};

use crate::{Token, error::ApiError};

/// The host names that the console accepts.
///
/// Guards against DNS rebinding: a hostile page can make its own name resolve to this machine, but the browser still sends
/// that name as `Host`.
#[derive(Debug)]
pub(crate) struct Names {
    bound: IpAddr,
    others: Vec<String>,
}

impl Names {
    pub(crate) fn new(bound: SocketAddr, others: Vec<String>) -> Self {
        Self { bound: bound.ip(), others }
    }

    /// Refuses a request whose host is not one of the console's names.
    ///
    /// # Errors
    ///
    /// 421, naming the remedy.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let authority = match (hosts.next(), hosts.next(), uri.authority()) {
            (Some(host), None, _) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
            (None, _, Some(authority)) => Some(authority.clone()),
            _ => None,
        };
        let host = authority.as_ref().map_or("", Authority::host);
        if self.has(host) {
            return Ok(());
        }
        let message = format!(
            "`{host}` is not a name of this console: use localhost or its IP address, or add the name to \
             `console_names`"
        );
        Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, message))
    }

    fn has(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            // Bound to all interfaces it can't know its own addresses, but IP addresses can't be rebound.
            Ok(address) => address.is_loopback() || address == self.bound || self.bound.is_unspecified(),
            Err(_) => {
                host.eq_ignore_ascii_case("localhost") || self.others.iter().any(|name| host.eq_ignore_ascii_case(name))
            }
        }
    }
}

/// Refuses a request without the token in `Authorization: Bearer` or, for GET and HEAD, in the query parameter `token`.
///
/// # Errors
///
/// 401, naming where to find the token.
pub(crate) fn check_token(token: &Token, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let in_header = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .is_some_and(|(scheme, text)| scheme.eq_ignore_ascii_case("bearer") && token.matches(text.trim()));
    let in_query = || uri.query().unwrap_or_default().split('&').any(|pair| is_secret(token, pair));
    // A link must not be able to change anything.
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if in_header || (reads && in_query()) {
        return Ok(());
    }
    let message = "missing or invalid token: `nightaudit serve` prints it, and the file `console-token` in the data folder holds it";
    Err(ApiError::new(StatusCode::UNAUTHORIZED, message))
}

fn is_secret(token: &Token, pair: &str) -> bool {
    pair.strip_prefix("token=").is_some_and(|text| token.matches(text))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn names(bound: &str) -> Names {
        Names::new(bound.parse().unwrap(), vec!["audit.example".to_owned()])
    }

    #[test]
    fn only_its_own_names_are_accepted() {
        let loopback = names("127.0.0.1:8081");
        for host in ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "audit.example"] {
            assert!(loopback.has(host), "{host}");
        }
        for host in
            ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "audit.example."]
        {
            assert!(!loopback.has(host), "{host}");
        }
        assert!(names("10.0.0.1:8081").has("10.0.0.1"));
        assert!(names("0.0.0.0:8081").has("192.168.1.7"));
        assert!(!names("0.0.0.0:8081").has("evil.example"));
    }

    #[test]
    fn a_request_with_two_hosts_or_none_is_refused() {
        let uri = Uri::from_static("/");
        let mut headers = HeaderMap::new();
        assert!(names("127.0.0.1:1").check(&uri, &headers).is_err());
        headers.append(header::HOST, HeaderValue::from_static("localhost:8081"));
        assert!(names("127.0.0.1:1").check(&uri, &headers).is_ok());
        headers.append(header::HOST, HeaderValue::from_static("evil.example"));
        assert!(names("127.0.0.1:1").check(&uri, &headers).is_err());
        let http2 = Uri::from_static("http://localhost:8081/");
        assert!(names("127.0.0.1:1").check(&http2, &HeaderMap::new()).is_ok());
    }

    #[test]
    fn the_token_is_accepted_in_the_header_and_for_reading_in_the_query() {
        let folder = tempfile::tempdir().unwrap();
        let token = Token::load_or_create(folder.path()).unwrap();
        let bare = Uri::from_static("/api/v1/sessions");
        let with_token: Uri = format!("/api/v1/exchanges?status=4xx&token={}", token.as_str()).parse().unwrap();
        let none = HeaderMap::new();
        let mut bearer = HeaderMap::new();
        bearer.insert(header::AUTHORIZATION, format!("Bearer {}", token.as_str()).parse().unwrap());
        assert!(check_token(&token, &Method::GET, &bare, &none).is_err());
        assert!(check_token(&token, &Method::GET, &with_token, &none).is_ok());
        assert!(check_token(&token, &Method::POST, &with_token, &none).is_err());
        assert!(check_token(&token, &Method::POST, &bare, &bearer).is_ok());
        bearer.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert!(check_token(&token, &Method::GET, &bare, &bearer).is_err());
    }
}
