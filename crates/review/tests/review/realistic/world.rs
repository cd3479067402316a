//! What happens at a property while an integration runs, from a seed.

use crate::common::{Call, call, events::webhook};
use nightaudit_exchange::{FailureKind, Outcome};

pub(crate) const MINUTE: f64 = 60.0;
pub(crate) const HOUR: f64 = 3600.0;

/// How long each session is, in hours.
pub(crate) const HOURS: u32 = 50;

/// Makes the calls of one integration at one property. Its time goes on as calls are made; what is made is put in order
/// at the end.
pub(crate) struct World {
    state: u64,
    pub(crate) client: &'static str,
    pub(crate) token: String,
    pub(crate) at: f64,
    pub(crate) calls: Vec<Call>,
    /// How the integration meets a failure that isn't its own.
    pub(crate) patience: Patience,
}

/// How failures are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Exponential back-off with chance in it; `Retry-After` is heeded.
    Grows,
    /// The same pause each time.
    Fixed,
    /// It isn't tried again.
    GivesUp,
}

impl World {
    pub(crate) fn new(seed: u64, client: &'static str) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            client,
            token: format!("property-{seed}"),
            at: 0.0,
            calls: Vec::new(),
            patience: Patience::Grows,
        }
    }

    fn next(&mut self) -> u64 {
        // Xorshift, by Marsaglia.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// From 0 to 1.
    pub(crate) fn chance(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.chance()
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }

    /// An id as Mews gives them.
    pub(crate) fn id(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        let hex = format!("{high:016x}{low:016x}");
        format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }

    pub(crate) fn ids(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.id()).collect()
    }

    /// The instants at which something happens in each hour: few at night, more in the rush of the morning and the
    /// afternoon, each by chance.
    pub(crate) fn happenings(&mut self, by_day: u32) -> Vec<f64> {
        let mut times = Vec::new();
        for hour in 0..HOURS {
            // The session begins at 8 in the morning.
            let count = match (8 + hour) % 24 {
                0..=5 => u32::from(self.one_in(3)),
                7..=10 | 14..=18 => by_day,
                _ => by_day.div_ceil(2),
            };
            for _ in 0..count {
                // The last minutes of an hour are kept for what goes wrong.
                let at = self.between(0.0, 54.0 * MINUTE);
                times.push(f64::from(hour) * HOUR + at);
            }
        }
        times.sort_by(f64::total_cmp);
        times
    }

    /// A time of the session as Mews writes it, so many seconds after the start.
    pub(crate) fn utc(at: f64) -> String {
        let micros = crate::common::START + (at as i64) * 1_000_000;
        nightaudit_exchange::Timestamp::from_micros(micros).to_string().get(..19).unwrap_or_default().to_owned() + "Z"
    }

    /// An interval of times.
    pub(crate) fn interval(from: f64, until: f64) -> String {
        format!(r#"{{"StartUtc":"{}","EndUtc":"{}"}}"#, Self::utc(from), Self::utc(until))
    }

    /// A call that is made now, and takes as long as it takes.
    fn made(&mut self, operation: &str, fields: &str) -> Call {
        let took = self.between(40.0, 700.0) as u64;
        let token = self.token.clone();
        call(self.at, operation, "").sender(Some(self.client), "client", Some(&token), fields).took(took)
    }

    /// Puts a call in, and lets its time pass.
    fn put(&mut self, call: Call) {
        self.at += (call.0.times_us.response_end.unwrap_or(0) as f64) / 1e6 + 0.02;
        self.calls.push(call);
    }

    /// A webhook about these entities, which the integration accepts in so many milliseconds; it acts on it then.
    pub(crate) fn told(&mut self, event: &str, ids: &[String], took: u64) {
        let events: Vec<(&str, &str)> = ids.iter().map(|id| (event, &**id)).collect();
        self.calls.push(webhook(self.at, &events).took(took));
        self.at += self.between(0.2, 20.0);
    }

    /// Calls an operation, with what goes wrong now and then at Mews.
    pub(crate) fn ask(&mut self, operation: &str, fields: &str) {
        self.answered(operation, fields, "{}");
    }

    /// Calls an operation that answers this.
    pub(crate) fn answered(&mut self, operation: &str, fields: &str, body: &str) {
        if self.one_in(250) {
            let failures = if self.one_in(2) { 1 } else { 4 };
            self.fail(operation, fields, failures, |call| call.fails(503, "The service is unavailable."));
            if self.patience == Patience::GivesUp {
                return;
            }
        }
        let call = self.made(operation, fields).answer(200, body);
        self.put(call);
    }

    /// Calls an operation that Mews fails at four times.
    pub(crate) fn fails_at_mews(&mut self, operation: &str, fields: &str) {
        self.fail(operation, fields, 4, |call| call.fails(503, "The service is unavailable."));
        if self.patience != Patience::GivesUp {
            let good = self.made(operation, fields);
            self.put(good);
        }
    }

    /// Failures of Mews, and the pauses after them.
    fn fail(&mut self, operation: &str, fields: &str, times: u32, failure: impl Fn(Call) -> Call) {
        for attempt in 0..times {
            let call = self.made(operation, fields);
            self.put(failure(call));
            self.at += match self.patience {
                Patience::Grows => f64::from(1 << attempt) * self.between(0.9, 1.3),
                Patience::Fixed => 5.0,
                Patience::GivesUp => break,
            };
        }
    }

    /// Calls an operation that is refused.
    pub(crate) fn refused(&mut self, operation: &str, fields: &str, status: u16, message: &str) {
        let call = self.made(operation, fields).fails(status, message);
        self.put(call);
    }

    /// Reads a list of so many items to its end, in pages.
    pub(crate) fn list(&mut self, operation: &str, fields: &str, count: usize, total: usize) {
        self.pages(operation, fields, count, total, usize::MAX);
    }

    /// Reads so many pages of a list.
    pub(crate) fn pages(&mut self, operation: &str, fields: &str, count: usize, total: usize, most: usize) {
        let (mut cursor, mut left) = (String::new(), total);
        for _ in 0..most {
            let items = left.min(count);
            let page = if cursor.is_empty() { String::new() } else { format!(",\"Cursor\":\"{cursor}\"") };
            let comma = if fields.is_empty() { "" } else { "," };
            let body = format!("{fields}{comma}\"Limitation\":{{\"Count\":{count}{page}}}");
            let ids = self.ids(items);
            cursor = ids.last().cloned().unwrap_or_default();
            self.answered(operation, &body, &listed(operation, &ids));
            left -= items;
            if items < count {
                return;
            }
        }
    }

    /// What goes wrong once in a run, in the last minutes of an hour, and is met as it should be.
    pub(crate) fn misfortunes(&mut self) {
        let reservations = "reservations/getAll/2023-06-06";
        // The limit: several workers have a request under way, and all of them wait.
        let ids = self.ids(24);
        let asked: Vec<String> = ids
            .chunks(4)
            .map(|ids| format!("\"ReservationIds\":{},\"Limitation\":{{\"Count\":100}}", array(ids)))
            .collect();
        let at = 5.0 * HOUR + 55.0 * MINUTE;
        for (worker, fields) in asked.iter().enumerate() {
            self.at = at + worker as f64 * 0.004;
            let refused = self.made(reservations, fields).took(90 + 40 * worker as u64).too_many(Some(3));
            self.put(refused);
            self.at = at + 3.6 + worker as f64 * 0.3;
            let good = self.made(reservations, fields);
            self.put(good);
        }
        // The network: the host can't be reached for a while.
        self.at = 20.0 * HOUR + 55.0 * MINUTE;
        let fields = format!("\"ReservationIds\":{},\"Limitation\":{{\"Count\":100}}", array(&self.ids(2)));
        self.fail(reservations, &fields, 3, |call| call.without_answer(Outcome::Failed, FailureKind::Connect));
        let good = self.made(reservations, &fields);
        self.put(good);
        // A question that got no answer in time, and comes again.
        self.at = 27.0 * HOUR + 55.0 * MINUTE;
        let fields = format!("\"ReservationIds\":{},\"Limitation\":{{\"Count\":100}}", array(&self.ids(2)));
        self.fail(reservations, &fields, 1, |call| call.without_answer(Outcome::Failed, FailureKind::ResponseTimeout));
        let good = self.made(reservations, &fields);
        self.put(good);
        // Several events tell of the same reservation, and it is read after each.
        self.at = 29.0 * HOUR + 55.0 * MINUTE;
        for _ in 0..3 {
            self.answered(reservations, &fields, "{}");
            self.at += 4.0;
        }
        // Somebody opens the address in a browser, and a page asks before it sends.
        for (method, operation) in [("GET", "/"), ("GET", "/favicon.ico"), ("OPTIONS", "customers/getAll")] {
            let mut call = self.made(operation, "").fails(404, "Not found.");
            call.0.request.method = method.into();
            call.0.request.body.bytes = bytes::Bytes::new();
            call.0.envelope = nightaudit_exchange::Envelope::default();
            self.put(call);
        }
        // Mews is down for some seconds.
        self.at = 33.0 * HOUR + 55.0 * MINUTE;
        let fields = format!("\"ReservationIds\":{},\"Limitation\":{{\"Count\":100}}", array(&self.ids(3)));
        self.fail(reservations, &fields, 4, |call| call.fails(500, "An error occurred."));
        let good = self.made(reservations, &fields);
        self.put(good);
    }
}

/// Ids as JSON.
pub(crate) fn array(ids: &[String]) -> String {
    format!("[\"{}\"]", ids.join("\",\""))
}

/// What Mews answers to a question for a list.
fn listed(operation: &str, ids: &[String]) -> String {
    let resource = operation.split('/').next().unwrap_or_default();
    let name = format!("{}{}", resource[..1].to_uppercase(), &resource[1..]);
    let cursor = ids.last().map_or_else(|| "null".to_owned(), |id| format!("\"{id}\""));
    let items: Vec<String> = ids.iter().map(|id| format!("{{\"Id\":\"{id}\",\"IsActive\":true}}")).collect();
    format!("{{\"{name}\":[{}],\"Cursor\":{cursor}}}", items.join(","))
}
