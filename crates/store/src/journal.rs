//! The journal: requests in flight, each in a slot of a small file, so that a crash does not hide them. Specified in
//! `FORMAT.md`.

use std::{
    borrow::Cow,
    fs, io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use nightaudit_exchange::{
    Api, Body, CallDirection, Envelope, Exchange, ExchangeId, Failure, FailureKind, JournalEntry, Outcome, Pseudonym,
    Request, SessionId, TimesUs, Timestamp, WEBHOOK, Withheld,
};
use serde::Deserialize;

use crate::{
    disk::{Disk, DiskFile},
    private,
};

/// The size of a slot, in bytes.
const SLOT: usize = 1024;
/// The size of a slot's header, in bytes: a checksum and a length.
const HEAD: usize = 6;

/// The journal's file and free slots.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    slots: Mutex<Slots>,
    /// Where an entry is written before it goes to the file. Whoever finds it in use takes a buffer of their own.
    entry: Mutex<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Slots {
    free: Vec<u32>,
    used: u32,
}

/// The content of a slot, as [`JournalEntry::write`] writes it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Entry<'a> {
    pub(crate) id: ExchangeId,
    /// The session that the request named.
    pub(crate) session: Option<Cow<'a, str>>,
    environment: Cow<'a, str>,
    pub(crate) received: Timestamp,
    /// Microseconds from then until it was forwarded.
    #[serde(default)]
    forwarded_us: u64,
    method: Cow<'a, str>,
    url: Cow<'a, str>,
    #[serde(default)]
    direction: CallDirection,
    peer: std::net::SocketAddr,
    client: Option<Cow<'a, str>>,
    access_token: Option<Pseudonym>,
    client_token: Option<Pseudonym>,
    paginated: bool,
}

impl Journal {
    /// Creates an empty journal.
    pub(crate) fn create(disk: &dyn Disk, dir: &Path) -> io::Result<Self> {
        let path = path(dir);
        let file = disk.open(&path)?;
        file.set_len(0)?;
        Ok(Self { path, file, slots: Mutex::default(), entry: Mutex::default() })
    }

    /// Writes a request and returns its slot.
    pub(crate) fn begin(&self, started: &JournalEntry<'_>) -> io::Result<u32> {
        let (mut entry, mut own) = (self.entry.try_lock(), Vec::new());
        let bytes = entry.as_deref_mut().unwrap_or(&mut own);
        encode(started, bytes);
        let slot = {
            let mut slots = self.slots();
            // Reuse the slot released last: few are ever in use, and those stay in the cache.
            slots.free.pop().unwrap_or_else(|| {
                slots.used += 1;
                slots.used - 1
            })
        };
        match self.file.write_at(bytes, u64::from(slot) * SLOT as u64) {
            Ok(()) => Ok(slot),
            Err(error) => {
                self.free([slot]);
                Err(error)
            }
        }
    }

    /// Releases the slots of requests that are in the log. Their content is harmless: recovery finds their ids in the
    /// log.
    pub(crate) fn free(&self, slots: impl IntoIterator<Item = u32>) {
        self.slots().free.extend(slots);
    }

    /// Releases the slot of a request that will not be in the log.
    pub(crate) fn forget(&self, slot: u32) {
        // If it can't be wiped, a crash shows the request as interrupted, which is closer to the truth than nothing.
        let _ = self.wipe(slot);
        self.free([slot]);
    }

    /// Wipes the content of free slots, so that deleted exchanges don't come back as interrupted ones.
    pub(crate) fn wipe_free(&self) -> io::Result<()> {
        let free = std::mem::take(&mut self.slots().free);
        let wiped = free.iter().try_for_each(|slot| self.wipe(*slot));
        self.slots().free.extend(free);
        wiped
    }

    fn wipe(&self, slot: u32) -> io::Result<()> {
        self.file.write_at(&[0; HEAD], u64::from(slot) * SLOT as u64)
    }

    /// Whether the file is still where it was opened.
    pub(crate) fn is_there(&self) -> io::Result<bool> {
        self.file.is_at(&self.path)
    }

    /// Writes an empty slot, to see whether the journal can be written.
    pub(crate) fn probe(&self) -> io::Result<()> {
        let slot = {
            let mut slots = self.slots();
            slots.free.pop().unwrap_or_else(|| {
                slots.used += 1;
                slots.used - 1
            })
        };
        // As much as a request may take.
        let written = self.file.write_at(&[0; SLOT], u64::from(slot) * SLOT as u64);
        self.free([slot]);
        written
    }

    /// Truncates the journal if no request is in flight and every one is in the log. What is left shows as interrupted
    /// when the log is opened again.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let slots = self.slots();
        if slots.free.len() < slots.used as usize {
            return Ok(());
        }
        self.file.set_len(0)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("journal")
}

/// Replaces `bytes` with the content of a slot.
fn encode(started: &JournalEntry<'_>, bytes: &mut Vec<u8>) {
    for longest in [384, 64, 0] {
        bytes.clear();
        bytes.resize(HEAD, 0);
        started.write(longest, bytes);
        if bytes.len() <= SLOT {
            break;
        }
    }
    bytes.truncate(SLOT);
    let length = (bytes.len() - HEAD) as u16;
    bytes[4..HEAD].copy_from_slice(&length.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&sum.to_le_bytes());
}

/// Wipes these requests from a journal without an owner, so that deleted exchanges don't come back.
pub(crate) fn wipe(dir: &Path, is_deleted: impl Fn(ExchangeId) -> bool) -> io::Result<()> {
    let Some((file, bytes)) = contents(fs::OpenOptions::new().read(true).write(true), dir)? else { return Ok(()) };
    for (number, slot) in bytes.chunks(SLOT).enumerate() {
        if entry(slot).is_some_and(|entry| is_deleted(entry.id)) {
            file.write_all_at(&[0; HEAD], (number * SLOT) as u64)?;
        }
    }
    Ok(())
}

