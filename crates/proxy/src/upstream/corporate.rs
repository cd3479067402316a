//! The corporate proxy between here and Mews: its address, and the hosts reached without it.

use std::{fmt, net::IpAddr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri, uri::Authority};
use percent_encoding::percent_decode_str;

use super::config::{UpstreamConfigError, UpstreamProxy};
use crate::Origin;

/// A proxy that tunnels connections.
#[derive(Clone)]
pub(crate) struct CorporateProxy {
    kind: Kind,
    authority: Authority,
    credentials: Option<Credentials>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// HTTP `CONNECT`.
    Http,
    /// SOCKS5 (RFC 1928); `resolves` says whether the proxy resolves names.
    Socks5 { resolves: bool },
}

/// User and password, decoded.
#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl CorporateProxy {
    /// Parses `http://[user:password@]host[:port]`, or the same with `socks5` (names are resolved locally) or `socks5h`
    /// (the proxy resolves them). Special characters in user and password must be percent-encoded.
    fn parse(address: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = address.split_once("://").ok_or("it has no scheme")?;
        let (kind, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Kind::Http, 80),
            "socks5" => (Kind::Socks5 { resolves: false }, 1080),
            "socks5h" => (Kind::Socks5 { resolves: true }, 1080),
            "https" => return Err("TLS to the proxy itself is not supported"),
            _ => return Err("its scheme is not http, socks5 or socks5h"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // A password may contain an `@`, a host may not.
        let (userinfo, host) = rest.rsplit_once('@').map_or((None, rest), |(userinfo, host)| (Some(userinfo), host));
        if host.contains(['/', '?', '#']) {
            return Err("it has more than a host and a port");
        }
        if host.is_empty() || host.starts_with(':') {
            return Err("it has no host");
        }
        let authority: Authority = host.parse().map_err(|_| "its host is invalid")?;
        if authority.port().is_none() && host.len() > authority.host().len() {
            return Err("its port is invalid");
        }
        let port = match authority.port() {
            Some(_) => authority.port_u16().filter(|port| *port != 0).ok_or("its port is invalid")?,
            None => port,
        };
        let authority = format!("{}:{port}", authority.host()).parse().map_err(|_| "its host is invalid")?;
        let credentials = userinfo.map(Credentials::parse);
        if let (Kind::Socks5 { .. }, Some(credentials)) = (kind, &credentials)
            && credentials.texts().is_none()
        {
            return Err("SOCKS5 limits user and password to 255 bytes of UTF-8 each");
        }
        Ok(Self { kind, authority, credentials })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the URI for the TCP connection.
    pub(super) fn uri(&self) -> Result<Uri, http::Error> {
        Uri::builder().scheme("http").authority(self.authority.clone()).path_and_query("/").build()
    }

    /// Returns the `Proxy-Authorization` value.
    pub(super) fn basic(&self) -> Option<HeaderValue> {
        let Credentials { user, password } = self.credentials.as_ref()?;
        let encoded = BASE64_STANDARD.encode([user, &b":"[..], password].concat());
        HeaderValue::try_from(format!("Basic {encoded}")).ok()
    }

    /// Returns user and password for SOCKS5.
    pub(super) fn user(&self) -> Option<(String, String)> {
        self.credentials.as_ref()?.texts()
    }
}

/// Without user and password; for HTTP the authority alone.
impl fmt::Display for CorporateProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Http => write!(f, "{}", self.authority),
            Kind::Socks5 { resolves } => write!(f, "socks5{}://{}", if resolves { "h" } else { "" }, self.authority),
        }
    }
}

impl Credentials {
    fn parse(userinfo: &str) -> Self {
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let decoded = |text: &str| percent_decode_str(text).collect();
        Self { user: decoded(user), password: decoded(password) }
    }

    fn texts(&self) -> Option<(String, String)> {
        let text = |bytes: &[u8]| (bytes.len() <= 255).then(|| String::from_utf8(bytes.to_vec()).ok()).flatten();
        Some((text(&self.user)?, text(&self.password)?))
    }
}

/// Selects the proxy for a host.
pub(crate) struct CorporateProxies {
    https: Option<CorporateProxy>,
    http: Option<CorporateProxy>,
    except: NoProxy,
}

