//! A client that sends bytes exactly as given.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A response as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawResponse {
    /// The status.
    pub status: u16,
    /// Status line and headers, as on the wire.
    pub head: String,
    /// The body's bytes on the wire, with chunk framing.
    pub body: Vec<u8>,
}

impl RawResponse {
    /// The value of a header, ignoring case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(field, value)| field.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An API request with a JSON body and `Connection: close`.
#[must_use]
pub fn post(operation: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /api/connector/v1/{operation} HTTP/1.1\r\nHost: proxy\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A WebSocket handshake with additional `headers`, each with its line end.
#[must_use]
pub fn open_web_socket(headers: &str) -> Vec<u8> {
    format!(
        "GET /ws/connector HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
    .into_bytes()
}

/// Sends bytes on a new connection and reads until the server closes it.
pub async fn send(address: SocketAddr, bytes: &[u8]) -> RawResponse {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server may respond before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    parse(&read)
}

/// Like [`send`], to a server that may be gone, or go before it has responded: `None` then.
pub async fn try_send(address: SocketAddr, bytes: &[u8]) -> Option<RawResponse> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let _ = stream.write_all(bytes).await;
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    read.windows(4).any(|window| window == b"\r\n\r\n").then(|| parse(&read))
}

/// Sends bytes, half-closes the connection, and keeps reading.
pub async fn send_and_half_close(address: SocketAddr, bytes: &[u8]) -> RawResponse {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    parse(&read)
}

/// Resets the connection, which the peer can distinguish from a half-close.
pub fn leave(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
}

/// Sends bytes in pieces, with a pause after each for the server to read it.
pub async fn send_slowly(stream: &mut TcpStream, pieces: &[&[u8]]) {
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
}

/// Reads one response with a `Content-Length`, or without a body, from a connection that stays open.
pub async fn read_response(stream: &mut TcpStream) -> RawResponse {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let answer = parse(&read);
            let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
            if read.len() >= end + 4 + length {
                return answer;
            }
        }
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).await.unwrap();
        assert!(length > 0, "the connection ended within an answer: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..length]);
    }
}

fn parse(read: &[u8]) -> RawResponse {
    let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else {
        panic!("no HTTP answer: {:?}", String::from_utf8_lossy(read));
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    RawResponse { status, head, body: read[end + 4..].to_vec() }
}
