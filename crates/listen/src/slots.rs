//! Limits concurrent connections, and evicts idle ones for new ones.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::link::Link;

/// A client that sent nothing for this long after connecting is evicted before any that sent a request.
const SILENCE: Duration = Duration::from_millis(100);

/// How often to check whether a connection has become idle.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How long an evicted connection may take to close before another is evicted for the same new connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Minimum time between warnings that all slots are taken.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Connection slots of a server.
#[derive(Debug)]
pub(crate) struct Slots {
    capacity: usize,
    free: Arc<Semaphore>,
    links: Vec<Arc<Link>>,
    /// Whether a client is waiting and all connections are busy.
    full: Arc<AtomicBool>,
    last_warning: Option<Instant>,
}

impl Slots {
    pub(crate) fn new(capacity: usize) -> Self {
        let free = Arc::new(Semaphore::new(capacity));
        Self { capacity, free, links: Vec::new(), full: Arc::default(), last_warning: None }
    }

    /// Returns a flag that is set while a client waits for a slot and no connection is idle.
    pub(crate) fn full(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.full)
    }

    /// Waits for a slot for an accepted connection. If all are taken, evicts the connection that was idle for longest.
    pub(crate) async fn acquire(&mut self) -> (OwnedSemaphorePermit, Arc<Link>) {
        // When a connection was last evicted for this one.
        let mut evicted: Option<Instant> = None;
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                self.full.store(false, Ordering::Relaxed);
                if self.links.len() >= 2 * self.capacity {
                    self.prune();
                }
                let link = Link::new();
                self.links.push(Arc::clone(&link));
                return (permit, link);
            }
            self.prune();
            match self.longest_idle() {
                // A connection is closing, and frees its slot.
                _ if evicted.is_some_and(|evicted| evicted.elapsed() < CLOSE_TIMEOUT) => {}
                Some(link) => {
                    link.evict();
                    evicted = Some(Instant::now());
                    self.warn();
                }
                None => self.full.store(true, Ordering::Relaxed),
            }
            drop(timeout(POLL_INTERVAL, self.free.acquire()).await);
        }
    }

    /// Drops connections that have ended, and upgraded ones, which no longer hold a slot.
    fn prune(&mut self) {
        self.links.retain(|link| Arc::strong_count(link) > 1 && !link.is_upgraded());
    }

    fn longest_idle(&self) -> Option<&Arc<Link>> {
        let now = Instant::now();
        let idle = self.links.iter().filter(|link| !link.is_evicted());
        let idle: Vec<_> = idle
            .filter_map(|link| link.idle_since().map(|(since, has_sent_request)| (link, now - since, has_sent_request)))
            .collect();
        // In a flood, clients have not had time to be silent for long.
        let flooded = idle.iter().filter(|(.., has_sent_request)| !has_sent_request).count() > self.capacity / 8;
        let evict_first = |idle: Duration, has_sent_request: bool| !has_sent_request && (flooded || idle >= SILENCE);
        idle.into_iter()
            .max_by_key(|(_, idle, has_sent_request)| (evict_first(*idle, *has_sent_request), *idle))
            .map(|(link, ..)| link)
    }

    fn warn(&mut self) {
        if self.last_warning.is_none_or(|last_warning| last_warning.elapsed() >= WARN_INTERVAL) {
            self.last_warning = Some(Instant::now());
            tracing::warn!("all {} connections are in use: closing those idle for longest", self.capacity);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// A connection that closes when it is evicted.
    fn serve((permit, link): (OwnedSemaphorePermit, Arc<Link>), has_sent_request: bool, busy: bool) -> Arc<Link> {
        let kept = Arc::clone(&link);
        if has_sent_request {
            link.set_busy();
            if !busy {
                link.set_idle();
            }
        }
        tokio::spawn(async move {
            link.evicted().await;
            drop(permit);
        });
        kept
    }

    #[tokio::test(start_paused = true)]
    async fn silent_connections_are_evicted_first_then_the_longest_idle_and_busy_ones_never() {
        let mut slots = Slots::new(4);
        let busy = serve(slots.acquire().await, true, true);
        sleep(Duration::from_secs(1)).await;
        let older = serve(slots.acquire().await, true, false);
        sleep(Duration::from_secs(1)).await;
        let newer = serve(slots.acquire().await, true, false);
        sleep(Duration::from_secs(1)).await;
        let silent = serve(slots.acquire().await, false, false);
        sleep(Duration::from_secs(1)).await;
        let gone = |link: &Arc<Link>| link.is_evicted();

        let start = Instant::now();
        let _first = serve(slots.acquire().await, true, true);
        assert_eq!([&busy, &older, &newer, &silent].map(gone), [false, false, false, true]);
        let _second = serve(slots.acquire().await, true, true);
        assert_eq!([&busy, &older, &newer, &silent].map(gone), [false, true, false, true]);
        let _third = serve(slots.acquire().await, true, true);
        assert_eq!([&busy, &older, &newer, &silent].map(gone), [false, true, true, true]);
        assert!(start.elapsed() < POLL_INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn regression_several_were_evicted_for_one_connection_when_closing_took_time() {
        let mut slots = Slots::new(4);
        let closes_after = |(permit, link): (OwnedSemaphorePermit, Arc<Link>), time: Duration| {
            let kept = Arc::clone(&link);
            link.set_busy();
            link.set_idle();
            tokio::spawn(async move {
                link.evicted().await;
                sleep(time).await;
                drop((permit, link));
            });
            kept
        };
        let mut links = Vec::new();
        for time in [3, 20, 20, 0] {
            links.push(closes_after(slots.acquire().await, Duration::from_secs(time)));
            sleep(Duration::from_secs(1)).await;
        }
        let evicted = |links: &[Arc<Link>]| links.iter().filter(|link| link.is_evicted()).count();
        let start = Instant::now();
        let evict_first = slots.acquire().await;
        evict_first.1.set_busy();
        assert_eq!((start.elapsed().as_secs(), evicted(&links)), (3, 1));
        // One that does not close is not waited for.
        let second = slots.acquire().await;
        assert_eq!((start.elapsed().as_secs(), evicted(&links)), (13, 4));
        drop((evict_first, second));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_silent_clients_evicts_no_connection_that_sent_a_request() {
        let mut slots = Slots::new(8);
        let kept = serve(slots.acquire().await, true, false);
        sleep(Duration::from_secs(60)).await;
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(serve(slots.acquire().await, false, false));
            sleep(Duration::from_millis(1)).await;
        }
        assert!(!kept.is_evicted());
        // Oldest first.
        assert!(silent[..93].iter().all(|link| link.is_evicted()));
        assert!(silent[93..].iter().all(|link| !link.is_evicted()));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_busy_a_new_connection_waits_and_the_flag_is_set() {
        let mut slots = Slots::new(1);
        let full = slots.full();
        let (permit, link) = slots.acquire().await;
        link.set_busy();
        tokio::spawn(async move {
            sleep(Duration::from_secs(9)).await;
            drop(permit);
        });
        let (waiting, start) = (Arc::clone(&full), Instant::now());
        let seen = tokio::spawn(async move {
            sleep(Duration::from_secs(5)).await;
            waiting.load(Ordering::Relaxed)
        });
        let _slot = slots.acquire().await;
        assert_eq!(start.elapsed().as_secs(), 9);
        assert!(seen.await.unwrap() && !full.load(Ordering::Relaxed));
        assert!(!link.is_evicted());
    }
}
