//! The encoder thread: redacts and encodes exchanges while the disk is busy with the previous batch.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, atomic::Ordering, mpsc},
    time::Duration,
};

use nightaudit_exchange::{Capture, Redactor, SessionId};
use nightaudit_log::SessionError;

use crate::{
    config::Durability,
    pipeline::{Completion, Report},
    records::{BlockBuilder, Records, SessionTail},
    shared::Shared,
    spare::SpareCaptures,
    writer::{Control, Job, Rescues},
};

/// Maximum number of exchanges in a batch.
const MAX_BATCH: usize = 1024;
/// The bytes of bodies above which a batch takes no further exchange.
const MAX_BATCH_BYTES: u64 = 4 << 20;
/// Larger exchanges, in bytes of bodies, are encoded only once the writer is idle: encoding and packing take several
/// times as much memory.
const LARGE: u64 = 1 << 20;
/// Maximum bytes of bodies of an exchange whose capture is used again: a larger one may hold large buffers.
const MAX_RETURNED: u64 = 8 << 10;
/// How long a batch is gathered under [`Durability::Batch`], so that not every request wakes the encoder.
const GATHER: Duration = Duration::from_millis(3);
/// How long a batch with waiters is gathered, about as long as a sync takes; only if at least [`MIN_GATHERED`]
/// exchanges came while the disk was busy and as many others are in flight.
const GATHER_SHORT: Duration = Duration::from_micros(250);
/// See [`GATHER_SHORT`].
const MIN_GATHERED: usize = 3;
/// Maximum number of batches on their way to the disk.
const MAX_IN_FLIGHT: usize = 2;
/// Maximum number of sessions, and session names, cached across batches.
const MAX_SESSIONS: usize = 256;
/// Maximum number of block buffers kept for reuse.
const MAX_SPARE: usize = 4;
/// How often the inbox is polled while waiting for the writer: rarely, so that senders don't wake the encoder each
/// time.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A message to the encoder.
pub(crate) enum Message {
    Record(Item),
    Control(Control),
    /// A control that the writer runs even while it retries.
    Rescue(Control),
    Close,
}

/// An exchange on its way into the log.
pub(crate) struct Item {
    pub(crate) capture: Box<Capture>,
    pub(crate) completion: Completion,
    /// Where the capture goes once it is encoded, if it is small.
    pub(crate) spare: Option<Arc<SpareCaptures>>,
}

/// The session name of an exchange; `None` for the current session.
type SessionName = Option<Arc<str>>;

pub(crate) struct Encoder {
    shared: Arc<Shared>,
    rescues: Arc<Rescues>,
    inbox: mpsc::Receiver<Message>,
    writer: mpsc::Sender<Job>,
    reports: mpsc::Receiver<Report>,
    redactor: Redactor,
    /// Messages taken from the inbox while waiting for the writer.
    backlog: VecDeque<Message>,
    /// Jobs other than records that the writer has not finished.
    in_flight: usize,
    /// Sessions as the writer resolved them. Only controls and failures change them; both clear the cache.
    sessions: HashMap<SessionName, SessionId>,
    open: BTreeMap<SessionId, BlockBuilder>,
    /// The count of deleted sessions when the cache was last valid.
    deletions: u64,
    /// Buffers of packed blocks, for reuse.
    spare: Vec<Vec<u8>>,
    batch: Batch,
    closing: bool,
}

/// Exchanges encoded but not committed.
#[derive(Default)]
struct Batch {
    completions: Vec<Completion>,
    bytes: u64,
    /// The number of full blocks.
    blocks: usize,
    /// How many of them found no session.
    dropped: usize,
    stamp: u64,
}

impl Encoder {
    pub(crate) fn new(
        shared: Arc<Shared>,
        rescues: Arc<Rescues>,
        inbox: mpsc::Receiver<Message>,
        writer: mpsc::Sender<Job>,
        reports: mpsc::Receiver<Report>,
        redactor: Redactor,
    ) -> Self {
        Self {
            shared,
            rescues,
            inbox,
            writer,
            reports,
            redactor,
            backlog: VecDeque::new(),
            in_flight: 0,
            sessions: HashMap::new(),
            open: BTreeMap::new(),
            deletions: 0,
            spare: Vec::new(),
            batch: Batch::default(),
            closing: false,
        }
    }

