//! The page: the console for people, in their browser.
//!
//! Its files are in the folder `page` and part of the program. They hold no data, so they need no token: what the page
//! shows it gets from the API, with the token that was in its address.

mod compact;

use std::{collections::BTreeMap, fmt::Write as _, sync::LazyLock};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use sha2::{Digest as _, Sha256};

use crate::{error::ApiError, token::Token};

/// What the page may do: run its own files, ask this console, and show what it asked for as a blob. Nothing inline, no
/// form, no frame around it, and no text that becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
    frame-src blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Powerful features, none of which the page needs. It writes to the clipboard, which is allowed by default.
const PERMISSIONS: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), \
     magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-get=(), serial=(), usb=(), \
     xr-spatial-tracking=()";

/// A table of files, by their path in the folder `page`.
macro_rules! files {
    ($($path:literal,)*) => { [$(($path, include_bytes!(concat!("../page/", $path)))),*] };
}

/// Every file in the folder `page`; a test compares them.
static FILES: &[(&str, &[u8])] = &files![
    "api.js",
    "app.js",
    "dom.js",
    "elements/bar.js",
    "elements/body.js",
    "elements/chart.js",
    "elements/contract.js",
    "elements/copy.js",
    "elements/coverage.js",
    "elements/declaration-form.js",
    "elements/declaration.js",
    "elements/differences.js",
    "elements/dialog.js",
    "elements/errors.js",
    "elements/evidence.js",
    "elements/filter-line.js",
    "elements/find-bar.js",
    "elements/findings.js",
    "elements/handling.js",
    "elements/headers.js",
    "elements/hex.js",
    "elements/icon.js",
    "elements/json-comparison.js",
    "elements/json-diff.js",
    "elements/json-doc.js",
    "elements/json-tree.js",
    "elements/lines.js",
    "elements/marks.js",
    "elements/message.js",
    "elements/messages.js",
    "elements/notice.js",
    "elements/overview.js",
    "elements/parts.js",
    "elements/resend.js",
    "elements/row.js",
    "elements/search.js",
    "elements/splitter.js",
    "elements/strip.js",
    "elements/tabs.js",
    "elements/text-view.js",
    "elements/virtual-list.js",
    "elements/waterfall.js",
    "elements/windows.js",
    "favicon.ico",
    "favicon.svg",
    "filter.js",
    "format.js",
    "index.html",
    "keys.js",
    "poll.js",
    "router.js",
    "settings.js",
    "store.js",
    "style/base.css",
    "style/exchange.css",
    "style/limits.css",
    "style/run.css",
    "style/sessions.css",
    "style/traffic.css",
    "theme.js",
    "views/compare.js",
    "views/empty.js",
    "views/exchange.js",
    "views/limits.js",
    "views/run.js",
    "views/sessions.js",
    "views/token.js",
    "views/traffic.js",
];

/// The file at the console's root.
const INDEX: &str = "index.html";

/// A file of the page.
struct File {
    bytes: Bytes,
    media_type: &'static str,
    /// From a digest of its bytes, so that a browser asks again after an update, and gets a file it has only once.
    etag: HeaderValue,
}

static BY_PATH: LazyLock<BTreeMap<&'static str, File>> = LazyLock::new(|| {
    let file = |&(path, written): &(&'static str, &'static [u8])| {
        let bytes = sent(path, written);
        Some((path, File { media_type: media_type(path)?, etag: etag(&bytes), bytes }))
    };
    FILES.iter().filter_map(file).collect()
});

/// What is sent of a file: scripts and style sheets without what only people read.
fn sent(path: &str, written: &'static [u8]) -> Bytes {
    match (path.rsplit_once('.').map(|(_, extension)| extension), str::from_utf8(written)) {
        (Some("js"), Ok(text)) => compact::script(text).into(),
        (Some("css"), Ok(text)) => compact::style(text).into(),
        _ => Bytes::from_static(written),
    }
}

/// The media type by the file's extension; `None` for one that the page doesn't use.
fn media_type(path: &str) -> Option<&'static str> {
    match path.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "ico" => Some("image/x-icon"),
        "png" => Some("image/png"),
        _ => None,
    }
}

fn etag(bytes: &[u8]) -> HeaderValue {
    let mut text = "\"".to_owned();
    Sha256::digest(bytes).iter().take(16).for_each(|byte| {
        let _ = write!(text, "{byte:02x}");
    });
    text.push('"');
    HeaderValue::try_from(text).expect("hexadecimal digits in quotes are a header's value")
}

/// The page's files. They require no token.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let icon = |path| get(move |headers: HeaderMap| async move { serve(path, &headers) });
    Router::new()
        .route("/favicon.ico", icon("favicon.ico"))
        .route("/favicon.svg", icon("favicon.svg"))
        .route("/page/{*path}", get(file))
}

/// `GET /page/{path}`
async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    serve(&path, &headers)
}