impl CorporateProxies {
    /// Reads the proxies from the configuration, or from the environment by `variable`. Only those that one of the
    /// hosts uses are parsed.
    ///
    /// # Errors
    ///
    /// [`UpstreamConfigError::Proxy`] for an invalid address.
    pub(crate) fn new(
        config: &UpstreamProxy,
        hosts: [&Origin; 2],
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, UpstreamConfigError> {
        let unusable = |setting: &str, address: &str, reason| UpstreamConfigError::Proxy {
            setting: setting.to_owned(),
            address: without_credentials(address),
            reason,
        };
        match config {
            UpstreamProxy::None => Ok(Self { https: None, http: None, except: NoProxy::default() }),
            UpstreamProxy::Fixed { address, except } => {
                let read = CorporateProxy::parse(address);
                let proxy = read.map_err(|reason| unusable("upstream_proxy", address, reason))?;
                Ok(Self { https: Some(proxy.clone()), http: Some(proxy), except: NoProxy::parse(except) })
            }
            UpstreamProxy::Environment => {
                // As in curl, empty variables are ignored and lower case takes precedence.
                let first = |names: &[&'static str]| {
                    let value = |name: &'static str| Some((name, variable(name).filter(|value| !value.is_empty())?));
                    names.iter().find_map(|name| value(name))
                };
                let except =
                    NoProxy::parse(&first(&["no_proxy", "NO_PROXY"]).map(|(_, list)| list).unwrap_or_default());
                let needed = |tls| hosts.iter().any(|host| host.is_tls() == tls && !except.matches(host.host()));
                let read = |tls: bool, names: &[&'static str]| match first(names).filter(|_| needed(tls)) {
                    None => Ok(None),
                    Some((name, address)) => {
                        // Only in variables may the scheme be omitted.
                        let full = if address.contains("://") { address.clone() } else { format!("http://{address}") };
                        CorporateProxy::parse(&full).map(Some).map_err(|reason| unusable(name, &address, reason))
                    }
                };
                let https = read(true, &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?;
                // A CGI request can set `HTTP_PROXY`, so curl only accepts it in lower case.
                let http = read(false, &["http_proxy", "all_proxy", "ALL_PROXY"])?;
                Ok(Self { https, http, except })
            }
        }
    }

    /// Returns the proxy for this host.
    pub(crate) fn for_host(&self, host: &Origin) -> Option<&CorporateProxy> {
        let proxy = if host.is_tls() { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !self.except.matches(host.host()))
    }
}

fn without_credentials(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").map_or((None, address), |(scheme, rest)| (Some(scheme), rest));
    match (scheme, rest.rsplit_once('@')) {
        (_, None) => address.to_owned(),
        (Some(scheme), Some((_, host))) => format!("{scheme}://…@{host}"),
        (None, Some((_, host))) => format!("…@{host}"),
    }
}

/// Hosts that are reached without the proxy. As curl reads `NO_PROXY`: separated by commas or spaces; a name matches
/// itself and its subdomains, with or without a leading dot; addresses may be networks (`10.0.0.0/8`); a single
/// asterisk matches all hosts.
#[derive(Debug, Default)]
struct NoProxy {
    all: bool,
    names: Vec<String>,
    networks: Vec<(IpAddr, u8)>,
}

impl NoProxy {
    fn parse(list: &str) -> Self {
        let mut read = Self { all: list.trim() == "*", ..Self::default() };
        for item in list.split([',', ' ', '\t']).filter(|item| !item.is_empty()) {
            let (address, bits) = item.split_once('/').map_or((item, None), |(address, bits)| (address, Some(bits)));
            match address.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(address) => {
                    let most = if address.is_ipv4() { 32 } else { 128 };
                    // An invalid network matches nothing.
                    if let Some(bits) = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most)) {
                        read.networks.push((address, bits));
                    }
                }
                Err(_) => {
                    let name = item.strip_prefix('.').unwrap_or(item);
                    read.names.push(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase());
                }
            }
        }
        read
    }

    fn matches(&self, host: &str) -> bool {
        if self.all {
            return true;
        }
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return self.networks.iter().any(|(network, bits)| is_in_network(address, *network, *bits));
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.names.iter().any(|name| {
            host.strip_suffix(name.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
                && !name.is_empty()
        })
    }
}

