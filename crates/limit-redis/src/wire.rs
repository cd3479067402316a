//! The protocol of Redis (RESP 2): commands out, replies in, as many under way as there are.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval, timeout};

use crate::tls;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Text(Bytes),
    Error(String),
    Number(i64),
    Nil,
    List(Vec<Reply>),
}

impl Reply {
    /// As text; a number as its digits.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
            Self::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// As a number, also if it is written as text.
    pub(crate) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// As an instant or a length; nothing negative.
    pub(crate) fn length(&self) -> Option<u64> {
        u64::try_from(self.number()?).ok()
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the connection to Redis was closed")]
    Closed,
    /// It speaks TLS otherwise than expected, or not at all.
    #[error("{0}")]
    Tls(String),
    #[error("Redis says: {0}")]
    Server(String),
    #[error("Redis gave a reply that makes no sense")]
    Nonsense,
}

/// A command in the form in which it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Command(Vec<u8>);

impl Command {
    /// A command of so many words, its name among them.
    pub(crate) fn new(words: usize) -> Self {
        let mut command = Self(Vec::with_capacity(1024));
        command.0.push(b'*');
        command.digits(words as u64);
        command
    }

    /// All words at once.
    pub(crate) fn of(words: &[&str]) -> Self {
        words.iter().fold(Self::new(words.len()), |command, word| command.word(word.as_bytes()))
    }

    pub(crate) fn word(mut self, word: &[u8]) -> Self {
        self.0.push(b'$');
        self.digits(word.len() as u64);
        self.0.extend_from_slice(word);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    pub(crate) fn number(self, number: u64) -> Self {
        self.word(number.to_string().as_bytes())
    }

    /// Words that were encoded before.
    pub(crate) fn encoded(mut self, words: &[u8]) -> Self {
        self.0.extend_from_slice(words);
        self
    }

    /// Encodes words to be added to commands later.
    pub(crate) fn words(words: &[String]) -> Vec<u8> {
        words.iter().fold(Self(Vec::new()), |command, word| command.word(word.as_bytes())).0
    }

    fn digits(&mut self, number: u64) {
        let mut text = String::new();
        // Writing to a string never fails.
        let _ = write!(text, "{number}\r\n");
        self.0.extend_from_slice(text.as_bytes());
    }
}

/// A connection. Clones share it; it is closed once all are dropped.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    calls: mpsc::UnboundedSender<Call>,
}

#[derive(Debug)]
struct Call {
    command: Vec<u8>,
    reply: oneshot::Sender<Result<Reply, Fault>>,
}

/// A reply that takes longer means that Redis is gone, or hangs.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most commands that wait for a reply.
const MOST_PENDING: usize = 1 << 16;

impl Connection {
    /// Drives this stream on the present runtime.
    pub(crate) fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (calls, received) = mpsc::unbounded_channel();
        tokio::spawn(drive(stream, received));
        Self { calls }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.calls.is_closed()
    }

    /// Sends a command at once, and returns its reply. Errors of the server are [`Fault::Server`].
    pub(crate) fn call(&self, command: Command) -> impl Future<Output = Result<Reply, Fault>> + Send + use<> {
        let (reply, replied) = oneshot::channel();
        let sent = self.calls.send(Call { command: command.0, reply });
        async move {
            sent.map_err(|_| Fault::Closed)?;
            match replied.await {
                Ok(Ok(Reply::Error(text))) => Err(Fault::Server(text)),
                Ok(reply) => reply,
                Err(_) => Err(Fault::Closed),
            }
        }
    }
}

async fn drive(stream: impl AsyncRead + AsyncWrite + Unpin, mut calls: mpsc::UnboundedReceiver<Call>) {
    let mut pending = Pending::new();
    let end = exchange(stream, &mut calls, &mut pending).await;
    for (asked, _) in pending {
        // Who asked may have given up.
        let _ = asked.send(Err(end.clone()));
    }
}

/// Those who wait for a reply, since when.
type Pending = VecDeque<(oneshot::Sender<Result<Reply, Fault>>, Instant)>;

