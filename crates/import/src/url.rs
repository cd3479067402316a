//! URLs of recorded requests.

use nightaudit_mews::{Environment, OtherApi, operation_of};

/// An absolute URL of HTTP or a WebSocket, without its fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// In full; the scheme is in lower case.
    text: String,
    /// Where the path begins.
    path: usize,
    /// Where the host begins, behind any user name.
    host: usize,
}

/// Why a text is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotUrl {
    /// It is empty, relative or has no host.
    Invalid,
    /// Its scheme isn't HTTP's or a WebSocket's: `data:`, `blob:`, `chrome-extension:` and the like.
    OtherScheme,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Self, NotUrl> {
        let text = text.trim();
        let (scheme, rest) = text.split_once(':').ok_or(NotUrl::Invalid)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(is_name) {
            return Err(NotUrl::Invalid);
        }
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(&*scheme, "http" | "https" | "ws" | "wss") {
            return Err(NotUrl::OtherScheme);
        }
        let rest = rest.strip_prefix("//").ok_or(NotUrl::Invalid)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let user = authority.rfind('@').map_or(0, |at| at + 1);
        if authority.len() == user || authority[user..].starts_with(':') {
            return Err(NotUrl::Invalid);
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        let host = scheme.len() + 3 + user;
        let path = scheme.len() + 3 + authority.len();
        Ok(Self { text: format!("{scheme}://{authority}{slash}{target}"), path, host })
    }

    /// What a request had in the place of a URL that it could be sent to. It has no host, and is all path.
    pub(crate) fn as_sent(text: &str) -> Self {
        Self { text: text.to_owned(), path: 0, host: 0 }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn into_string(self) -> String {
        self.text
    }

    /// Scheme and authority, without a user name: `https://api.mews-demo.com`.
    pub(crate) fn origin(&self) -> String {
        format!("{}{}", self.scheme_with_slashes(), &self.text[self.host..self.path])
    }

    fn scheme_with_slashes(&self) -> &str {
        // What stands in a path or a query is no scheme.
        &self.text[..self.text[..self.path].find("://").map_or(0, |colon| colon + 3)]
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.scheme_with_slashes(), "https://" | "wss://")
    }

    /// The host without its port and the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        let authority = &self.text[self.host..self.path];
        match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => authority.split(':').next().unwrap_or_default(),
        }
    }

    /// The port, also where the scheme implies it.
    pub(crate) fn port(&self) -> Option<u16> {
        let authority = &self.text[self.host..self.path];
        let rest = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
        match rest.rsplit_once(':') {
            Some((_, port)) if !port.is_empty() => port.parse().ok(),
            _ => Some(if self.is_tls() { 443 } else { 80 }),
        }
    }

    /// The path, without the query.
    pub(crate) fn path(&self) -> &str {
        self.text[self.path..].split('?').next().unwrap_or_default()
    }

    /// The operation; outside the Connector API the path.
    pub(crate) fn operation(&self) -> &str {
        operation_of(self.path()).unwrap_or(self.path())
    }

    /// Mews' environment at this host.
    pub(crate) fn environment(&self) -> Option<Environment> {
        Environment::at(&self.origin())
    }

    /// Whether it is addressed to Mews, or to a stand-in for it: by the host, or by a path that is one of Mews' APIs.
    pub(crate) fn is_mews(&self) -> bool {
        Environment::at(&format!("https://{}", self.host())).is_some()
            || operation_of(self.path()).is_some()
            || OtherApi::of(self.path()).is_some()
            || self.path() == Environment::EVENTS_PATH
    }

    /// The same URL as that of a WebSocket.
    pub(crate) fn into_web_socket(self) -> Self {
        match self.text.strip_prefix("http").filter(|_| self.path > 0) {
            Some(rest) => Self { text: format!("ws{rest}"), path: self.path - 2, host: self.host - 2 },
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = Url::parse("HTTPS://user:pw@API.mews-demo.com:443/api/connector/v1/rates/getAll?a=b/c#part").unwrap();
        assert_eq!(url.as_str(), "https://user:pw@API.mews-demo.com:443/api/connector/v1/rates/getAll?a=b/c");
        assert_eq!((url.origin(), url.host()), ("https://API.mews-demo.com:443".to_owned(), "API.mews-demo.com"));
        assert_eq!((url.path(), url.operation()), ("/api/connector/v1/rates/getAll", "rates/getAll"));
        assert_eq!((url.environment(), url.port(), url.is_tls()), (Some(Environment::DEMO), Some(443), true));
        let url = Url::parse("http://[::1]:8090?x").unwrap();
        assert_eq!((url.as_str(), url.host(), url.port()), ("http://[::1]:8090/?x", "::1", Some(8090)));
        assert_eq!((url.path(), url.operation(), url.is_tls()), ("/", "/", false));
        let url = Url::parse("https://user@127.0.0.1/ws/connector").unwrap().into_web_socket();
        assert_eq!((url.as_str(), url.host()), ("wss://user@127.0.0.1/ws/connector", "127.0.0.1"));
        assert_eq!((url.path(), url.port()), ("/ws/connector", Some(443)));
        assert_eq!(url.clone().into_web_socket(), url);
    }

    #[test]
    fn what_is_no_url_is_all_path() {
        for text in ["", "/x?to=http://a/b", "example.com:443", "http:", "é"] {
            let url = Url::as_sent(text).into_web_socket();
            assert_eq!((url.as_str(), url.origin(), url.host()), (text, String::new(), ""));
            assert_eq!((url.environment(), url.is_tls(), url.port()), (None, false, Some(80)));
            assert!(text.starts_with(url.path()) && !url.is_mews(), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_of_http_is_told_apart() {
        for text in
            ["", "/path", "api.mews.com/x", "https:", "https://", "https:///x", "https://u@/x", "https://:80/", "1:2"]
        {
            assert_eq!(Url::parse(text), Err(NotUrl::Invalid), "{text}");
        }
        for text in ["data:text/plain,x", "blob:https://a/b", "chrome-extension://x/y", "about:blank", "file:///etc"] {
            assert_eq!(Url::parse(text), Err(NotUrl::OtherScheme), "{text}");
        }
    }

    #[test]
    fn what_is_addressed_to_mews_is_known_by_host_or_path() {
        let is_mews = |text| Url::parse(text).unwrap().is_mews();
        for text in [
            "https://api.mews-demo.com/anything",
            "http://api.mews.com/x",
            "wss://ws.mews.com/ws/connector",
            "http://127.0.0.1:8090/api/connector/v1/rates/getAll",
            "http://127.0.0.1:8090/ws/connector?x",
            "http://localhost/api/distributor/v1/hotels/get",
        ] {
            assert!(is_mews(text), "{text}");
        }
        for text in
            ["https://app.mews-demo.com/x", "https://example.com/?/api/connector/v1/x", "https://mews.com.example/"]
        {
            assert!(!is_mews(text), "{text}");
        }
    }
}
