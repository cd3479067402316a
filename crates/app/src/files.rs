//! The limit of open files, and how many connections fit into it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Reserved for the console's connections, the log, and short-lived files.
pub(crate) const KEPT: u64 = 320;

/// Concurrent connections on each of the console's ports.
pub(crate) const CONSOLE: usize = 128;

/// The most that is requested: some systems report limits of 10^9.
const MOST: u64 = 1 << 20;

/// The maximum on macOS when it reports no limit.
const USUAL: u64 = 10_240;

/// The limit of open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Files {
    /// At the start of the process.
    pub(crate) before: u64,
    /// Now.
    pub(crate) now: u64,
}

impl Files {
    /// Raises the soft limit towards the hard limit, as far as the system permits.
    pub(crate) fn raise() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let before = limit.current.unwrap_or(MOST);
        let wanted = limit.maximum.unwrap_or(MOST).min(MOST);
        for next in [wanted, wanted.min(USUAL)] {
            let raised = Rlimit { current: Some(next), maximum: limit.maximum };
            if next > before && setrlimit(Resource::Nofile, raised).is_ok() {
                return Self { before, now: next };
            }
        }
        Self { before, now: before }
    }

    /// Reduces the numbers of client connections, WebSockets and upstream connections to what fits. A WebSocket takes one
    /// file on each side.
    pub(crate) fn fit(&self, connections: usize, websockets: usize, upstream: usize) -> (usize, usize, usize) {
        let room = usize::try_from(self.now.saturating_sub(KEPT).max(self.now / 4)).unwrap_or(usize::MAX);
        let wanted = connections.saturating_add(websockets.saturating_mul(2)).saturating_add(upstream);
        if wanted <= room {
            return (connections, websockets, upstream);
        }
        let share = |count: usize| count as f64 / wanted as f64 * room as f64;
        let websockets = websockets.min(share(websockets) as usize).max(1);
        let upstream = upstream.min(share(upstream).ceil() as usize).max(1);
        let left = room.saturating_sub(2 * websockets).saturating_sub(upstream);
        (connections.min(left).max(1), websockets, upstream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_have_what_the_console_and_the_log_leave() {
        let fit =
            |now, connections, websockets, upstream| Files { before: 1, now }.fit(connections, websockets, upstream);
        assert_eq!(fit(1 << 20, 4096, 1024, 4096), (4096, 1024, 4096));
        assert_eq!(fit(2 * 5120 + KEPT, 4096, 1024, 4096), (4096, 1024, 4096));
        assert_eq!(fit(1024, 4096, 1024, 4096), (282, 70, 282));
        assert_eq!(fit(1024, 100, 100, 100), (100, 100, 100));
        assert_eq!(fit(1024, 400, 50, 200), (400, 50, 200));
        assert_eq!(fit(256, 4096, 1024, 4096), (26, 6, 26));
        assert_eq!(fit(0, 4096, 1024, 4096), (1, 1, 1));
        assert_eq!(fit(1 << 20, usize::MAX, usize::MAX, usize::MAX).0, 1);
    }

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        let files = Files::raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, Some(files.now));
        assert!(files.now >= files.before && files.now >= limit.maximum.unwrap_or(MOST).min(USUAL));
    }
}