/// Passes commands and replies until the connection ends; returns why.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    calls: &mut mpsc::UnboundedReceiver<Call>,
    pending: &mut Pending,
) -> Fault {
    let (mut input, mut output) = tokio::io::split(stream);
    let (mut read, mut batch, mut written) = (BytesMut::with_capacity(16 << 10), Vec::new(), Vec::new());
    let mut watch = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            count = calls.recv_many(&mut batch, 256) => {
                if count == 0 || pending.len() > MOST_PENDING {
                    return Fault::Closed;
                }
                let now = Instant::now();
                for call in batch.drain(..) {
                    written.extend_from_slice(&call.command);
                    pending.push_back((call.reply, now));
                }
                if !matches!(timeout(PATIENCE, output.write_all(&written)).await, Ok(Ok(()))) {
                    return Fault::Closed;
                }
                written.clear();
            }
            count = input.read_buf(&mut read) => {
                match count {
                    Ok(1..) => {}
                    // An alert, and no reply.
                    _ if read.starts_with(&[0x15, 0x03]) => {
                        return Fault::Tls("TLS is spoken there: begin with rediss://".to_owned());
                    }
                    Ok(0) => return Fault::Closed,
                    Err(error) => return tls::explained(&error).map_or(Fault::Closed, Fault::Tls),
                }
                loop {
                    match decode(&mut read) {
                        Ok(Some(reply)) => match pending.pop_front() {
                            // Who asked may have given up.
                            Some((asked, _)) => drop(asked.send(Ok(reply))),
                            None => return Fault::Closed,
                        },
                        Ok(None) => break,
                        Err(_) => return Fault::Closed,
                    }
                }
            }
            _ = watch.tick() => {
                if pending.front().is_some_and(|(_, since)| since.elapsed() > PATIENCE) {
                    return Fault::Closed;
                }
            }
        }
    }
}

/// The longest text, and the most items of all lists of a reply together.
const MOST_BYTES: usize = 64 << 20;
const MOST_ITEMS: usize = 4 << 20;
const MOST_DEPTH: usize = 8;

/// Takes a reply from the front; `None` if it isn't complete yet.
fn decode(read: &mut BytesMut) -> io::Result<Option<Reply>> {
    let mut at = 0;
    let mut items = MOST_ITEMS;
    let Some(parsed) = parse(read, &mut at, 0, &mut items)? else { return Ok(None) };
    let frozen = read.split_to(at).freeze();
    Ok(Some(parsed.over(&frozen)))
}

/// A reply whose texts are still ranges.
enum Parsed {
    Text(usize, usize),
    Error(usize, usize),
    Number(i64),
    Nil,
    List(Vec<Parsed>),
}

impl Parsed {
    fn over(self, bytes: &Bytes) -> Reply {
        match self {
            Self::Text(from, to) => Reply::Text(bytes.slice(from..to)),
            Self::Error(from, to) => Reply::Error(String::from_utf8_lossy(&bytes[from..to]).into_owned()),
            Self::Number(number) => Reply::Number(number),
            Self::Nil => Reply::Nil,
            Self::List(items) => Reply::List(items.into_iter().map(|item| item.over(bytes)).collect()),
        }
    }
}

fn parse(read: &[u8], at: &mut usize, depth: usize, items: &mut usize) -> io::Result<Option<Parsed>> {
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let Some(line) = read.get(*at..).and_then(|rest| rest.windows(2).position(|two| two == b"\r\n")) else {
        // A line is short; what never ends is no reply.
        return if read.len() - *at > MOST_BYTES { Err(wrong()) } else { Ok(None) };
    };
    let (start, end) = (*at + 1, *at + line);
    let Some(&kind) = read.get(*at).filter(|_| line > 0) else { return Err(wrong()) };
    let text = &read[start..end];
    let number = || std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok()).ok_or_else(wrong);
    *at = end + 2;
    Ok(Some(match kind {
        b'+' => Parsed::Text(start, end),
        b'-' => Parsed::Error(start, end),
        b':' => Parsed::Number(number()?),
        b'$' => match number()? {
            -1 => Parsed::Nil,
            length => {
                let length = usize::try_from(length).ok().filter(|length| *length <= MOST_BYTES).ok_or_else(wrong)?;
                let from = *at;
                let Some(rest) = read.get(from + length..from + length + 2) else { return Ok(None) };
                if rest != b"\r\n" {
                    return Err(wrong());
                }
                *at = from + length + 2;
                Parsed::Text(from, from + length)
            }
        },
        b'*' => match number()? {
            -1 => Parsed::Nil,
            length => {
                let length = usize::try_from(length).ok().filter(|length| *length <= *items).ok_or_else(wrong)?;
                if depth == MOST_DEPTH {
                    return Err(wrong());
                }
                *items -= length;
                let mut list = Vec::with_capacity(length.min(1024));
                for _ in 0..length {
                    match parse(read, at, depth + 1, items)? {
                        Some(item) => list.push(item),
                        None => return Ok(None),
                    }
                }
                Parsed::List(list)
            }
        },
        _ => return Err(wrong()),
    }))
}

