//! How many connections may be open at once, and which one goes when one more comes.

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

/// A client that has said nothing for so long after it connected goes before all that have said something.
const SILENT: Duration = Duration::from_millis(100);

/// How often to look whether one of the connections has become idle.
const AGAIN: Duration = Duration::from_millis(100);

/// How long an evicted connection may take to part before another one is evicted for the same newcomer.
const PARTING: Duration = Duration::from_secs(5);

/// How often it is said that slots are used up.
const SAID: Duration = Duration::from_secs(60);

/// The slots of a server's connections.
#[derive(Debug)]
pub(crate) struct Slots {
    most: usize,
    free: Arc<Semaphore>,
    links: Vec<Arc<Link>>,
    /// Whether a client waits, and all connections are busy.
    full: Arc<AtomicBool>,
    said: Option<Instant>,
}

impl Slots {
    pub(crate) fn new(most: usize) -> Self {
        let free = Arc::new(Semaphore::new(most));
        Self { most, free, links: Vec::new(), full: Arc::default(), said: None }
    }

    /// Tells whether a client waits for a slot though no connection is idle.
    pub(crate) fn full(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.full)
    }

    /// Waits for a slot for a connection that was accepted. Where all are taken the longest idle connection is ended.
    pub(crate) async fn take(&mut self) -> (OwnedSemaphorePermit, Arc<Link>) {
        // When a connection was evicted for this newcomer.
        let mut evicted: Option<Instant> = None;
        loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                self.full.store(false, Ordering::Relaxed);
                if self.links.len() >= 2 * self.most {
                    self.forget();
                }
                let link = Link::new();
                self.links.push(Arc::clone(&link));
                return (permit, link);
            }
            self.forget();
            match self.longest_idle() {
                // One that is parting leaves its slot to this newcomer.
                _ if evicted.is_some_and(|evicted| evicted.elapsed() < PARTING) => {}
                Some(link) => {
                    link.evict();
                    evicted = Some(Instant::now());
                    self.say();
                }
                None => self.full.store(true, Ordering::Relaxed),
            }
            drop(timeout(AGAIN, self.free.acquire()).await);
        }
    }

    /// Forgets connections that have ended, and those that were upgraded and hold no slot any more.
    fn forget(&mut self) {
        self.links.retain(|link| Arc::strong_count(link) > 1 && !link.is_upgraded());
    }

    fn longest_idle(&self) -> Option<&Arc<Link>> {
        let now = Instant::now();
        let idle = self.links.iter().filter(|link| !link.is_evicted());
        let idle: Vec<_> =
            idle.filter_map(|link| link.idle_since().map(|(since, spoken)| (link, now - since, spoken))).collect();
        // A flood is of clients that have not had the time to be silent for long.
        let flooded = idle.iter().filter(|(.., spoken)| !spoken).count() > self.most / 8;
        let first = |idle: Duration, spoken: bool| !spoken && (flooded || idle >= SILENT);
        idle.into_iter().max_by_key(|(_, idle, spoken)| (first(*idle, *spoken), *idle)).map(|(link, ..)| link)
    }

    fn say(&mut self) {
        if self.said.is_none_or(|said| said.elapsed() >= SAID) {
            self.said = Some(Instant::now());
            tracing::warn!("all {} connections are used up: the longest idle ones are closed", self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// A connection that ends when it is evicted.
    fn serve((permit, link): (OwnedSemaphorePermit, Arc<Link>), spoken: bool, busy: bool) -> Arc<Link> {
        let kept = Arc::clone(&link);
        if spoken {
            link.busy();
            if !busy {
                link.rest();
            }
        }
        tokio::spawn(async move {
            link.evicted().await;
            drop(permit);
        });
        kept
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_goes_first_a_silent_one_before_it_and_a_busy_one_never() {
        let mut slots = Slots::new(4);
        let busy = serve(slots.take().await, true, true);
        sleep(Duration::from_secs(1)).await;
        let older = serve(slots.take().await, true, false);
        sleep(Duration::from_secs(1)).await;
        let newer = serve(slots.take().await, true, false);
        sleep(Duration::from_secs(1)).await;
        let silent = serve(slots.take().await, false, false);
        sleep(Duration::from_secs(1)).await;
        let gone = |link: &Arc<Link>| link.is_evicted();

        let start = Instant::now();
        let _first = serve(slots.take().await, true, true);
        assert_eq!([&busy, &older, &newer, &silent].map(gone), [false, false, false, true]);
        let _second = serve(slots.take().await, true, true);
        assert_eq!([&busy, &older, &newer, &silent].map(gone), [false, true, false, true]);
        let _third = serve(slots.take().await, true, true);
        assert_eq!([&busy, &older, &newer, &silent].map(gone), [false, true, true, true]);
        assert!(start.elapsed() < AGAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn regression_several_were_evicted_for_one_newcomer_where_parting_takes_its_time() {
        let mut slots = Slots::new(4);
        let parts_after = |(permit, link): (OwnedSemaphorePermit, Arc<Link>), time: Duration| {
            let kept = Arc::clone(&link);
            link.busy();
            link.rest();
            tokio::spawn(async move {
                link.evicted().await;
                sleep(time).await;
                drop((permit, link));
            });
            kept
        };
        let mut links = Vec::new();
        for time in [3, 20, 20, 0] {
            links.push(parts_after(slots.take().await, Duration::from_secs(time)));
            sleep(Duration::from_secs(1)).await;
        }
        let evicted = |links: &[Arc<Link>]| links.iter().filter(|link| link.is_evicted()).count();
        let start = Instant::now();
        let first = slots.take().await;
        first.1.busy();
        assert_eq!((start.elapsed().as_secs(), evicted(&links)), (3, 1));
        // One that doesn't part at all is not waited for.
        let second = slots.take().await;
        assert_eq!((start.elapsed().as_secs(), evicted(&links)), (13, 4));
        drop((first, second));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_clients_that_say_nothing_ends_no_connection_that_has_said_something() {
        let mut slots = Slots::new(8);
        let kept = serve(slots.take().await, true, false);
        sleep(Duration::from_secs(60)).await;
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(serve(slots.take().await, false, false));
            sleep(Duration::from_millis(1)).await;
        }
        assert!(!kept.is_evicted());
        // The oldest of them first.
        assert!(silent[..93].iter().all(|link| link.is_evicted()));
        assert!(silent[93..].iter().all(|link| !link.is_evicted()));
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_busy_a_newcomer_waits_and_it_is_told_that_one_does() {
        let mut slots = Slots::new(1);
        let full = slots.full();
        let (permit, link) = slots.take().await;
        link.busy();
        tokio::spawn(async move {
            sleep(Duration::from_secs(9)).await;
            drop(permit);
        });
        let (waiting, start) = (Arc::clone(&full), Instant::now());
        let seen = tokio::spawn(async move {
            sleep(Duration::from_secs(5)).await;
            waiting.load(Ordering::Relaxed)
        });
        let _slot = slots.take().await;
        assert_eq!(start.elapsed().as_secs(), 9);
        assert!(seen.await.unwrap() && !full.load(Ordering::Relaxed));
        assert!(!link.is_evicted());
    }
}