/// The layer around `/`: a browser gets the page, and everyone else what they ask for.
pub(crate) async fn for_browsers(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if request.uri().path() != "/" || !reads {
        return next.run(request).await;
    }
    let mut response = match prefers_html(request.headers()) {
        true => token_to_fragment(request.uri()).unwrap_or_else(|| serve(INDEX, request.headers())),
        false => next.run(request).await,
    };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Whether `Accept` names HTML, and nothing of the API's before it. `*/*`, which command-line clients send, doesn't.
fn prefers_html(headers: &HeaderMap) -> bool {
    let (mut html, mut json) = (0.0_f32, 0.0_f32);
    let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in ranges.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let weighs = match parts.next().map(str::to_ascii_lowercase).as_deref() {
            Some("text/html" | "application/xhtml+xml") => &mut html,
            Some("application/json") => &mut json,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        // RFC 9110, section 12.4.2: from 0 to 1, and 1 if there is none.
        let weight = weight.map_or(1.0, |text| text.parse().unwrap_or(0.0_f32));
        *weighs = weighs.max(weight.clamp(0.0, 1.0));
    }
    html > 0.0 && html >= json
}

/// Redirects an address with the token in its query to the one with the token in its fragment, which no browser sends
/// and no log has. Only for what could be a token; whether it is the right one isn't said here.
fn token_to_fragment(uri: &Uri) -> Option<Response> {
    let token = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    let target = if Token::has_form(token) { format!("/#token={token}") } else { "/".to_owned() };
    Some((StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response())
}

/// A file, or 304 if the client has it.
fn serve(path: &str, headers: &HeaderMap) -> Response {
    let Some(file) = BY_PATH.get(path) else {
        return ApiError::new(StatusCode::NOT_FOUND, "the page has no such file").into_response();
    };
    let mut response = match is_known(&file.etag, headers) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, file.media_type)], Body::from(file.bytes.clone())).into_response(),
    };
    let sent = response.headers_mut();
    sent.insert(header::ETAG, file.etag.clone());
    for (name, value) in [
        // Asked for each time, and sent only if it is another.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("permissions-policy"), PERMISSIONS),
    ] {
        sent.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether `If-None-Match` has this tag, compared weakly (RFC 9110, section 13.1.2).
fn is_known(etag: &HeaderValue, headers: &HeaderMap) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.as_bytes() == etag.as_bytes()
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use http_body_util::BodyExt as _;
    use tower_service::Service as _;

    use super::*;
    use crate::tests::{Opened, console};

    /// What a browser sends.
    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

    async fn ask(opened: &Opened, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = http::Request::builder().method(method).uri(path).header(header::HOST, "localhost:8081");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        opened.console.router.clone().call(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    /// The folder's files, by their path in it.
    fn on_disk(folder: &std::path::Path) -> BTreeSet<String> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => found.extend(on_disk(&path)),
                false => {
                    let parts = path.strip_prefix(&root).unwrap().iter().map(|part| part.to_str().unwrap());
                    found.insert(parts.collect::<Vec<_>>().join("/"));
                }
            }
        }
        found
    }

    #[test]
    fn every_file_of_the_folder_is_served_and_no_other() {
        let listed: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(listed, on_disk(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page")));
        assert_eq!(listed.len(), FILES.len(), "a file is listed twice");
        assert_eq!(BY_PATH.len(), FILES.len(), "a file has an extension without a media type");
    }

    #[test]
    fn the_page_is_small() {
        let bytes: usize = BY_PATH.values().map(|file| file.bytes.len()).sum();
        assert!(bytes < 250_000, "{bytes} bytes");
    }

    #[tokio::test]
    async fn every_file_has_its_type_and_is_sent_once() {
        let opened = console();
        for (path, file) in BY_PATH.iter() {
            let address = format!("/page/{path}");
            let response = ask(&opened, "GET", &address, &[]).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            let headers = response.headers().clone();
            assert_eq!(headers[header::CONTENT_TYPE], file.media_type);
            assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), file.bytes, "{path}");

            let tag = headers[header::ETAG].to_str().unwrap();
            for known in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
                let response = ask(&opened, "GET", &address, &[("if-none-match", &known)]).await;
                assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
                assert_eq!(response.headers()[header::ETAG], tag);
                assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
                assert_eq!(text(response).await, "");
            }
            for other in ["\"x\"", "", tag.trim_matches('"')] {
                let response = ask(&opened, "GET", &address, &[("if-none-match", other)]).await;
                assert_eq!(response.status(), StatusCode::OK, "{other}");
            }
        }
    }

    #[tokio::test]
    async fn a_head_is_that_of_the_file() {
        let opened = console();
        let (head, whole) =
            (ask(&opened, "HEAD", "/page/index.html", &[]).await, ask(&opened, "GET", "/page/index.html", &[]).await);
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(head.headers()[header::ETAG], whole.headers()[header::ETAG]);
        assert_eq!(head.headers()[header::CONTENT_LENGTH], text(whole).await.len().to_string());
        assert_eq!(text(head).await, "");
        assert_eq!(ask(&opened, "HEAD", "/", &[("accept", BROWSER)]).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn the_page_can_do_nothing_but_ask_its_console() {
        let opened = console();
        let page = [("accept", BROWSER)];
        for (path, headers) in [("/", &page[..]), ("/page/index.html", &[]), ("/page/none", &[]), ("/favicon.ico", &[])]
        {
            let response = ask(&opened, "GET", path, headers).await;
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(!policy.contains("unsafe") && policy.contains("default-src 'none'"), "{path}: {policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
            for (name, value) in [
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
                ("x-content-type-options", "nosniff"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(response.headers()[name], value, "{path}");
            }
            assert!(!response.headers().contains_key("access-control-allow-origin"));
        }
        let response = ask(&opened, "GET", "/", &page).await;
        assert!(response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("trusted-types 'none'"));
        assert_eq!(response.headers()["cross-origin-opener-policy"], "same-origin");
        assert!(response.headers().contains_key("permissions-policy"));
    }

    #[tokio::test]
    async fn nothing_outside_the_folder_is_served() {
        let opened = console();
        for path in [
            "/page/",
            "/page/none.js",
            "/page/../index.html",
            "/page/../Cargo.toml",
            "/page/..%2fCargo.toml",
            "/page/%2e%2e/Cargo.toml",
            "/page/%2e%2e%2fsrc%2flib.rs",
            "/page/./index.html",
            "/page//index.html",
            "/page/index.html/",
            "/page/INDEX.HTML",
            "/page/index.html%00",
            "/page/index%2Ehtml%20",
            "/page//etc/passwd",
            "/page/..\\..\\Cargo.toml",
            "/page/%5c%2e%2e%5cCargo.toml",
        ] {
            let response = ask(&opened, "GET", path, &[("accept", BROWSER)]).await;
            // Without the token, what isn't the page's is 401.
            assert!([404, 401, 400].contains(&response.status().as_u16()), "{path}: {}", response.status());
            assert_ne!(response.headers().get(header::CONTENT_TYPE).unwrap(), "text/html; charset=utf-8", "{path}");
        }
    }

    #[tokio::test]
    async fn files_are_only_read() {
        let opened = console();
        for path in ["/page/index.html", "/favicon.svg", "/favicon.ico"] {
            for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
                let response = ask(&opened, method, path, &[]).await;
                assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
                assert!(response.headers()[header::ALLOW].to_str().unwrap().contains("GET"));
            }
        }
        assert_eq!(ask(&opened, "POST", "/", &[("accept", BROWSER)]).await.status(), StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn files_are_served_only_under_the_consoles_names() {
        let opened = console();
        for path in ["/", "/page/index.html", "/favicon.svg"] {
            let request = http::Request::get(path).header(header::HOST, "rebound.example").header("accept", BROWSER);
            let response = opened.console.router.clone().call(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST, "{path}");
        }
    }

    #[tokio::test]
    async fn a_browser_gets_the_page_and_a_program_the_paths() {
        let opened = console();
        let html =
            |response: &Response| response.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html");
        for accept in [
            BROWSER,
            "text/html",
            "TEXT/HTML;q=0.5",
            "text/html;level=1;q=0.8, application/json;q=0.7",
            "application/xhtml+xml",
        ] {
            let response = ask(&opened, "GET", "/", &[("accept", accept)]).await;
            assert!(response.status() == StatusCode::OK && html(&response), "{accept}");
            assert_eq!(response.headers()[header::VARY], "accept");
        }
        for accept in [
            "*/*",
            "application/json",
            "text/*",
            "text/html;q=0",
            "text/html;q=x",
            "application/json, text/html;q=0.9",
            "text/htmlx",
            "",
        ] {
            let response = ask(&opened, "GET", "/", &[("accept", accept)]).await;
            assert!(response.status() == StatusCode::UNAUTHORIZED && !html(&response), "{accept}");
            assert_eq!(response.headers()[header::VARY], "accept");
        }
        assert_eq!(ask(&opened, "GET", "/", &[]).await.status(), StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn a_token_in_the_query_moves_to_the_fragment() {
        let opened = console();
        let token = "A".repeat(43);
        let browser = [("accept", BROWSER)];
        for path in [format!("/?token={token}"), format!("/?a=b&token={token}")] {
            let response = ask(&opened, "GET", &path, &browser).await;
            assert_eq!(response.status(), StatusCode::SEE_OTHER);
            assert_eq!(response.headers()[header::LOCATION], format!("/#token={token}"));
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
            assert_eq!(text(response).await, "");
        }
        // Nothing but a token's letters reaches the address.
        for not_one in ["", "x", "%0d%0aSet-Cookie:a=b", &format!("{token}/..//evil.example"), &"é".repeat(43)] {
            let path = format!("/?token={}", not_one.replace('é', "%C3%A9"));
            let response = ask(&opened, "GET", &path, &browser).await;
            assert_eq!(response.headers()[header::LOCATION], "/", "{not_one}");
        }
        assert_eq!(ask(&opened, "GET", "/?other=1", &browser).await.status(), StatusCode::OK);
    }

    proptest::proptest! {
        #[test]
        fn no_accept_and_no_tag_panics(text in "\\PC{0,80}") {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(header::ACCEPT, value.clone());
                headers.insert(header::IF_NONE_MATCH, value);
            }
            prefers_html(&headers);
            is_known(&etag(b"x"), &headers);
        }
    }
}
