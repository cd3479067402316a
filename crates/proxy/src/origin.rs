//! The origin of an upstream host.

use std::{str::FromStr, sync::Arc};

use http::{HeaderValue, Uri, uri::Authority};

/// Scheme, host and port of a host that requests are forwarded to.
///
/// ```
/// use nightaudit_proxy::Origin;
///
/// let demo: Origin = "https://api.mews-demo.com".parse()?;
/// assert_eq!(demo.to_string(), "https://api.mews-demo.com");
/// assert_eq!(demo.port(), 443);
/// let events: Origin = "wss://ws.mews-demo.com".parse()?;
/// assert!(events.is_tls());
/// # Ok::<(), nightaudit_proxy::InvalidOrigin>(())
/// ```
#[derive(Debug, Clone)]
pub struct Origin {
    tls: bool,
    authority: Authority,
    host_header: HeaderValue,
    text: Arc<str>,
}

/// An invalid [`Origin`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid host address: {reason}; for example https://api.mews-demo.com")]
pub struct InvalidOrigin {
    text: String,
    reason: &'static str,
}

impl InvalidOrigin {
    pub(crate) fn new(text: &str, reason: &'static str) -> Self {
        Self { text: text.to_owned(), reason }
    }

    /// The same about a longer text.
    pub(crate) fn of(self, text: &str) -> Self {
        Self { text: text.to_owned(), ..self }
    }
}

impl Origin {
    /// Returns whether the host uses TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Returns the host name or IP address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port_of(&self.authority)
    }

    /// Returns scheme and authority, as formatted by [`Display`](std::fmt::Display).
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Returns the `Host` header value.
    pub(crate) fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns whether the authority of an absolute request target is this host.
    pub(crate) fn matches_authority(&self, authority: &Authority) -> bool {
        let port = authority.port_u16();
        authority.host().eq_ignore_ascii_case(self.host()) && (port.is_none() || port == Some(self.port()))
    }

    /// Returns what follows scheme and authority in `address`, if they are this host's.
    pub(crate) fn path_of<'a>(&self, address: &'a str) -> Option<&'a str> {
        let own = if self.tls { ["https", "wss"] } else { ["http", "ws"] };
        let (scheme, rest) = match address.strip_prefix("//") {
            // A scheme-relative reference has the scheme of the host.
            Some(rest) => (own[0], rest),
            None => address.split_once("://")?,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority: Authority = rest[..end].parse().ok()?;
        let is_own = own.iter().any(|own| scheme.eq_ignore_ascii_case(own)) && !authority.as_str().contains('@');
        (is_own && authority.host().eq_ignore_ascii_case(self.host()) && self.port() == self.port_of(&authority))
            .then(|| &rest[end..])
    }

    fn port_of(&self, authority: &Authority) -> u16 {
        authority.port_u16().unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// Returns the URI of the host, without a path.
    pub(crate) fn uri(&self) -> Result<Uri, http::Error> {
        let scheme = if self.tls { "https" } else { "http" };
        Uri::builder().scheme(scheme).authority(self.authority.clone()).path_and_query("/").build()
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let invalid = |reason| InvalidOrigin { text: text.to_owned(), reason };
        let uri: Uri = text.parse().map_err(|_| invalid("it is not a URI"))?;
        let tls = match uri.scheme_str() {
            Some("https" | "wss") => true,
            Some("http" | "ws") => false,
            Some(_) => return Err(invalid("its scheme is not http, https, ws or wss")),
            None => return Err(invalid("it has no scheme")),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(invalid("it has a path or query, which come from the requests"));
        }
        let authority = uri.authority().cloned().ok_or_else(|| invalid("it has no host"))?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(invalid("it needs a host, and must not have a user"));
        }
        // Otherwise the scheme's own port would be used.
        let port = authority.as_str().get(authority.host().len()..).unwrap_or_default();
        if !matches!(port, "" | ":") && authority.port_u16().is_none() {
            return Err(invalid("its port is not a number from 0 to 65535"));
        }
        let host_header =
            HeaderValue::from_str(authority.as_str()).map_err(|_| invalid("its host is not valid in a Host header"))?;
        let scheme = if tls { "https" } else { "http" };
        Ok(Self { tls, host_header, text: format!("{scheme}://{authority}").into(), authority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_origins_are_refused_with_the_reason() {
        for (text, reason) in [
            ("api.mews-demo.com", "no scheme"),
            ("ftp://a", "is not http"),
            ("https://a/api", "has a path"),
            ("https://me@a", "not have a user"),
            ("https://", "not a URI"),
            ("https://a:0x1", "port is not a number"),
            ("https://[::1]:70000", "port is not a number"),
        ] {
            let error = text.parse::<Origin>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(text), "{error}");
        }
    }

    #[test]
    fn an_authority_matches_with_or_without_the_port() {
        let demo: Origin = "https://api.mews-demo.com".parse().unwrap();
        for (authority, named) in [
            ("API.mews-demo.com", true),
            ("api.mews-demo.com:443", true),
            ("api.mews-demo.com:80", false),
            ("a", false),
        ] {
            assert_eq!(demo.matches_authority(&authority.parse().unwrap()), named, "{authority}");
        }
    }
}