#[cfg(test)]
mod tests {
    use bytes::Buf as _;
    use proptest::prelude::*;

    use super::*;

    fn encode(reply: &Reply, out: &mut Vec<u8>) {
        match reply {
            Reply::Text(text) => {
                out.extend(format!("${}\r\n", text.len()).bytes());
                out.extend_from_slice(text);
                out.extend(b"\r\n");
            }
            Reply::Error(text) => out.extend(format!("-{text}\r\n").bytes()),
            Reply::Number(number) => out.extend(format!(":{number}\r\n").bytes()),
            Reply::Nil => out.extend(b"$-1\r\n"),
            Reply::List(items) => {
                out.extend(format!("*{}\r\n", items.len()).bytes());
                items.iter().for_each(|item| encode(item, out));
            }
        }
    }

    fn reply() -> impl Strategy<Value = Reply> {
        let leaf = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Reply::Text(bytes.into())),
            "[A-Z a-z]{0,20}".prop_map(Reply::Error),
            any::<i64>().prop_map(Reply::Number),
            Just(Reply::Nil),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| prop::collection::vec(inner, 0..5).prop_map(Reply::List))
    }

    proptest! {
        #[test]
        fn replies_are_read_however_they_arrive(replies in prop::collection::vec(reply(), 1..5), size in 1_usize..40) {
            let mut bytes = Vec::new();
            replies.iter().for_each(|reply| encode(reply, &mut bytes));
            let (mut read, mut found) = (BytesMut::new(), Vec::new());
            for part in bytes.chunks(size) {
                read.extend_from_slice(part);
                while let Some(reply) = decode(&mut read).unwrap() {
                    found.push(reply);
                }
            }
            prop_assert_eq!(found, replies);
            prop_assert!(!read.has_remaining());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), any::<u8>(), b'0'..=b'9'], 0..60)) {
            let mut read = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decode(&mut read) {}
        }
    }

    #[test]
    fn what_claims_to_be_huge_or_deep_is_refused() {
        for bad in ["$99999999999\r\n", "*99999999999\r\n", "$-2\r\n", "?\r\n", "\r\n", ":x\r\n", "$1\r\nxyz"] {
            assert!(decode(&mut BytesMut::from(bad)).is_err(), "{bad:?}");
        }
        assert!(decode(&mut BytesMut::from(&*"*1\r\n".repeat(1000))).is_err());
    }

    #[tokio::test]
    async fn replies_come_to_those_who_asked_and_a_closed_connection_is_told() {
        let (client, mut server) = tokio::io::duplex(1 << 10);
        let connection = Connection::over(client);
        let (first, second) = (connection.call(Command::of(&["PING"])), connection.call(Command::of(&["ECHO", "x"])));
        let mut seen = vec![0; 14 + 21];
        server.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen, b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n");
        server.write_all(b"+PONG\r\n-ERR no\r\n").await.unwrap();
        assert_eq!(first.await, Ok(Reply::Text("PONG".into())));
        assert_eq!(second.await, Err(Fault::Server("ERR no".to_owned())));
        drop(server);
        assert_eq!(connection.call(Command::of(&["PING"])).await, Err(Fault::Closed));
    }
}