    /// Runs until the log is closed and the queue is empty. The writer ends when its channel closes.
    pub(crate) fn run(mut self) {
        while let Some(message) = self.next() {
            match message {
                Message::Record(item) => self.add(item),
                Message::Control(control) => self.forward(control, false),
                Message::Rescue(control) => self.forward(control, true),
                Message::Close => self.close(),
            }
        }
    }

    /// The next message; commits the batch whenever the queue is empty and the disk is idle.
    fn next(&mut self) -> Option<Message> {
        let next = self.wait();
        // Learn of dropped exchanges before encoding later ones.
        while let Ok(report) = self.reports.try_recv() {
            self.finish(report);
        }
        next
    }

    fn wait(&mut self) -> Option<Message> {
        let mut gathered = false;
        loop {
            while let Ok(report) = self.reports.try_recv() {
                self.finish(report);
            }
            // A full block can be written while the next one is encoded.
            let has_block = self.batch.blocks > 0 && self.in_flight == 0;
            if has_block || self.batch.completions.len() >= MAX_BATCH || self.batch.bytes > MAX_BATCH_BYTES {
                self.wait_for_in_flight(MAX_IN_FLIGHT - 1);
                self.commit();
            }
            if let Some(message) = self.backlog.pop_front().or_else(|| self.inbox.try_recv().ok()) {
                return Some(message);
            }
            if self.batch.completions.is_empty() {
                return if self.closing { None } else { self.inbox.recv().ok() };
            }
            if self.in_flight > 0 {
                self.wait_for_in_flight(self.in_flight - 1);
            } else if let Some(longest) = self.to_gather().filter(|_| !gathered) {
                std::thread::sleep(longest);
                gathered = true;
            } else {
                self.commit();
            }
        }
    }

    fn to_gather(&self) -> Option<Duration> {
        let gathered = self.batch.completions.len();
        gather_for(self.shared.durability, gathered, self.shared.permits_taken().saturating_sub(gathered))
    }

    fn close(&mut self) {
        self.closing = true;
        self.shared.close();
    }

    /// Encodes an exchange into the batch.
    fn add(&mut self, item: Item) {
        if item.completion.bytes >= LARGE {
            self.wait_for_in_flight(0);
        }
        if self.batch.completions.is_empty() {
            self.batch.stamp = self.shared.stamp();
        }
        let Item { mut capture, completion, spare } = item;
        self.batch.bytes += completion.bytes;
        let encoded = self.encode(&mut capture);
        match spare {
            Some(spare) if completion.bytes <= MAX_RETURNED => spare.put(capture),
            _ => drop(capture),
        }
        let was_small = completion.bytes < LARGE;
        self.batch.completions.push(completion);
        if let Some(records) = encoded {
            // Decoded, it may be far larger than it was on the wire.
            let grew = was_small && !records.tail.is_empty();
            self.batch.blocks += 1;
            self.send(Job::Records(records));
            if grew {
                self.commit();
                self.wait_for_in_flight(0);
            }
        }
    }

    /// Encodes a capture; returns the records once they fill a block.
    fn encode(&mut self, capture: &mut Capture) -> Option<Records> {
        if let Some(name) = &capture.session {
            let name = self.redactor.session_name(name, &capture.envelope);
            capture.session = Some(name.into());
        }
        let Some(session) = self.session_of(capture) else {
            self.batch.dropped += 1;
            return None;
        };
        let open = self.open.get_mut(&session)?;
        let (tail, followed) = (open.tail(), self.shared.ring.is_followed());
        let exchange = self.redactor.exchange(capture, session, &tail.name, tail.last + 1);
        open.add(exchange, self.batch.stamp, followed, &mut self.spare)
    }

    /// Hands the batch to the writer.
    fn commit(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if batch.completions.is_empty() {
            return;
        }
        let rest: Vec<_> = self.open.values_mut().filter_map(BlockBuilder::take).collect();
        for records in rest {
            self.send(Job::Records(records));
        }
        self.send(Job::Commit { completions: batch.completions, dropped: batch.dropped });
        // Any number of names may map to one session.
        if self.open.len().max(self.sessions.len()) > MAX_SESSIONS {
            self.forget();
        }
    }

