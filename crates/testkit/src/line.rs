//! A bad line: a TCP proxy that delays and cuts.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

/// A TCP proxy on loopback. What passes is delayed; connections can be cut.
pub struct Line {
    address: SocketAddr,
    delay: Arc<AtomicU64>,
    down: Arc<AtomicBool>,
    cut: watch::Sender<u64>,
    _task: AbortOnDropHandle<()>,
}

impl Line {
    /// A line to this address.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (delay, (cut, cuts)) = (Arc::<AtomicU64>::default(), watch::channel(0));
        let (delays, down) = (Arc::clone(&delay), Arc::<AtomicBool>::default());
        let is_down = Arc::clone(&down);
        let task = async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                if is_down.load(Ordering::Relaxed) {
                    continue;
                }
                let (delay, mut cuts) = (Arc::clone(&delays), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(target).await else { return };
                    near.set_nodelay(true).unwrap();
                    far.set_nodelay(true).unwrap();
                    let ((a, b), (c, d)) = (near.into_split(), far.into_split());
                    tokio::select! {
                        () = pass(a, d, &delay) => {}
                        () = pass(c, b, &delay) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        };
        Self { address, delay, down, cut, _task: AbortOnDropHandle::new(tokio::spawn(task)) }
    }

    /// Its socket address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Delays what arrives from now on, in each direction; order is kept.
    pub fn delay(&self, by: Duration) {
        self.delay.store(u64::try_from(by.as_micros()).unwrap(), Ordering::Relaxed);
    }

    /// Cuts all connections, and closes new ones at once until this is told otherwise.
    pub fn down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
        self.cut();
    }

    /// Cuts all connections. What is on its way is lost.
    pub fn cut(&self) {
        self.cut.send_modify(|times| *times += 1);
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: &AtomicU64) {
    let (sender, mut delayed) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + Duration::from_micros(delay.load(Ordering::Relaxed));
            if sender.send((due, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    };
    let write = async {
        while let Some((due, bytes)) = delayed.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}
