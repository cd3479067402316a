//! An address at which nobody listens.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port that refuses connections, and that nothing else gets while this value lives.
///
/// A port that was free a moment ago may be another test's by now, whose server would record what it isn't meant to get.
pub struct Nobody(TcpSocket);

impl Nobody {
    /// Takes a free port of loopback, without listening.
    #[must_use]
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self(socket)
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

impl Default for Nobody {
    fn default() -> Self {
        Self::new()
    }
}
