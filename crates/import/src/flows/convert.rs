//! A call of a flow, by the keys of every version.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use compact_str::CompactString;
use nightaudit_exchange::{Body, Direction, Header, Message, TimesUs, Timestamp};

use super::tnetstring::Item;
use crate::{
    foreign::{Call, MAX_LIST, Messages, Reply, coding, header},
    url::Url,
};

/// Why a flow gives no call.
#[derive(Debug)]
pub(super) enum Rejected {
    NotHttp,
    Damaged(String),
}

impl From<&str> for Rejected {
    fn from(reason: &str) -> Self {
        Self::Damaged(reason.to_owned())
    }
}

/// What a flow is.
#[derive(Debug)]
pub(crate) enum Read {
    /// A request, and the flow's id if messages of its WebSocket may follow in a flow of their own.
    Call(Box<Call>, Option<String>),
    /// The messages of an earlier handshake.
    Messages { handshake: String, messages: Messages },
    /// A tunnel, or traffic that isn't HTTP.
    NotHttp,
}

pub(super) fn read(flow: Item<'_>) -> Result<Read, Rejected> {
    let kind = flow.get("type").and_then(Item::text);
    match kind.as_deref() {
        Some("http") => {}
        Some("websocket") => return messages_alone(flow),
        Some("tcp" | "udp" | "dns") => return Err(Rejected::NotHttp),
        Some(_) => return Err("its type is unknown: it may be of a newer version of mitmproxy".into()),
        None => return Err("it has no type".into()),
    }
    let request = flow.get("request").filter(|request| request.is_dictionary()).ok_or("it has no request")?;
    let method = request.get("method").and_then(Item::text).ok_or("its request has no method")?;
    let headers = headers(request)?;
    if method == "CONNECT" && header(&headers, "upgrade").is_none() {
        // What passed through the tunnel has flows of its own.
        return Err(Rejected::NotHttp);
    }
    let url = url(request, &headers)?;
    let started = request.get("timestamp_start").and_then(Item::number).ok_or("its request has no time")?;
    let server = flow.get("server_conn");
    let response = flow.get("response").filter(|response| response.is_dictionary());
    let times = times(started, request, response, server);
    let reply = response.map(|response| reply(&method, response)).transpose()?;
    let error = flow.get("error").filter(|error| error.is_dictionary()).and_then(|error| error.get("msg")?.text());
    let socket = flow.get("websocket").filter(|socket| socket.is_dictionary());
    let messages = socket.map(|socket| {
        let list = socket.get("messages").map_or_else(|| Ok(Vec::new()), messages)?;
        let ended = socket.any(&["closed_by_client", "timestamp_end"]).is_some_and(Item::is_some);
        Ok::<_, Rejected>(Messages { list, ended })
    });
    let messages = messages.transpose()?;
    let is_handshake = flow.get("metadata").and_then(|facts| facts.get("websocket")?.boolean()) == Some(true);
    let id = flow.get("id").and_then(Item::text).filter(|_| is_handshake && messages.is_none());
    let body = body(request, &headers);
    let call = Call {
        started: moment(started),
        times,
        peer: flow.get("client_conn").and_then(|client| address(client.any(&["peername", "address"])?)),
        remote: server.and_then(|server| address(server.any(&["peername", "ip_address", "peer_address"])?)),
        method: method.into(),
        // Before version 12 the messages follow in a flow of their own.
        url: if is_handshake { url.into_web_socket() } else { url },
        http_version: version(request),
        headers,
        body,
        response: reply,
        error,
        messages,
        facts: None,
    };
    Ok(Read::Call(Box::new(call), id))
}

/// A flow of messages only, as before version 12.
fn messages_alone(flow: Item<'_>) -> Result<Read, Rejected> {
    let handshake = flow.get("metadata").and_then(|facts| facts.get("websocket_handshake")?.text());
    let handshake = handshake.ok_or("it has messages of a WebSocket, and doesn't name the handshake")?;
    let list = flow.get("messages").map_or_else(|| Ok(Vec::new()), messages)?;
    let ended = flow.get("close_code").is_some_and(Item::is_some);
    Ok(Read::Messages { handshake, messages: Messages { list, ended } })
}

