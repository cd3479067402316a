//! Accepting connections without ever giving up.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

/// How long to wait after an error that a new attempt would only meet again.
const BACK_OFF: Duration = Duration::from_secs(1);

/// After which silence a client is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The next connection. Errors never end the loop: one that concerns a single connection is passed over at once, and
/// one that concerns the process (out of file descriptors) after a second, in which others may be closed.
pub(crate) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // An answer's last segment must not wait for the acknowledgement of the one before.
                let _ = stream.set_nodelay(true);
                // A client that is gone without a word, as when its machine loses power, must not hold a WebSocket or an
                // answer for ever.
                let alive = TcpKeepalive::new().with_time(KEEPALIVE);
                let _ = SockRef::from(&stream).set_tcp_keepalive(&alive);
                return (stream, peer);
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "can't accept connections; trying again in a second");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn regression_a_client_that_was_gone_without_a_word_held_its_connection_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = accept(&listener).await;
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }

    #[test]
    fn running_out_of_file_descriptors_backs_off_and_an_aborted_connection_does_not() {
        const EMFILE: i32 = 24;
        assert!(!concerns_one_connection(&io::Error::from_raw_os_error(EMFILE)));
        assert!(concerns_one_connection(&io::ErrorKind::ConnectionAborted.into()));
    }
}
