//! Rewrites cookies of the upstream for the client.

use http::{HeaderMap, HeaderValue, header::SET_COOKIE};

use crate::{Origin, response_head::ProxyAddress};

/// Rewrites cookies that an upstream sets for its own host to be cookies of the proxy. A client ignores cookies with
/// the upstream's `Domain` (RFC 6265, section 5.3, step 6), and never sends `Secure` ones in cleartext (section 5.4).
/// Returns whether anything changed.
///
/// Any other `Domain` stays, since a client of the upstream would ignore that cookie too. So does `Secure` on cookies
/// with a `__Secure-` or `__Host-` prefix, which are ignored without it.
pub(crate) fn rewrite_cookies(headers: &mut HeaderMap, host: &Origin, here: &ProxyAddress) -> bool {
    let is_cleartext = host.is_tls() && !here.tls;
    let mut changed = false;
    if let http::header::Entry::Occupied(mut cookies) = headers.entry(SET_COOKIE) {
        for cookie in cookies.iter_mut() {
            if let Some(rewritten) = rewritten(cookie.as_bytes(), host.host(), is_cleartext) {
                *cookie = rewritten;
                changed = true;
            }
        }
    }
    changed
}

fn rewritten(cookie: &[u8], host: &str, is_cleartext: bool) -> Option<HeaderValue> {
    let mut attributes = cookie.split(|byte| *byte == b';');
    let pair = attributes.next()?;
    let named = |attribute: &[u8], name: &str| {
        let attribute = attribute.split(|byte| *byte == b'=').next().unwrap_or_default();
        attribute.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
    };
    // The last one wins.
    let domain = attributes.clone().rfind(|attribute| named(attribute, "domain"));
    let domain = domain.and_then(|domain| str::from_utf8(domain.split(|byte| *byte == b'=').nth(1)?).ok());
    let is_own = domain.is_some_and(|domain| domain_matches(domain.trim(), host));
    let prefixed = [&b"__secure-"[..], b"__host-"];
    let name = pair.trim_ascii_start();
    let is_prefixed =
        prefixed.iter().any(|prefix| name.get(..prefix.len()).is_some_and(|name| name.eq_ignore_ascii_case(prefix)));
    let is_removed = |attribute: &[u8]| {
        (is_own && named(attribute, "domain")) || (is_cleartext && !is_prefixed && named(attribute, "secure"))
    };
    if !attributes.clone().any(is_removed) {
        return None;
    }
    let kept: Vec<&[u8]> = std::iter::once(pair).chain(attributes.filter(|attribute| !is_removed(attribute))).collect();
    HeaderValue::from_bytes(&kept.join(&b';')).ok()
}

/// Returns whether a cookie domain matches the host (RFC 6265, section 5.1.3).
fn domain_matches(domain: &str, host: &str) -> bool {
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let Some(at) = host.len().checked_sub(domain.len()).filter(|_| !domain.is_empty()) else { return false };
    let is_address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    host.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(domain))
        && (at == 0 || (host[..at].ends_with('.') && !is_address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_cookies_are_rewritten_and_others_stay() {
        let demo: Origin = "https://api.mews-demo.com".parse().unwrap();
        let set = |cookie: &str, tls: bool| {
            let mut headers = HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_str(cookie).unwrap())]);
            let here = ProxyAddress { tls, host: None };
            let changed = rewrite_cookies(&mut headers, &demo, &here);
            let now = headers[SET_COOKIE].to_str().unwrap().to_owned();
            assert_eq!(changed, now != cookie, "{cookie}");
            now
        };
        for (from, is_cleartext, over_tls) in [
            ("a=b; Domain=api.mews-demo.com; Path=/", "a=b; Path=/", "a=b; Path=/"),
            (
                "a=b;Path=/;HttpOnly;Secure;Domain=API.mews-demo.com",
                "a=b;Path=/;HttpOnly",
                "a=b;Path=/;HttpOnly;Secure",
            ),
            ("a=b; domain = .mews-demo.com", "a=b", "a=b"),
            ("a=b; Domain=ws.mews-demo.com", "a=b; Domain=ws.mews-demo.com", "a=b; Domain=ws.mews-demo.com"),
            ("a=b; Domain=i.mews-demo.com", "a=b; Domain=i.mews-demo.com", "a=b; Domain=i.mews-demo.com"),
            ("a=b; Domain=demo.com", "a=b; Domain=demo.com", "a=b; Domain=demo.com"),
            ("a=b; Domain=x.example; Domain=mews-demo.com", "a=b", "a=b"),
            (
                "a=b; Domain=mews-demo.com; Domain=x.example",
                "a=b; Domain=mews-demo.com; Domain=x.example",
                "a=b; Domain=mews-demo.com; Domain=x.example",
            ),
            ("a=b; Domain=", "a=b; Domain=", "a=b; Domain="),
            ("a=domain=api.mews-demo.com", "a=domain=api.mews-demo.com", "a=domain=api.mews-demo.com"),
            ("__Host-a=b; Secure; Path=/", "__Host-a=b; Secure; Path=/", "__Host-a=b; Secure; Path=/"),
            ("__Secure-a=b; Secure; Domain=mews-demo.com", "__Secure-a=b; Secure", "__Secure-a=b; Secure"),
            ("Secure=b; Path=/; SameSite=Lax", "Secure=b; Path=/; SameSite=Lax", "Secure=b; Path=/; SameSite=Lax"),
            ("", "", ""),
        ] {
            assert_eq!(set(from, false), is_cleartext);
            assert_eq!(set(from, true), over_tls);
        }
    }

    #[test]
    fn an_ip_address_has_no_subdomains_and_each_cookie_is_rewritten() {
        let local: Origin = "http://127.0.0.1:8090".parse().unwrap();
        let cookies = ["a=b; Secure; Domain=0.0.1", "c=d; Domain=127.0.0.1; Secure", "e=f"];
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        assert!(rewrite_cookies(&mut headers, &local, &ProxyAddress::default()));
        let now: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
        // Without TLS upstream, a direct client would have received `Secure` in cleartext too.
        assert_eq!(now, ["a=b; Secure; Domain=0.0.1", "c=d; Secure", "e=f"]);
    }
}
