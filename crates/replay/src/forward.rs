//! Passing on what was never recorded.

use std::{fmt, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header, request::Parts};
use http_body_util::Full;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};

/// Whether requests may be passed on now; the error says why not. May block.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Where requests that were not recorded go.
#[derive(Clone)]
pub struct Forward {
    address: SocketAddr,
    check: Check,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Headers that concern this connection only (RFC 9110, section 7.6.1); those of a WebSocket's handshake stay.
const OF_CONNECTION: [HeaderName; 3] =
    [HeaderName::from_static("keep-alive"), HeaderName::from_static("proxy-connection"), header::TRANSFER_ENCODING];

impl Forward {
    /// To a server of HTTP on this machine, if `check` allows it.
    #[must_use]
    pub fn new(address: SocketAddr, check: Check) -> Self {
        Self { address, check, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends a request on and returns the response; the error is for the client.
    pub(crate) async fn send(&self, parts: &Parts, body: Bytes) -> Result<Response<Incoming>, String> {
        let check = Arc::clone(&self.check);
        tokio::task::spawn_blocking(move || check()).await.map_err(|_| "the check has failed".to_owned())??;
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let uri: Uri = format!("http://{}{target}", self.address).parse().map_err(|_| "no such address".to_owned())?;
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = forwarded(&parts.headers);
        let host = HeaderValue::try_from(self.address.to_string()).map_err(|error| error.to_string())?;
        request.headers_mut().insert(header::HOST, host);
        self.client.request(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            format!("{} does not respond{cause}", self.address)
        })
    }
}

fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let is_upgrade = headers.contains_key(header::SEC_WEBSOCKET_KEY);
    let kept = headers.iter().filter(|(name, _)| {
        let of_connection = OF_CONNECTION.contains(name) || **name == header::CONTENT_LENGTH;
        !of_connection && (is_upgrade || **name != header::CONNECTION && **name != header::UPGRADE)
    });
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The response to a client: without what concerns the other connection.
pub(crate) fn returned(response: &mut Response<Incoming>) {
    let headers = response.headers_mut();
    OF_CONNECTION.iter().for_each(|name| drop(headers.remove(name)));
}

/// Copies both ways between two WebSockets, until both are closed.
pub(crate) async fn tunnel(downstream: OnUpgrade, mut response: Response<Incoming>) {
    let upstream = hyper::upgrade::on(&mut response);
    if let (Ok(downstream), Ok(upstream)) = tokio::join!(downstream, upstream) {
        let (mut downstream, mut upstream) = (TokioIo::new(downstream), TokioIo::new(upstream));
        let _ = tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await;
    }
}

/// Whether the response opens a WebSocket.
pub(crate) fn opens<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}
