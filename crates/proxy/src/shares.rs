//! Per-client shares of in-flight capacity.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    future::{Future, poll_fn},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use tokio::sync::oneshot;

/// Divides the capacity for exchanges in flight among client addresses and their connections.
///
/// An address gets at most three quarters of it. Of that, a connection gets no more once it holds a quarter of what is
/// still free: a single one gets a fifth, and even dozens of saturated ones leave room for a new one. Waiters are
/// served round-robin by connection.
#[derive(Debug)]
pub(crate) struct Shares {
    /// The most that one address may hold.
    max_per_address: usize,
    state: Mutex<State>,
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    addresses: HashMap<IpAddr, usize>,
    connections: HashMap<SocketAddr, Connection>,
    /// Connections with waiting requests, in round-robin order.
    turns: VecDeque<SocketAddr>,
}

#[derive(Debug, Default)]
struct Connection {
    held: usize,
    waiting: VecDeque<oneshot::Sender<Share>>,
}

/// Capacity for one exchange, released when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Arc<Shares>,
    peer: SocketAddr,
}

impl Shares {
    /// Divides capacity for so many exchanges.
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            max_per_address: capacity - capacity / 4,
            state: Mutex::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Returns whether requests are waiting for capacity, here or under [`count_waiting`](Self::count_waiting).
    pub(crate) fn is_crowded(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Waits for capacity for an exchange of this client.
    pub(crate) async fn acquire(self: &Arc<Self>, peer: SocketAddr) -> Share {
        let granted = {
            let mut state = self.lock();
            if state.try_hold(self.max_per_address, peer) {
                return Share { shares: Arc::clone(self), peer };
            }
            let (grant, granted) = oneshot::channel();
            let waiting = &mut state.connections.entry(peer).or_default().waiting;
            waiting.push_back(grant);
            if waiting.len() == 1 {
                state.turns.push_back(peer);
            }
            granted
        };
        match self.count_waiting(granted).await {
            Ok(share) => share,
            // Unreachable: a waiter stays queued until granted.
            Err(_) => std::future::pending().await,
        }
    }

    /// Counts a request as waiting while `wait` is pending.
    pub(crate) async fn count_waiting<F: Future>(&self, wait: F) -> F::Output {
        let mut wait = pin!(wait);
        if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await {
            return done;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _guard = WaitingGuard(&self.waiting);
        wait.await
    }

    /// Releases the share and grants waiters that now fit.
    fn release(self: &Arc<Self>, peer: SocketAddr) {
        let mut state = self.lock();
        state.release(peer);
        // Sent outside the lock: a share whose waiter is gone is dropped and returns here.
        let grants = state.grant(self.max_per_address);
        drop(state);
        for (grant, peer) in grants {
            drop(grant.send(Share { shares: Arc::clone(self), peer }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock can panic halfway through an update.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a share if one is free and the connection has no waiters. One lookup per map, since every request does
    /// this under the lock.
    fn try_hold(&mut self, max_per_address: usize, peer: SocketAddr) -> bool {
        let in_use = self.addresses.entry(address(peer)).or_default();
        let connection = self.connections.entry(peer).or_default();
        let has_room = connection.waiting.is_empty() && has_room(max_per_address, *in_use, connection.held);
        if has_room {
            *in_use += 1;
            connection.held += 1;
        }
        has_room
    }

    fn has_room(&self, max_per_address: usize, peer: SocketAddr) -> bool {
        let in_use = self.addresses.get(&address(peer)).copied().unwrap_or(0);
        has_room(max_per_address, in_use, self.connections.get(&peer).map_or(0, |connection| connection.held))
    }

    fn hold(&mut self, peer: SocketAddr) {
        *self.addresses.entry(address(peer)).or_default() += 1;
        self.connections.entry(peer).or_default().held += 1;
    }

    fn release(&mut self, peer: SocketAddr) {
        if let Entry::Occupied(mut in_use) = self.addresses.entry(address(peer)) {
            *in_use.get_mut() -= 1;
            if *in_use.get() == 0 {
                in_use.remove();
            }
        }
        if let Entry::Occupied(mut connection) = self.connections.entry(peer) {
            connection.get_mut().held -= 1;
            if connection.get().held == 0 && connection.get().waiting.is_empty() {
                connection.remove();
            }
        }
    }

    fn grant(&mut self, max_per_address: usize) -> Vec<(oneshot::Sender<Share>, SocketAddr)> {
        let mut grants = Vec::new();
        let mut passed = 0;
        while passed < self.turns.len()
            && let Some(peer) = self.turns.pop_front()
        {
            let room = self.has_room(max_per_address, peer);
            let Some(connection) = self.connections.get_mut(&peer) else { continue };
            while connection.waiting.front().is_some_and(oneshot::Sender::is_closed) {
                connection.waiting.pop_front();
            }
            if connection.waiting.is_empty() {
                if connection.held == 0 {
                    self.connections.remove(&peer);
                }
                continue;
            }
            if !room {
                self.turns.push_back(peer);
                passed += 1;
                continue;
            }
            passed = 0;
            if let Some(grant) = connection.waiting.pop_front() {
                if !connection.waiting.is_empty() {
                    self.turns.push_back(peer);
                }
                self.hold(peer);
                grants.push((grant, peer));
            }
        }
        grants
    }
}

/// Returns whether a connection that holds `held` may take more while its address holds `in_use`.
fn has_room(max_per_address: usize, in_use: usize, held: usize) -> bool {
    held < max_per_address.saturating_sub(in_use).div_ceil(4)
}

/// Returns what counts as one client: the address, or the /64 network with IPv6, which providers assign per customer.
fn address(peer: SocketAddr) -> IpAddr {
    match peer.ip().to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        ip => ip,
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.release(self.peer);
    }
}

/// Decrements the count when dropped.
struct WaitingGuard<'a>(&'a AtomicUsize);

impl Drop for WaitingGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::Pin, task::Context};

    use super::*;

    type Taking = Pin<Box<dyn Future<Output = Share> + Send>>;

    fn peer(host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], port))
    }

    /// Returns a share if one is free, otherwise the wait for it.
    fn take(shares: &Arc<Shares>, peer: SocketAddr) -> Result<Share, Taking> {
        let shares = Arc::clone(shares);
        let mut taking: Taking = Box::pin(async move { shares.acquire(peer).await });
        match poll(&mut taking) {
            Some(share) => Ok(share),
            None => Err(taking),
        }
    }

    fn poll(taking: &mut Taking) -> Option<Share> {
        match taking.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(share) => Some(share),
            Poll::Pending => None,
        }
    }

    /// Takes all shares this client can get.
    fn fill(shares: &Arc<Shares>, peer: SocketAddr) -> Vec<Share> {
        std::iter::from_fn(|| take(shares, peer).ok()).collect()
    }

    #[test]
    fn regression_seventeen_connections_exhausted_the_capacity() {
        let shares = Shares::new(4096);
        let held: Vec<_> = (1..=17).map(|port| fill(&shares, peer(1, port))).collect();
        assert!(held.iter().all(|held| !held.is_empty()));
        // A new connection fits, from the same address as well as from another.
        assert!(take(&shares, peer(1, 99)).is_ok());
        assert!(take(&shares, peer(2, 1)).is_ok());
        let all: usize = held.iter().map(Vec::len).sum();
        assert!(all <= 3072, "{all}");
    }

    #[test]
    fn a_connection_alone_has_a_fifth_of_its_address_s_share_and_an_address_three_quarters() {
        let shares = Shares::new(4096);
        let one = fill(&shares, peer(1, 1));
        // More than its concurrent streams.
        assert_eq!(one.len(), 3072 / 5 + 1);
        // An address gets no more, with any number of connections.
        let rest: Vec<_> = (2..300).map(|port| fill(&shares, peer(1, port))).collect();
        assert_eq!(one.len() + rest.iter().map(Vec::len).sum::<usize>(), 3072);
        assert!(!fill(&shares, peer(2, 1)).is_empty());
    }

    #[test]
    fn addresses_of_one_network_count_as_one_and_mapped_ones_as_ipv4() {
        let shares = Shares::new(4);
        let held: Vec<_> = ["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1"]
            .map(|peer| take(&shares, peer.parse().unwrap()).ok().unwrap())
            .into();
        assert!(take(&shares, "[2001:db8::4]:1".parse().unwrap()).is_err());
        assert!(take(&shares, "[2001:db8:0:1::1]:1".parse().unwrap()).is_ok());
        drop(held);
        assert_eq!(address("[::ffff:10.0.0.1]:1".parse().unwrap()), peer(1, 1).ip());
    }

    #[test]
    fn waiters_are_served_round_robin_and_those_that_left_are_skipped() {
        let shares = Shares::new(4);
        let mut held: Vec<_> = (1..=3).map(|port| take(&shares, peer(1, port)).ok().unwrap()).collect();
        let waits = |port| take(&shares, peer(1, port)).unwrap_err();
        let (mut greedy, left, mut second, mut modest) = (waits(4), waits(4), waits(4), waits(5));
        assert!(shares.is_crowded());
        drop(left);
        drop(held.pop());
        let first = poll(&mut greedy).unwrap();
        assert!(poll(&mut modest).is_none() && poll(&mut second).is_none());
        drop(held.pop());
        let modest = poll(&mut modest).unwrap();
        assert!(poll(&mut second).is_none());
        drop((first, modest));
        let second = poll(&mut second).unwrap();
        assert!(!shares.is_crowded());
        drop((second, held));
        let state = shares.lock();
        assert!(state.addresses.is_empty() && state.connections.is_empty() && state.turns.is_empty());
    }

    #[test]
    fn an_unclaimed_grant_goes_to_the_next() {
        let shares = Shares::new(1);
        let held = take(&shares, peer(1, 1)).ok().unwrap();
        let (left, mut next) = (take(&shares, peer(1, 2)).unwrap_err(), take(&shares, peer(1, 3)).unwrap_err());
        drop(held);
        // Granted, and never polled.
        assert!(poll(&mut next).is_none());
        drop(left);
        assert!(poll(&mut next).is_some());
    }
}