    /// Runs a control, which may change sessions, on the writer and waits for it.
    fn forward(&mut self, control: Control, is_rescue: bool) {
        // Exchanges recorded before it come first.
        self.commit();
        self.backlog.push_front(if is_rescue { Message::Rescue(control) } else { Message::Control(control) });
        self.wait_for_in_flight(0);
        // It may have been refused because the disk fails.
        match self.backlog.pop_front() {
            Some(Message::Control(control) | Message::Rescue(control)) => {
                self.send(Job::Control(control));
                self.wait_for_in_flight(0);
                self.forget();
            }
            Some(other) => self.backlog.push_front(other),
            None => {}
        }
    }

    /// The session of a capture, started by the writer if necessary; `None` if that fails.
    fn session_of(&mut self, capture: &Capture) -> Option<SessionId> {
        let deletions = self.shared.deletions.load(Ordering::Acquire);
        if std::mem::replace(&mut self.deletions, deletions) != deletions {
            // A rescue may have deleted a session while the writer was retrying.
            self.forget();
        }
        let named = capture.session.clone().filter(|name| nightaudit_log::is_session_name(name));
        if let Some(session) = self.sessions.get(&named)
            && self.open.contains_key(session)
        {
            return Some(*session);
        }
        let (found, reached) = mpsc::sync_channel(1);
        self.send(Job::Find(named.clone(), found));
        self.wait_for_in_flight(0);
        let reached: SessionTail = reached.recv().ok()??;
        let session = reached.session;
        self.sessions.insert(named, session);
        // If another name maps to it, more may be encoded than the writer has.
        self.open.entry(session).or_insert_with(|| BlockBuilder::new(reached));
        Some(session)
    }

    fn send(&mut self, job: Job) {
        if !matches!(job, Job::Records(_)) {
            self.in_flight += 1;
        }
        if self.writer.send(job).is_err() {
            self.abandon();
        }
    }

    /// Waits until at most `at_most` jobs are in flight, queueing messages meanwhile.
    fn wait_for_in_flight(&mut self, at_most: usize) {
        while self.in_flight > at_most {
            self.fail_controls();
            match self.reports.recv_timeout(POLL_INTERVAL) {
                Ok(report) => self.finish(report),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    while let Ok(message) = self.inbox.try_recv() {
                        match message {
                            Message::Close => self.close(),
                            other => self.backlog.push_back(other),
                        }
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => self.abandon(),
            }
        }
    }

    /// Fails pending controls while the writer retries; rescues go through.
    fn fail_controls(&mut self) {
        let Some(failure) = self.shared.failure() else { return };
        for message in std::mem::take(&mut self.backlog) {
            match message {
                Message::Control(control) => control(Err(SessionError::Store(failure.clone()))),
                Message::Rescue(control) => self.rescues.add(control),
                other => self.backlog.push_back(other),
            }
        }
    }

    fn finish(&mut self, Report { whole, spare }: Report) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.spare.extend(spare);
        self.spare.truncate(MAX_SPARE);
        if !whole {
            self.forget();
        }
    }

    /// Clears the session cache. What is encoded of them follows dropped exchanges, and is dropped, too.
    fn forget(&mut self) {
        self.sessions.clear();
        for (_, mut open) in std::mem::take(&mut self.open) {
            if let Some(records) = open.take() {
                self.send(Job::Records(records));
            }
        }
    }

    /// The writer died unexpectedly; release all waiters.
    fn abandon(&mut self) {
        (self.in_flight, self.closing) = (0, true);
        self.shared.permits.close();
    }
}

/// How long to gather more exchanges before a sync, which takes as long for one as for many, given this many gathered
/// and this many other requests in flight.
fn gather_for(durability: Durability, gathered: usize, others: usize) -> Option<Duration> {
    match durability {
        Durability::Batch => Some(GATHER),
        Durability::Sync | Durability::Write => {
            (gathered >= MIN_GATHERED && others >= gathered).then_some(GATHER_SHORT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synced_batch_is_gathered_only_under_load() {
        for durability in [Durability::Sync, Durability::Write] {
            let gathers = |gathered, others| gather_for(durability, gathered, others).is_some();
            assert!(!gathers(1, 0) && !gathers(1, 500) && !gathers(MIN_GATHERED - 1, 500));
            assert!(!gathers(64, 0) && !gathers(64, 63));
            assert!(gathers(MIN_GATHERED, MIN_GATHERED) && gathers(64, 64));
        }
        assert_eq!(gather_for(Durability::Batch, 1, 0), Some(GATHER));
    }
}
