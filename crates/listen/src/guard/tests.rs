use std::collections::VecDeque;

use proptest::prelude::*;
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream, duplex},
    time::Instant,
};

use super::*;
use crate::refusal::Refusal;

const LIMITS: Limits =
    Limits { max_head: 200, head_timeout: Duration::from_secs(10), idle_timeout: Duration::from_secs(60) };

fn guarded() -> (DuplexStream, Guard<DuplexStream>, Arc<Heads>) {
    let (client, server) = duplex(4096);
    let guard = Guard::new(server, LIMITS, Link::new());
    let heads = guard.heads();
    (client, guard, heads)
}

async fn refusal(bytes: &[u8]) -> Refusal {
    let (mut client, mut guard, heads) = guarded();
    client.write_all(bytes).await.unwrap();
    let mut read = vec![0; PLACEHOLDER.len()];
    guard.read_exact(&mut read).await.unwrap();
    assert_eq!(read, PLACEHOLDER);
    heads.pop().unwrap().unwrap_err()
}

#[tokio::test]
async fn requests_pass_unchanged_and_their_heads_are_kept() {
    let (mut client, mut guard, heads) = guarded();
    let first = "POST /a HTTP/1.1\r\nHOST: x\r\ncontent-Length: 5\r\n\r\n";
    let second = "POST /b HTTP/1.1\r\nHost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let third = "GET /c HTTP/1.1\r\nHost: x\r\n\r\n";
    let all = format!("{first}hello{second}3\r\nabc\r\n0\r\n\r\n{third}");
    client.write_all(all.as_bytes()).await.unwrap();
    drop(client);
    let mut read = vec![0; all.len()];
    guard.read_exact(&mut read).await.unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), all);
    // The client may have left or only half-closed: EOF comes with the last response.
    (0..3).for_each(|_| heads.response_finished());
    assert_eq!(guard.read(&mut [0]).await.unwrap(), 0);
    for head in [first, second, third] {
        assert_eq!(heads.pop().unwrap().unwrap().wire, head);
    }
    assert!(heads.pop().is_none());
}

