//! An accept loop that never fails.

use std::{io, net::SocketAddr, task::Poll, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

/// Delay after an error that an immediate retry would hit again.
const BACK_OFF: Duration = Duration::from_secs(1);

/// Idle time before TCP keepalive probes are sent.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Accepts the next connection of any listener; never fails.
///
/// Errors of a single connection are skipped. Those of the process, such as running out of file descriptors, are
/// retried after a second, by when other connections may have closed.
pub(crate) async fn accept(listeners: &[TcpListener], turn: &mut usize) -> (TcpStream, SocketAddr) {
    loop {
        match next(listeners, turn).await {
            Ok((stream, peer)) => {
                // The last segment of a response must not wait for the previous ACK.
                let _ = stream.set_nodelay(true);
                // A client that vanishes silently (power loss, say) must not hold a WebSocket or a response forever.
                let alive = TcpKeepalive::new().with_time(KEEPALIVE);
                let _ = SockRef::from(&stream).set_tcp_keepalive(&alive);
                return (stream, peer);
            }
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                tracing::error!(%error, "can't accept connections; retrying in a second");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// The next connection, from the listeners in turn, so that a flooded one doesn't starve the others.
async fn next(listeners: &[TcpListener], turn: &mut usize) -> io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|context| {
        for _ in listeners {
            let index = *turn % listeners.len();
            *turn = index + 1;
            if let Poll::Ready(accepted) = listeners[index].poll_accept(context) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn regression_a_client_that_vanished_silently_held_its_connection_forever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = accept(std::slice::from_ref(&listener), &mut 0).await;
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }

    #[test]
    fn running_out_of_file_descriptors_backs_off_and_an_aborted_connection_does_not() {
        const EMFILE: i32 = 24;
        assert!(!is_connection_error(&io::Error::from_raw_os_error(EMFILE)));
        assert!(is_connection_error(&io::ErrorKind::ConnectionAborted.into()));
    }
}
