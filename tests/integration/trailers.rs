//! Trailers, which pass as far as HTTP allows.

use nightaudit_exchange::Note;
use nightaudit_testkit::{Harness, Upstream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const END: &[u8] = b"\r\n\r\n";

async fn read_until(stream: &mut TcpStream, mark: &[u8]) -> String {
    let mut read = Vec::new();
    while !read.ends_with(END) || !read.windows(mark.len()).any(|part| part == mark) {
        assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{}", read.escape_ascii());
    }
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn regression_no_record_said_that_a_message_had_trailers() {
    for (trailers_of_request, trailers_of_response) in [("", ""), ("X-Check: 1\r\n", ""), ("", "X-Sum: 2\r\n")] {
        let upstream = Upstream::raw(move |mut stream| async move {
            read_until(&mut stream, b"\r\n0\r\n").await;
            let response = format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n{trailers_of_response}\r\n"
            );
            stream.write_all(response.as_bytes()).await.unwrap();
        })
        .await;
        let harness = Harness::start(&upstream.url()).await;
        for streamed in [false, true] {
            let mut stream = TcpStream::connect(harness.address()).await.unwrap();
            let head =
                "POST /a HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"a\":1} \r\n";
            let end = format!("0\r\n{trailers_of_request}\r\n");
            if streamed {
                let begun = upstream.raw_heads().len();
                stream.write_all(head.as_bytes()).await.unwrap();
                while upstream.raw_heads().len() == begun {
                    tokio::task::yield_now().await;
                }
                stream.write_all(end.as_bytes()).await.unwrap();
            } else {
                stream.write_all(format!("{head}{end}").as_bytes()).await.unwrap();
            }
            read_until(&mut stream, b"\r\n0\r\n").await;
            let had = !trailers_of_request.is_empty() || !trailers_of_response.is_empty();
            let notes = harness.recorded().await.notes;
            assert_eq!(notes, if had { vec![Note::TrailersNotRecorded] } else { vec![] }, "{streamed}");
        }
    }
}
