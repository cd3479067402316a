//! Tickets: how a command opens the page without its token on a command line.
//!
//! `nightaudit open` starts a browser with an address, and every user of the machine can read the arguments of a process.
//! So that address has a ticket instead of the token: it is good for a minute and for once, and on Linux only for the user
//! who runs the console. It is exchanged for the address with the token in its fragment. A file that redirects, which other
//! programs write for the purpose, can't be read by a browser in a sandbox (snap, flatpak) or on the other side of WSL.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq as _;

/// How long a ticket is good for.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);

/// Tickets at once; a further one replaces the oldest.
const MOST: usize = 16;

/// Random bytes in a ticket.
const BYTES: usize = 16;

/// The tickets that haven't been used.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<VecDeque<(String, Instant)>>);

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets(…)")
    }
}

impl Tickets {
    /// A new ticket.
    ///
    /// # Errors
    ///
    /// The system's random number generator failed.
    pub(crate) fn issue(&self, now: Instant) -> Result<String, getrandom::Error> {
        let mut random = [0; BYTES];
        getrandom::fill(&mut random)?;
        let ticket = BASE64_URL_SAFE_NO_PAD.encode(random);
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() == MOST {
            tickets.pop_front();
        }
        tickets.push_back((ticket.clone(), now));
        Ok(ticket)
    }

    /// Whether this is a ticket; it is none afterwards.
    pub(crate) fn take(&self, given: &str, now: Instant) -> bool {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.retain(|(_, issued)| now.saturating_duration_since(*issued) < LIFETIME);
        let found = tickets.iter().position(|(ticket, _)| ticket.as_bytes().ct_eq(given.as_bytes()).into());
        found.is_some_and(|place| tickets.remove(place).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_for_a_minute() {
        let tickets = Tickets::default();
        let start = Instant::now();
        let (first, second) = (tickets.issue(start).unwrap(), tickets.issue(start).unwrap());
        assert_ne!(first, second);
        assert!(!tickets.take("", start) && !tickets.take(&first[1..], start));
        assert!(tickets.take(&first, start));
        assert!(!tickets.take(&first, start));
        assert!(tickets.take(&second, start + LIFETIME - Duration::from_nanos(1)));
        let late = tickets.issue(start).unwrap();
        assert!(!tickets.take(&late, start + LIFETIME));
    }

    #[test]
    fn the_oldest_of_too_many_tickets_goes() {
        let tickets = Tickets::default();
        let start = Instant::now();
        let all: Vec<_> = (0..=MOST).map(|_| tickets.issue(start).unwrap()).collect();
        assert!(!tickets.take(&all[0], start));
        assert!(all[1..].iter().all(|ticket| tickets.take(ticket, start)));
    }
}