/// Returns whether the first `bits` of both are the same.
fn is_in_network(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let differing = address.to_bits() ^ network.to_bits();
            u32::from(bits) <= differing.leading_zeros()
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let differing = address.to_bits() ^ network.to_bits();
            u32::from(bits) <= differing.leading_zeros()
        }
        _ => false,
    }
}

impl UpstreamProxy {
    /// Validates what a [`Proxy`](crate::Proxy) for these hosts would use.
    ///
    /// # Errors
    ///
    /// [`UpstreamConfigError::Proxy`] for an invalid address in the configuration or the environment.
    pub fn check(&self, hosts: [&Origin; 2]) -> Result<(), UpstreamConfigError> {
        CorporateProxies::new(self, hosts, variable).map(drop)
    }
}

/// Reads an environment variable. Invalid Unicode is replaced, and then fails validation.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    fn from_environment(variables: &[(&str, &str)], host: &str) -> Result<Option<String>, String> {
        let variable =
            |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        let host = origin(host);
        let proxies = CorporateProxies::new(&UpstreamProxy::Environment, [&host, &host], variable);
        proxies.map(|proxies| proxies.for_host(&host).map(ToString::to_string)).map_err(|error| error.to_string())
    }

    fn fixed(address: &str, except: &str) -> UpstreamProxy {
        UpstreamProxy::Fixed { address: address.to_owned(), except: except.to_owned() }
    }

    #[test]
    fn a_proxy_is_used_but_for_the_exceptions() {
        let demo = origin("https://api.mews-demo.com");
        let config = fixed("http://p.example:3128", "localhost,.internal");
        let proxies = CorporateProxies::new(&config, [&demo, &demo], |_| None).unwrap();
        assert_eq!(proxies.for_host(&demo).unwrap().to_string(), "p.example:3128");
        assert_eq!(proxies.for_host(&demo).unwrap().uri().unwrap(), "http://p.example:3128/");
        assert!(proxies.for_host(&origin("https://api.internal")).is_none());
    }

    #[test]
    fn invalid_proxies_get_the_same_error_from_every_source() {
        let demo = origin("https://api.mews-demo.com");
        for (address, reason) in [
            ("https://p.example", "TLS to the proxy"),
            ("socks4://p.example", "is not http"),
            ("socks://p.example", "is not http"),
            ("ftp://p.example", "is not http"),
            ("http://[bad", "host is invalid"),
            ("http://", "no host"),
            ("http://:3128", "no host"),
            ("http://p.example:99999", "port"),
            ("http://p.example:0", "port"),
            ("http://p.example:x", "port"),
            ("http://p.example/path", "more than a host"),
            ("http://a b", "host is invalid"),
        ] {
            let config = fixed(address, "");
            let error = CorporateProxies::new(&config, [&demo, &demo], |_| None).err().map(|error| error.to_string());
            let error = error.unwrap_or_else(|| panic!("{address}"));
            assert!(error.contains(&format!("`{address}`")) && error.contains(reason), "{address}: {error}");
            for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
                let told = from_environment(&[(name, address)], "https://api.mews-demo.com").unwrap_err();
                assert_eq!(told, error.replace("upstream_proxy", name));
            }
        }
        // Only in variables may the scheme be omitted.
        for address in ["p.example", "p.example:3128", ""] {
            let error = CorporateProxies::new(&fixed(address, ""), [&demo, &demo], |_| None).err().unwrap();
            assert!(error.to_string().contains(&format!("`{address}`")), "{error}");
        }
        let via = |address| from_environment(&[("HTTPS_PROXY", address)], "https://api.mews-demo.com").unwrap();
        assert_eq!(via("p.example:3128").as_deref(), Some("p.example:3128"));
        assert_eq!(via(""), None);
    }

    #[test]
    fn errors_contain_no_password() {
        for address in ["https://me:sec@ret@p.example", "me:sec@ret@p.example:99999"] {
            let error = from_environment(&[("HTTPS_PROXY", address)], "https://a.example").unwrap_err();
            assert!(!error.contains("sec") && !error.contains("ret@") && error.contains("p.example"), "{error}");
        }
    }

    #[test]
    fn the_variable_is_the_one_curl_uses() {
        let via = |variables: &[(&str, &str)], host| from_environment(variables, host).unwrap().unwrap_or_default();
        let all = [
            ("https_proxy", "http://a:1"),
            ("HTTPS_PROXY", "http://b:1"),
            ("all_proxy", "http://c:1"),
            ("ALL_PROXY", "http://d:1"),
        ];
        for (from, proxy) in ["a:1", "b:1", "c:1", "d:1"].iter().enumerate() {
            assert_eq!(via(&all[from..], "https://x.example"), *proxy);
        }
        assert_eq!(via(&all, "http://x.example"), "c:1");
        assert_eq!(via(&[("http_proxy", "http://e:1")], "http://x.example"), "e:1");
        assert_eq!(via(&[("HTTP_PROXY", "http://e:1")], "http://x.example"), "");
        assert_eq!(via(&[("https_proxy", ""), ("HTTPS_PROXY", "http://b:1")], "https://x.example"), "b:1");
        let except = |list| [("HTTPS_PROXY", "http://b:1"), ("NO_PROXY", "x.example"), ("no_proxy", list)];
        assert_eq!(via(&except("y.example"), "https://x.example"), "b:1");
        assert_eq!(via(&except(""), "https://x.example"), "");
        // Unused variables are not parsed.
        assert_eq!(via(&[("HTTPS_PROXY", "socks4://b"), ("NO_PROXY", "x.example")], "https://x.example"), "");
        assert_eq!(via(&[("HTTPS_PROXY", "socks4://b")], "http://x.example"), "");
    }

    #[test]
    fn credentials_end_at_the_last_at_and_are_decoded() {
        let read =
            |address: &str| CorporateProxy::parse(address).unwrap_or_else(|reason| panic!("{address}: {reason}"));
        let basic = |address: &str| {
            let value = read(address).basic().unwrap();
            let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
            String::from_utf8(BASE64_STANDARD.decode(encoded).unwrap()).unwrap()
        };
        assert_eq!(basic("http://us:p@ss@h"), "us:p@ss");
        assert_eq!(basic("http://us:p%40ss%3a%2F@h:1"), "us:p@ss:/");
        assert_eq!(basic("http://u%25:%zz@h"), "u%:%zz");
        assert_eq!(basic("http://us@h"), "us:");
        assert_eq!(basic("http://us:p:q@h"), "us:p:q");
        assert_eq!(basic("http://us:p%C3%A9@h"), "us:p\u{e9}");
        assert_eq!(read("http://h").basic(), None);
        assert_eq!(read("socks5://us:p@ss@h").user(), Some(("us".to_owned(), "p@ss".to_owned())));
        assert_eq!(read("socks5h://us:p@ss@h").to_string(), "socks5h://h:1080");
        assert_eq!(read("http://us:p@ss@[::1]:3128/").to_string(), "[::1]:3128");
        assert!(CorporateProxy::parse(&format!("socks5://u:{}@h", "p".repeat(256))).is_err());
        assert!(CorporateProxy::parse("socks5://u:%ff@h").is_err());
    }

    #[test]
    fn no_proxy_matches_as_in_curl() {
        for (list, host, without) in [
            ("*", "anything.example", true),
            (" * ", "anything.example", true),
            ("*,other", "anything.example", false),
            ("example.com", "example.com", true),
            ("example.com", "API.Example.COM", true),
            ("example.com", "nonexample.com", false),
            ("example.com", "example.com.evil", false),
            (".example.com", "example.com", true),
            (".example.com", "api.example.com", true),
            ("example.com.", "api.example.com", true),
            ("example.com", "api.example.com.", true),
            ("*.example.com", "api.example.com", false),
            ("a b\tc,d", "b", true),
            ("a b\tc,d", "c", true),
            ("a,, d", "d", true),
            ("a,, d", "e", false),
            ("", "a", false),
            (".", "a", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("0.0.0.0/0", "11.1.2.3", true),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.70", false),
            ("192.168.1.7/33", "192.168.1.7", false),
            ("1.7", "192.168.1.7", false),
            ("fd00::/8", "[fd12::1]", true),
            ("::1", "[::1]", true),
            ("[::1]", "[::1]", true),
            ("::1", "127.0.0.1", false),
            ("localhost,127.0.0.0/8", "localhost", true),
        ] {
            assert_eq!(NoProxy::parse(list).matches(host), without, "{list:?}: {host}");
        }
    }
}
