//! How much of the room for exchanges under way each client may hold.

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

/// Shares the room for exchanges under way among addresses and their connections.
///
/// An address has three quarters of it at most. Of those, a connection takes no more while it has a quarter of what is
/// still free: one alone gets to a fifth, and dozens that fill theirs leave room for one that has none yet. Who must wait
/// is served in turn, connection by connection.
#[derive(Debug)]
pub(crate) struct Shares {
    /// What one address may hold.
    most: usize,
    state: Mutex<State>,
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    addresses: HashMap<IpAddr, usize>,
    connections: HashMap<SocketAddr, Connection>,
    /// The connections that have requests waiting.
    turns: VecDeque<SocketAddr>,
}

#[derive(Debug, Default)]
struct Connection {
    held: usize,
    waiting: VecDeque<oneshot::Sender<Share>>,
}

/// Room for one exchange; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Arc<Shares>,
    peer: SocketAddr,
}

impl Shares {
    /// Shares room for so many exchanges.
    pub(crate) fn new(room: usize) -> Arc<Self> {
        Arc::new(Self { most: room - room / 4, state: Mutex::default(), waiting: AtomicUsize::new(0) })
    }

    /// Whether requests wait for room, here or wherever [`counted`](Self::counted) says so.
    pub(crate) fn is_crowded(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Waits for room for an exchange of this client.
    pub(crate) async fn take(self: &Arc<Self>, peer: SocketAddr) -> Share {
        let granted = {
            let mut state = self.lock();
            if state.try_hold(self.most, peer) {
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
        match self.counted(granted).await {
            Ok(share) => share,
            // Never: whoever waits stays in the list until it is granted.
            Err(_) => std::future::pending().await,
        }
    }

    /// Counts a request as waiting while this isn't ready.
    pub(crate) async fn counted<F: Future>(&self, wait: F) -> F::Output {
        let mut wait = pin!(wait);
        if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await {
            return done;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _over = Over(&self.waiting);
        wait.await
    }

    /// Gives back, and grants what then has room.
    fn release(self: &Arc<Self>, peer: SocketAddr) {
        let mut state = self.lock();
        state.let_go(peer);
        // Sent outside the lock: what nobody waits for any more comes back through here.
        let grants = state.grant(self.most);
        drop(state);
        for (grant, peer) in grants {
            drop(grant.send(Share { shares: Arc::clone(self), peer }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes room if there is some and nothing of this connection waits. One look-up in each map: this is on every
    /// request's path, under the lock.
    fn try_hold(&mut self, most: usize, peer: SocketAddr) -> bool {
        let in_use = self.addresses.entry(address(peer)).or_default();
        let connection = self.connections.entry(peer).or_default();
        let has_room = connection.waiting.is_empty() && has_room(most, *in_use, connection.held);
        if has_room {
            *in_use += 1;
            connection.held += 1;
        }
        has_room
    }

    fn has_room(&self, most: usize, peer: SocketAddr) -> bool {
        let in_use = self.addresses.get(&address(peer)).copied().unwrap_or(0);
        has_room(most, in_use, self.connections.get(&peer).map_or(0, |connection| connection.held))
    }

    fn hold(&mut self, peer: SocketAddr) {
        *self.addresses.entry(address(peer)).or_default() += 1;
        self.connections.entry(peer).or_default().held += 1;
    }

    fn let_go(&mut self, peer: SocketAddr) {
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

    fn grant(&mut self, most: usize) -> Vec<(oneshot::Sender<Share>, SocketAddr)> {
        let mut grants = Vec::new();
        let mut passed = 0;
        while passed < self.turns.len()
            && let Some(peer) = self.turns.pop_front()
        {
            let room = self.has_room(most, peer);
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

/// Whether a connection that holds `held` may take more while its address holds `in_use`.
fn has_room(most: usize, in_use: usize, held: usize) -> bool {
    held < most.saturating_sub(in_use).div_ceil(4)
}

/// What is counted as one client: a network of IPv6 as providers give one to each customer.
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

/// Takes one off when it is dropped.
struct Over<'a>(&'a AtomicUsize);

impl Drop for Over<'_> {
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

    /// A share if there is room at once, or else the wait for it.
    fn take(shares: &Arc<Shares>, peer: SocketAddr) -> Result<Share, Taking> {
        let shares = Arc::clone(shares);
        let mut taking: Taking = Box::pin(async move { shares.take(peer).await });
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

    /// All that this client gets.
    fn fill(shares: &Arc<Shares>, peer: SocketAddr) -> Vec<Share> {
        std::iter::from_fn(|| take(shares, peer).ok()).collect()
    }

    #[test]
    fn regression_seventeen_connections_held_all_the_room_there_was() {
        let shares = Shares::new(4096);
        let held: Vec<_> = (1..=17).map(|port| fill(&shares, peer(1, port))).collect();
        assert!(held.iter().all(|held| !held.is_empty()));
        // From the same address as well as from another there is room for who has none yet.
        assert!(take(&shares, peer(1, 99)).is_ok());
        assert!(take(&shares, peer(2, 1)).is_ok());
        let all: usize = held.iter().map(Vec::len).sum();
        assert!(all <= 3072, "{all}");
    }

    #[test]
    fn a_connection_alone_has_a_fifth_of_its_address_s_share_and_an_address_three_quarters() {
        let shares = Shares::new(4096);
        let one = fill(&shares, peer(1, 1));
        // More than the streams that it may have.
        assert_eq!(one.len(), 3072 / 5 + 1);
        // With as many connections as it likes, an address has no more.
        let rest: Vec<_> = (2..300).map(|port| fill(&shares, peer(1, port))).collect();
        assert_eq!(one.len() + rest.iter().map(Vec::len).sum::<usize>(), 3072);
        assert!(!fill(&shares, peer(2, 1)).is_empty());
    }

    #[test]
    fn addresses_of_one_network_count_as_one_and_a_mapped_one_as_what_it_is() {
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
    fn who_waits_is_served_in_turn_connection_by_connection_and_who_left_is_passed_over() {
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
    fn a_grant_that_nobody_takes_goes_to_the_next() {
        let shares = Shares::new(1);
        let held = take(&shares, peer(1, 1)).ok().unwrap();
        let (left, mut next) = (take(&shares, peer(1, 2)).unwrap_err(), take(&shares, peer(1, 3)).unwrap_err());
        drop(held);
        // It was granted, and never looked at.
        assert!(poll(&mut next).is_none());
        drop(left);
        assert!(poll(&mut next).is_some());
    }
}
