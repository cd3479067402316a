//! Where webhooks are forwarded to.

use std::{fmt, str::FromStr};

use http::{Uri, uri::PathAndQuery};

use crate::{InvalidOrigin, Origin};

/// The integration's URL for webhooks.
///
/// With a path, every webhook goes to that path. Without one, it keeps the path that it was sent to. Queries are kept, after
/// the URL's own.
///
/// ```
/// use nightaudit_proxy::WebhookTarget;
///
/// let hook: WebhookTarget = "http://127.0.0.1:3000/hook".parse()?;
/// assert_eq!(hook.origin().to_string(), "http://127.0.0.1:3000");
/// assert!("127.0.0.1:3000/hook".parse::<WebhookTarget>().is_err());
/// # Ok::<(), nightaudit_proxy::InvalidOrigin>(())
/// ```
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    origin: Origin,
    /// `None` to keep the path of each request.
    path: Option<String>,
    query: Option<String>,
}

impl WebhookTarget {
    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The URI that a webhook with this one is forwarded with; `None` if both together are too long.
    pub(crate) fn rewrite(&self, received: &Uri) -> Option<Uri> {
        let path = self.path.as_deref().unwrap_or(received.path());
        let queries = [self.query.as_deref(), received.query()];
        let query = queries.into_iter().flatten().collect::<Vec<_>>().join("&");
        let mark = if queries == [None, None] { "" } else { "?" };
        let target: PathAndQuery = format!("{path}{mark}{query}").parse().ok()?;
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).ok()
    }
}

impl FromStr for WebhookTarget {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let invalid = |reason| InvalidOrigin::new(text, reason);
        let start = text.find("://").map_or(0, |at| at + 3);
        let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
        let (origin, target) = text.split_at(end);
        if !["http://", "https://"].iter().any(|scheme| origin.to_ascii_lowercase().starts_with(scheme)) {
            return Err(invalid("it must begin with http:// or https://"));
        }
        let origin = origin.parse::<Origin>().map_err(|error| error.of(text))?;
        if target.contains('#') {
            return Err(invalid("it has a fragment"));
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        if format!("/{}", target.trim_start_matches('/')).parse::<PathAndQuery>().is_err() {
            return Err(invalid("its path or query has characters that must be percent-encoded"));
        }
        Ok(Self {
            origin,
            path: Some(path).filter(|path| !matches!(*path, "" | "/")).map(str::to_owned),
            query: query.map(str::to_owned),
        })
    }
}

impl fmt::Display for WebhookTarget {
    /// Without the query, which may have a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_replaces_that_of_the_request_and_queries_are_kept() {
        let rewritten = |target: &str, received: &'static str| {
            let target: WebhookTarget = target.parse().unwrap();
            target.rewrite(&Uri::from_static(received)).unwrap().to_string()
        };
        for (target, received, expected) in [
            ("http://a:1/hook", "/", "/hook"),
            ("http://a:1/hook", "/other?x=1", "/hook?x=1"),
            ("http://a:1/hook?key=s", "/", "/hook?key=s"),
            ("http://a:1/hook?key=s", "/?x=1", "/hook?key=s&x=1"),
            ("http://a:1", "/mews/hook?x", "/mews/hook?x"),
            ("http://a:1/", "/mews/hook", "/mews/hook"),
            ("http://a:1?key=s", "/mews", "/mews?key=s"),
            ("https://a/hook", "http://b/x?", "/hook?"),
        ] {
            assert_eq!(rewritten(target, received), expected, "{target} {received}");
        }
    }

    #[test]
    fn what_is_no_url_is_named() {
        for text in [
            "",
            "hook",
            "127.0.0.1:3000",
            "ftp://a/hook",
            "ws://a/hook",
            "http://",
            "http://a/hook#x",
            "http://a/h ook",
            "http://u:p@a/hook",
            "http://a:0x1/",
        ] {
            let error = text.parse::<WebhookTarget>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{text}: {error}");
        }
        assert_eq!("http://a:1/hook?key=secret".parse::<WebhookTarget>().unwrap().to_string(), "http://a:1/hook");
    }
}
