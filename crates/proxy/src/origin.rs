//! Where a host is.

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

/// A text that names no host to forward to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address of a host: {reason}; write it like https://api.mews-demo.com")]
pub struct InvalidOrigin {
    text: String,
    reason: &'static str,
}

impl Origin {
    /// Whether the host is spoken to over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host's name or address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port_of(&self.authority)
    }

    /// Scheme and authority, as [`Display`](std::fmt::Display) shows them.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// What stands in `Host` for this host.
    pub(crate) fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Whether an absolute address in a request means this host.
    pub(crate) fn is_named_by(&self, authority: &Authority) -> bool {
        let port = authority.port_u16();
        authority.host().eq_ignore_ascii_case(self.host()) && (port.is_none() || port == Some(self.port()))
    }

    /// What follows scheme and authority in `address`, where those are this host's.
    pub(crate) fn path_of<'a>(&self, address: &'a str) -> Option<&'a str> {
        let own = if self.tls { ["https", "wss"] } else { ["http", "ws"] };
        let (scheme, rest) = match address.strip_prefix("//") {
            // Whoever writes no scheme means the one by which it is spoken to.
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

    /// The host's address as a URI without a path.
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
        let uri: Uri = text.parse().map_err(|_| invalid("it can't be read"))?;
        let tls = match uri.scheme_str() {
            Some("https" | "wss") => true,
            Some("http" | "ws") => false,
            Some(_) => return Err(invalid("its scheme is none of http, https, ws, wss")),
            None => return Err(invalid("it has no scheme")),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(invalid("it has a path, and paths come from the requests"));
        }
        let authority = uri.authority().cloned().ok_or_else(|| invalid("it has no host"))?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(invalid("it needs a host and no user"));
        }
        let host_header = HeaderValue::from_str(authority.as_str()).map_err(|_| invalid("its host can't be sent"))?;
        let scheme = if tls { "https" } else { "http" };
        Ok(Self { tls, host_header, text: format!("{scheme}://{authority}").into(), authority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_host_is_refused_with_the_reason() {
        for (text, reason) in [
            ("api.mews-demo.com", "no scheme"),
            ("ftp://a", "none of http"),
            ("https://a/api", "has a path"),
            ("https://me@a", "no user"),
            ("https://", "can't be read"),
        ] {
            let error = text.parse::<Origin>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(text), "{error}");
        }
    }

    #[test]
    fn an_authority_names_the_host_with_or_without_its_port() {
        let demo: Origin = "https://api.mews-demo.com".parse().unwrap();
        for (authority, named) in [
            ("API.mews-demo.com", true),
            ("api.mews-demo.com:443", true),
            ("api.mews-demo.com:80", false),
            ("a", false),
        ] {
            assert_eq!(demo.is_named_by(&authority.parse().unwrap()), named, "{authority}");
        }
    }
}
