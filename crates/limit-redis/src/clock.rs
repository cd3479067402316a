//! This node's clock.

/// Nanoseconds since the machine was started. Setting the clock has no effect; time during which the machine was suspended
/// counts, since the host's windows went on meanwhile.
pub(crate) fn now() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(CLOCK);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// What of Redis' clock can be told from here: how far it has gone on at most since an earlier reply.
#[derive(Debug, Default)]
pub(crate) struct Horizon {
    last: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    generation: std::sync::Arc<str>,
    /// Microseconds of Redis' clock.
    redis: u64,
    /// When the request for it was made, and when its reply came.
    begun: u64,
    ended: u64,
}

/// A tolerance for clocks that are slewed, and run at slightly different rates.
const TOLERANCE: u64 = 10_000;

impl Horizon {
    /// Notes an instant of Redis' clock; returns by how many microseconds, at least, it jumped since the last one.
    pub(crate) fn note(&mut self, generation: &std::sync::Arc<str>, redis: u64, begun: u64, ended: u64) -> Option<i64> {
        let seen = Seen { generation: generation.clone(), redis, begun, ended };
        let Some(last) = self.last.as_mut().filter(|last| last.generation == *generation) else {
            self.last = Some(seen);
            return None;
        };
        let most = (ended.saturating_sub(last.begun)) / 1000;
        let most = most + most / 1000 + TOLERANCE;
        let jump = if redis > last.redis + most {
            i64::try_from(redis - last.redis - most).ok()
        } else if begun >= last.ended && redis + TOLERANCE < last.redis {
            i64::try_from(last.redis - redis).ok().map(|back| -back)
        } else {
            None
        };
        if redis >= last.redis || jump.is_some() {
            *last = seen;
        }
        jump
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_jump_is_told_from_a_delay() {
        let (mut horizon, one): (_, std::sync::Arc<str>) = (Horizon::default(), "one".into());
        // At 100 ms, and again at 200 ms with a reply that took half a second.
        assert_eq!(horizon.note(&one, 1_000_000, 100 * MS, 101 * MS), None);
        assert_eq!(horizon.note(&one, 1_600_000, 200 * MS, 700 * MS), None);
        // A reply that was overtaken.
        assert_eq!(horizon.note(&one, 1_200_000, 150 * MS, 710 * MS), None);
        // An hour ahead, and back.
        assert!(horizon.note(&one, 3_601_700_000, 800 * MS, 801 * MS).is_some_and(|by| by > 3_599_000_000));
        assert!(horizon.note(&one, 1_800_000, 900 * MS, 901 * MS).is_some_and(|by| by < -3_599_000_000));
        assert_eq!(horizon.note(&one, 1_900_000, 1000 * MS, 1001 * MS), None);
        // Another Redis has another clock.
        assert_eq!(horizon.note(&"two".into(), 99_000_000, 1100 * MS, 1101 * MS), None);
    }
}