/// Type, sender, content and time of each; what was dropped was never delivered.
fn messages(list: Item<'_>) -> Result<Vec<Message>, Rejected> {
    let mut messages = Vec::new();
    for message in list.items().into_iter().flatten() {
        let Some(mut parts) = message.items() else { continue };
        let opcode = parts.next().and_then(Item::integer).and_then(|opcode| u8::try_from(opcode).ok());
        let from_client = parts.next().and_then(Item::boolean);
        let content = parts.next().and_then(Item::bytes);
        let time = parts.next().and_then(Item::number);
        let was_dropped = parts.next().and_then(Item::boolean) == Some(true);
        if let (Some(opcode), Some(from_client), Some(content), Some(time), false) =
            (opcode, from_client, content, time, was_dropped)
        {
            messages.push(Message {
                time: moment(time),
                direction: if from_client { Direction::Send } else { Direction::Receive },
                opcode,
                body: Body::whole(Bytes::copy_from_slice(content)),
            });
            if size_of_val(&messages[..]) > MAX_LIST {
                return Err("it has more messages than fit into 64 MiB".into());
            }
        }
    }
    Ok(messages)
}

/// The request's URL. Where mitmproxy only knows the address, as in its transparent mode, the host is that of the request.
fn url(request: Item<'_>, headers: &[Header]) -> Result<Url, Rejected> {
    let text = |key| request.get(key).and_then(Item::text).filter(|text| !text.is_empty());
    let path = text("path").unwrap_or_else(|| "/".to_owned());
    if let Ok(url) = Url::parse(&path) {
        // A request in absolute form, as old versions have it.
        return Ok(url);
    }
    let scheme = text("scheme").unwrap_or_else(|| "http".to_owned());
    let host = text("host").ok_or("its request has no host")?;
    let port = request.get("port").and_then(Item::integer).and_then(|port| u16::try_from(port).ok());
    let usual = if scheme == "https" { 443 } else { 80 };
    let named = text("authority").or_else(|| header(headers, "host").map(str::to_owned));
    let named = named.filter(|name| host.parse::<IpAddr>().is_ok() && !is_address(name));
    let authority = match (named, port) {
        (Some(named), _) => named,
        (None, port) => {
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            match port.filter(|port| *port != usual) {
                Some(port) => format!("{host}:{port}"),
                None => host,
            }
        }
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    Url::parse(&format!("{scheme}://{authority}{slash}{path}"))
        .map_err(|_| Rejected::from("its request's URL is not one of HTTP"))
}

/// Whether this is an address, with or without a port, and no name.
fn is_address(authority: &str) -> bool {
    authority.parse::<IpAddr>().is_ok() || authority.parse::<SocketAddr>().is_ok()
}

fn headers(message: Item<'_>) -> Result<Vec<Header>, Rejected> {
    let Some(list) = message.get("headers") else { return Ok(Vec::new()) };
    let mut headers = Vec::new();
    for pair in list.items().ok_or("its headers are no list")? {
        let mut pair = pair.items().ok_or("a header of it is no pair")?;
        let (name, value) = (pair.next().and_then(Item::text), pair.next().and_then(Item::text));
        let (Some(name), Some(value)) = (name, value) else { return Err("a header of it is no pair".into()) };
        if !name.is_empty() && !name.starts_with(':') {
            headers.push(Header { name: name.into(), value: value.into() });
            if size_of_val(&headers[..]) > MAX_LIST {
                return Err("it has more headers than fit into 64 MiB".into());
            }
        }
    }
    Ok(headers)
}

/// The body as on the wire; `None` in the flow where mitmproxy streamed it and kept nothing.
fn body(message: Item<'_>, headers: &[Header]) -> Body {
    match message.any(&["content", "body"]) {
        Some(content) => match content.bytes() {
            Some([]) => Body::empty(),
            Some(bytes) => {
                let body = Body::whole(Bytes::copy_from_slice(bytes));
                Body { content_encoding: coding(headers), ..body }
            }
            None => {
                Body::absent(header(headers, "content-length").and_then(|text| text.trim().parse().ok()).unwrap_or(0))
            }
        },
        None => Body::empty(),
    }
}

fn reply(method: &str, response: Item<'_>) -> Result<Reply, Rejected> {
    let status =
        response.any(&["status_code", "code"]).and_then(Item::integer).and_then(|code| u16::try_from(code).ok());
    let status = status.filter(|status| (100..1000).contains(status)).ok_or("its response has no status")?;
    let headers = headers(response)?;
    let http_version = version(response);
    let reason = response.any(&["reason", "msg"]).and_then(Item::text).filter(|reason| !reason.is_empty());
    let reason = reason.filter(|_| http_version.starts_with("HTTP/1"));
    let has_no_body = method == "HEAD" || status < 200 || matches!(status, 204 | 304);
    let body = if has_no_body { Body::empty() } else { body(response, &headers) };
    Ok(Reply { status, http_version, reason: reason.map(CompactString::from), headers, body })
}

/// `HTTP/2.0`, or as old versions have it a list of two numbers.
fn version(message: Item<'_>) -> CompactString {
    let text = message.get("http_version").and_then(Item::text).or_else(|| {
        let mut numbers = message.get("httpversion")?.items()?;
        Some(format!("HTTP/{}.{}", numbers.next()?.integer()?, numbers.next()?.integer()?))
    });
    CompactString::const_new(match text.as_deref() {
        Some("HTTP/1.0") => "HTTP/1.0",
        Some("HTTP/1.1") => "HTTP/1.1",
        Some("HTTP/2" | "HTTP/2.0") => "HTTP/2",
        Some("HTTP/3" | "HTTP/3.0") => "HTTP/3",
        _ => "",
    })
}

/// The request was forwarded once it was complete and the connection was there.
fn times(started: f64, request: Item<'_>, response: Option<Item<'_>>, server: Option<Item<'_>>) -> TimesUs {
    let since = |time: f64| {
        const YEAR: f64 = 31_536_000.0 * 1e6;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let micros = ((time - started) * 1e6).clamp(0.0, YEAR).round() as u64;
        micros
    };
    let of = |item: Option<Item<'_>>, key: &str| item.and_then(|item| item.get(key)?.number());
    let head = of(response, "timestamp_start");
    let connected = ["timestamp_tls_setup", "timestamp_ssl_setup", "timestamp_tcp_setup"];
    let connected = connected.iter().find_map(|key| of(server, key));
    // A connection that is older was there before, and one that is newer isn't this request's.
    let connected = connected.filter(|time| head.is_none_or(|head| *time <= head));
    let sent = [of(Some(request), "timestamp_end"), connected].into_iter().flatten().fold(started, f64::max);
    TimesUs {
        forwarded: (response.is_some() || connected.is_some()).then(|| since(sent)),
        response_head: head.map(|head| since(head.max(sent))),
        response_end: of(response, "timestamp_end").or(head).map(|end| since(end.max(sent))),
    }
}

/// Seconds since 1970.
fn moment(seconds: f64) -> Timestamp {
    #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
    let micros = (seconds * 1e6).round() as i64;
    Timestamp::from_micros(micros)
}

/// Host and port: a list, within a dictionary in the versions 0.11 to 1.0.
fn address(item: Item<'_>) -> Option<SocketAddr> {
    let list = if item.is_dictionary() { item.get("address")? } else { item };
    let mut parts = list.items()?;
    let host = parts.next()?.text()?;
    let port = u16::try_from(parts.next()?.integer()?).ok()?;
    // A link-local address has its interface.
    let host = host.split('%').next()?.parse::<IpAddr>().ok()?;
    Some(SocketAddr::new(host.to_canonical(), port))
}