#[tokio::test]
async fn faults_become_refusals_with_the_head_received() {
    let refused = refusal(b"GET / HTTP/1.1\nHost: x\n\n").await;
    assert_eq!((refused.kind, &refused.wire[..]), (RefusalKind::Framing, &b"GET / HTTP/1.1\nHost: x\n\n"[..]));
    assert_eq!(refusal(b"hello\r\n\r\n").await.kind, RefusalKind::Malformed);
    assert_eq!(refusal(&[b'a'; 300]).await.kind, RefusalKind::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn a_partial_head_is_refused_after_the_head_timeout() {
    let (mut client, mut guard, heads) = guarded();
    client.write_all(b"GET / HT").await.unwrap();
    let start = Instant::now();
    guard.read_exact(&mut vec![0; PLACEHOLDER.len()]).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(heads.pop().unwrap().unwrap_err().kind, RefusalKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn regression_a_head_in_two_pieces_after_a_pause_was_too_late_at_once() {
    let head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for (start, is_first) in [(&b""[..], true), (b"", false), (b"\r", false), (b"\r\n", false), (b"\r\n\r", false)] {
        let (mut client, mut guard, heads) = guarded();
        let sent = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            client.write_all(start).await.unwrap();
            tokio::time::sleep(Duration::from_secs(20)).await;
            if start.ends_with(b"\r") {
                client.write_all(b"\n").await.unwrap();
            }
            // Longer than a head may take, since the connection became idle.
            client.write_all(&head[..10]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(9)).await;
            client.write_all(&head[10..]).await.unwrap();
        };
        let received = async {
            if is_first {
                assert_eq!(guard.protocol().await, Some(Protocol::Http1));
            }
            guard.read_exact(&mut vec![0; head.len()]).await.unwrap();
        };
        tokio::join!(received, sent);
        assert_eq!(heads.pop().unwrap().unwrap().wire, &head[..], "{start:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn empty_lines_are_no_request() {
    let (mut client, mut guard, heads) = guarded();
    let start = Instant::now();
    let sent = async {
        while start.elapsed().as_secs() < 500 && client.write_all(b"\r").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let _ = client.write_all(b"\n").await;
        }
    };
    let mut read = [0; READ_SIZE];
    tokio::select! {
        // It is closed, or refused within such a line.
        _ = guard.read(&mut read) => {}
        () = sent => {}
    }
    assert!(start.elapsed() <= LIMITS.idle_timeout, "{:?}", start.elapsed());
    assert!(heads.pop().is_none_or(|head| head.is_err_and(|refusal| refusal.kind == RefusalKind::Timeout)));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_but_not_while_a_request_is_in_flight() {
    let (mut client, mut guard, heads) = guarded();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let start = Instant::now();
    let response = async {
        tokio::time::sleep(Duration::from_secs(200)).await;
        heads.response_finished();
    };
    let mut read = Vec::new();
    let (end, ()) = tokio::join!(guard.read_to_end(&mut read), response);
    end.unwrap();
    let elapsed = start.elapsed().as_secs();
    assert!((200 + 1..=200 + 2 * 60).contains(&elapsed), "{elapsed}");
    assert_eq!(read.len(), 27);
}

#[tokio::test]
async fn a_half_closed_connection_ends_with_its_last_response() {
    let (mut client, mut guard, heads) = guarded();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let mut read = vec![0; 27];
    guard.read_exact(&mut read).await.unwrap();
    let response = async {
        // Polled after the read, which is pending by then.
        tokio::task::yield_now().await;
        assert!(heads.has_half_closed());
        heads.response_finished();
    };
    let (end, ()) = tokio::join!(guard.read_u8(), response);
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn an_invalid_chunk_is_a_body_error() {
    let (mut client, mut guard, _heads) = guarded();
    client.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").await.unwrap();
    let error = guard.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn the_preface_selects_http_2() {
    let (mut client, mut guard, _) = guarded();
    client.write_all(PREFACE).await.unwrap();
    client.write_all(b"rest").await.unwrap();
    assert_eq!(guard.protocol().await, Some(Protocol::Http2));
    drop(client);
    let mut read = Vec::new();
    guard.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, [PREFACE, b"rest"].concat());

    let (mut client, mut guard, _) = guarded();
    client.write_all(b"PRO").await.unwrap();
    assert_eq!(guard.protocol().await, Some(Protocol::Http1));
}

/// What a client sends, in the pieces in which it arrives.
struct Sent(VecDeque<Vec<u8>>);

impl AsyncRead for Sent {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(piece) = self.0.front_mut() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(piece);
            *piece = rest;
            if piece.is_empty() {
                self.0.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Sent {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What hyper and the service get of a connection.
#[derive(Debug, PartialEq)]
struct Got {
    bytes: Vec<u8>,
    /// Each head, or the kind of its refusal, which has what had arrived by then.
    heads: Vec<Result<(Bytes, bool), RefusalKind>>,
    fails: bool,
}

/// Reads into buffers of this size until there is no more.
fn got(pieces: &[&[u8]], size: usize) -> Got {
    let pieces = pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec()).collect();
    let mut guard = Guard::new(Sent(pieces), LIMITS, Link::new());
    let heads = guard.heads();
    let mut got = Got { bytes: Vec::new(), heads: Vec::new(), fails: false };
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut memory = vec![0; size];
    loop {
        let mut buf = ReadBuf::new(&mut memory);
        match Pin::new(&mut guard).poll_read(&mut cx, &mut buf) {
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => got.bytes.extend_from_slice(buf.filled()),
            Poll::Ready(ended) => {
                got.fails = ended.is_err();
                return got;
            }
            // A refusal, or the end, waits for the responses.
            Poll::Pending if heads.has_in_flight() => heads.response_finished(),
            Poll::Pending => return got,
        }
        while let Some(head) = heads.pop() {
            got.heads.push(head.map(|head| (head.wire, head.opens_web_socket)).map_err(|refusal| refusal.kind));
        }
    }
}

#[test]
fn regression_an_empty_line_that_came_in_two_reads_was_recorded_with_the_head_after_it() {
    let head = &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..];
    for pieces in [&[b"\r", b"\n", head][..], &[b"\r\n", head], &[b"\r\n\r", b"\n", head], &[head]] {
        assert_eq!(got(pieces, READ_SIZE).heads, [Ok((Bytes::from_static(head), false))], "{pieces:?}");
    }
}

/// A request, or something like one.
fn request() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        Just("\r\nGET /late HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()),
        (0..40_usize).prop_map(|length| {
            format!("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{}", "b".repeat(length))
        }),
        "[a-z\r\n]{1,30}".prop_map(|chunk| {
            let head = "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
            format!("{head}{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len())
        }),
        Just("POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n".to_owned()),
        Just("GET /bare HTTP/1.1\nHost: x\n\n".to_owned()),
        Just(format!("GET /long HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(200))),
        Just(
            "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                .to_owned()
        ),
    ]
}

proptest! {
    #[test]
    fn what_passes_does_not_depend_on_how_it_arrives(
        requests in prop::collection::vec(request(), 1..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        truncated in any::<prop::sample::Index>(),
    ) {
        let sent = requests.concat().into_bytes();
        for sent in [&sent[..], &sent[..truncated.index(sent.len())]] {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(sent.len() + 1)).collect();
            cuts.extend([0, sent.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &sent[ends[0]..ends[1]]).collect();
            // Byte by byte nothing is passed straight on; with a buffer as hyper's all that can be.
            let bytes: Vec<&[u8]> = sent.chunks(1).collect();
            let expected = got(&bytes, READ_SIZE - 1);
            for (pieces, size) in [(&pieces, READ_SIZE), (&pieces, 7), (&vec![sent], READ_SIZE)] {
                let passed = got(pieces, size);
                prop_assert_eq!(&passed.heads, &expected.heads);
                prop_assert_eq!(passed.fails, expected.fails);
                // Before an invalid chunk as much passes as was read with it.
                if !expected.fails {
                    prop_assert_eq!(&passed.bytes, &expected.bytes);
                }
            }
        }
    }
}