/// The requests in a journal; empty and damaged slots are skipped.
pub(crate) fn read(dir: &Path) -> io::Result<Vec<Entry<'static>>> {
    let bytes = contents(fs::OpenOptions::new().read(true), dir)?.map_or_else(Vec::new, |(_, bytes)| bytes);
    Ok(bytes.chunks(SLOT).filter_map(entry).collect())
}

/// A journal's file and what it has; `None` if there is none.
fn contents(options: &mut fs::OpenOptions, dir: &Path) -> io::Result<Option<(fs::File, Vec<u8>)>> {
    match private::open(options, &path(dir)) {
        Ok(file) => {
            // A journal has at most as many slots as the queue has permits; ignore the rest of a larger file.
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(&file, 256 << 20), &mut bytes)?;
            Ok(Some((file, bytes)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn entry(slot: &[u8]) -> Option<Entry<'static>> {
    let length = u16::from_le_bytes(slot.get(4..HEAD)?.try_into().ok()?);
    let text = slot.get(HEAD..HEAD + usize::from(length)).filter(|text| !text.is_empty())?;
    let sum = crc32c::crc32c(&slot[4..HEAD + usize::from(length)]);
    (slot[..4] == sum.to_le_bytes()).then(|| serde_json::from_slice(text).ok())?
}

impl Entry<'_> {
    /// The environment that the request was for.
    pub(crate) fn environment(&self) -> &str {
        &self.environment
    }

    /// The exchange that shows the request as interrupted.
    pub(crate) fn exchange(self, api: &Api, session: SessionId, session_name: &str) -> Exchange {
        let path = self.url.find("://").map_or(&self.url[..], |scheme| {
            let rest = &self.url[scheme + 3..];
            rest.find('/').map_or("/", |slash| &rest[slash..])
        });
        let (operation, receiver) = match self.direction {
            CallDirection::Outgoing => (api.operation_of(path).unwrap_or(path), api.name),
            CallDirection::Incoming => (WEBHOOK, "the integration"),
        };
        let operation = operation.to_owned();
        Exchange {
            id: self.id,
            session,
            session_name: session_name.into(),
            sequence: 0,
            environment: self.environment.into(),
            operation,
            started_at: self.received,
            times_us: TimesUs { forwarded: Some(self.forwarded_us), ..TimesUs::default() },
            peer: Some(self.peer),
            envelope: Envelope {
                client: self.client.map(Cow::into_owned),
                client_token: self.client_token,
                access_token: self.access_token,
                paginated: self.paginated,
            },
            request: Request {
                method: self.method.into(),
                url: self.url.into_owned(),
                http_version: Default::default(),
                headers: Vec::new(),
                body: Body::unrecorded(Withheld::Interrupted),
            },
            response: None,
            limit: None,
            outcome: Outcome::Interrupted,
            error: Some(Failure {
                kind: FailureKind::Interrupted,
                message: format!("the proxy ended while the request was in flight; it may have reached {receiver}"),
            }),
            web_socket: None,
            resent_from: None,
            destination: None,
            fault: None,
            direction: self.direction,
            alteration: None,
            recorded_by: None,
            notes: Vec::new(),
            previous_hash: None,
            hash: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = r#"([ -~]|["\\\x00-\x1f\x7f]|\PC){0,20}"#;

    proptest! {
        #[test]
        fn an_entry_is_read_as_it_was_written(
            texts in prop::collection::vec(TEXT, 6),
            path in "/[ -~]{0,2000}",
            micros in any::<u32>(),
            has in any::<[bool; 4]>(),
            token: Option<[u8; 6]>,
        ) {
            let started = JournalEntry {
                id: ExchangeId::from_parts(micros.into(), 7),
                session: has[0].then(|| texts[0].as_str().into()),
                environment: &texts[1],
                received: Timestamp::from_micros(micros.into()),
                forwarded: Duration::from_micros(micros.into()),
                method: &texts[2],
                direction: if has[1] { CallDirection::Incoming } else { CallDirection::Outgoing },
                origin: &texts[3],
                target: path.as_bytes().into(),
                peer: if has[1] { ([127, 0, 0, 1], 80).into() } else { ([0; 8], 81).into() },
                client: has[2].then(|| texts[4].as_str().into()),
                access_token: token.map(Pseudonym),
                client_token: None,
                paginated: has[3],
            };
            let mut slot = b"what was there before".to_vec();
            encode(&started, &mut slot);
            let read = entry(&slot).unwrap();
            let first = |text: &str, length| text.chars().take(length).collect::<String>();
            let url = format!("{}{}", texts[3], path.split('?').next().unwrap());
            prop_assert!(url.starts_with(&*read.url) && (read.url == url || read.url.chars().count() >= 64));
            let expected = Entry {
                id: started.id,
                session: started.session.clone(),
                environment: texts[1].as_str().into(),
                received: started.received,
                forwarded_us: micros.into(),
                method: first(&texts[2], 16).into(),
                url: read.url.clone(),
                direction: started.direction,
                peer: started.peer,
                client: started.client.clone(),
                access_token: started.access_token,
                client_token: None,
                paginated: started.paginated,
            };
            // Where the path has many escapes less of the client is kept, too.
            let client = read.client.as_ref().zip(expected.client.as_ref());
            prop_assert!(client.is_none_or(|(read, whole)| whole.starts_with(&**read)));
            prop_assert_eq!(Entry { client: read.client.clone(), ..expected }, read);
        }
    }
}
