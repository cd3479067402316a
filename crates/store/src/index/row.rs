//! An index row, and how it is derived from an exchange or a record's metadata.

use std::{
    borrow::Cow,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
};

use nightaudit_exchange::{Decision, Exchange, ExchangeId, Outcome, Pseudonym, TimesUs, Timestamp};
use serde::Deserialize;

/// An exchange without the parts that only its record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) sequence: u64,
    pub(crate) written: u64,
    pub(crate) id: ExchangeId,
    pub(crate) started: i64,
    /// Duration in microseconds.
    pub(crate) took: u64,
    /// A hash of the `Request-Id`; 0 if there is none.
    pub(crate) request_id: u64,
    pub(crate) access_token: Option<Pseudonym>,
    pub(crate) client_token: Option<Pseudonym>,
    /// An index into the chunk's operations.
    pub(crate) operation: u16,
    /// An index into the chunk's clients, counted from 1; 0 if there is none.
    pub(crate) client: u16,
    /// 0 if there is none.
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    pub(crate) delayed: bool,
    pub(crate) forwarded: bool,
    /// An index into the chunk's blocks.
    pub(crate) block: u16,
}

/// The size of a row in a stored chunk, in bytes.
pub(crate) const ROW: usize = 78;

impl Row {
    /// When it ended, in microseconds since the epoch.
    pub(crate) fn ended(&self) -> i64 {
        self.started.saturating_add_unsigned(self.took)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.sequence.to_le_bytes());
        out.extend(self.written.to_le_bytes());
        out.extend(self.id.to_bytes());
        out.extend(self.started.to_le_bytes());
        out.extend(self.took.to_le_bytes());
        out.extend(self.request_id.to_le_bytes());
        out.extend(self.access_token.map_or([0; 6], |token| token.0));
        out.extend(self.client_token.map_or([0; 6], |token| token.0));
        out.extend(self.operation.to_le_bytes());
        out.extend(self.client.to_le_bytes());
        out.extend(self.status.to_le_bytes());
        out.extend(self.block.to_le_bytes());
        out.push(Outcome::ALL.iter().position(|outcome| *outcome == self.outcome).unwrap_or(0) as u8);
        let flags = [self.access_token.is_some(), self.client_token.is_some(), self.delayed, self.forwarded];
        out.push(flags.iter().enumerate().map(|(bit, set)| u8::from(*set) << bit).sum());
    }

    pub(crate) fn read(bytes: &[u8; ROW]) -> Option<Self> {
        let eight = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let two = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let token = |at: usize, bit: u8| {
            (bytes[77] >> bit & 1 == 1).then(|| Pseudonym(bytes[at..at + 6].try_into().unwrap_or_default()))
        };
        Some(Self {
            sequence: eight(0),
            written: eight(8),
            id: ExchangeId::from_bytes(bytes[16..32].try_into().ok()?),
            started: eight(32).cast_signed(),
            took: eight(40),
            request_id: eight(48),
            access_token: token(56, 0),
            client_token: token(62, 1),
            operation: two(68),
            client: two(70),
            status: two(72),
            block: two(74),
            outcome: *Outcome::ALL.get(usize::from(bytes[76]))?,
            delayed: bytes[77] >> 2 & 1 == 1,
            forwarded: bytes[77] >> 3 & 1 == 1,
        })
    }
}

/// The hash of a `Request-Id` in the index; ignores case.
pub(crate) fn request_id_hash(request_id: &str) -> u64 {
    // The standard library's hasher with fixed keys is the same in every process of this version. The index stores the
    // version that created it, so a change of the hasher only triggers a rebuild.
    BuildHasherDefault::<DefaultHasher>::default().hash_one(request_id.to_ascii_lowercase()).max(1)
}

/// A row of an exchange being recorded, with its texts.
#[derive(Debug)]
pub(crate) struct NewRow {
    row: Row,
    operation: String,
    client: Option<String>,
}

impl NewRow {
    pub(crate) fn of(exchange: &Exchange, written: u64) -> Self {
        let row = Facts::of(exchange).row(exchange.sequence, written);
        Self { row, operation: exchange.operation.clone(), client: exchange.envelope.client.clone() }
    }

    pub(crate) fn from(exchange: Exchange, written: u64) -> Self {
        let row = Facts::of(&exchange).row(exchange.sequence, written);
        Self { row, operation: exchange.operation, client: exchange.envelope.client }
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.row.sequence
    }

    pub(crate) fn row(&self) -> Row {
        self.row
    }

    /// The texts, which a chunk stores once each.
    pub(crate) fn texts(&self) -> (&str, Option<&str>) {
        (&self.operation, self.client.as_deref())
    }
}

/// The parts of an exchange that the index needs.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Facts<'a> {
    pub(crate) id: ExchangeId,
    #[serde(borrow)]
    pub(crate) operation: Cow<'a, str>,
    pub(crate) started_at: Timestamp,
    times_us: TimesUs,
    #[serde(borrow)]
    pub(crate) envelope: EnvelopeFacts<'a>,
    #[serde(borrow)]
    response: Option<ResponseFacts<'a>>,
    limit: Option<LimitFacts>,
    outcome: Outcome,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvelopeFacts<'a> {
    #[serde(borrow)]
    pub(crate) client: Option<Cow<'a, str>>,
    client_token: Option<Pseudonym>,
    access_token: Option<Pseudonym>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseFacts<'a> {
    status: u16,
    #[serde(borrow)]
    request_id: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct LimitFacts {
    decision: Decision,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(exchange: &'a Exchange) -> Self {
        Self {
            id: exchange.id,
            operation: Cow::Borrowed(&exchange.operation),
            started_at: exchange.started_at,
            times_us: exchange.times_us,
            envelope: EnvelopeFacts {
                client: exchange.envelope.client.as_deref().map(Cow::Borrowed),
                client_token: exchange.envelope.client_token,
                access_token: exchange.envelope.access_token,
            },
            response: exchange.response.as_ref().map(|response| ResponseFacts {
                status: response.status,
                request_id: response.request_id.as_deref().map(Cow::Borrowed),
            }),
            limit: exchange.limit.as_ref().map(|limit| LimitFacts { decision: limit.decision }),
            outcome: exchange.outcome,
        }
    }

    /// Parses a record's metadata.
    pub(crate) fn parse(metadata: &'a [u8]) -> Result<Self, String> {
        let text = str::from_utf8(metadata).map_err(|error| error.to_string())?;
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The texts, which a chunk stores once each.
    pub(crate) fn texts(&self) -> (&str, Option<&str>) {
        (&self.operation, self.envelope.client.as_deref())
    }

    /// The row, without the indexes into its chunk's lists.
    pub(crate) fn row(&self, sequence: u64, written: u64) -> Row {
        let times = &self.times_us;
        let request_id = self.response.as_ref().and_then(|response| response.request_id.as_deref());
        Row {
            sequence,
            written,
            id: self.id,
            started: self.started_at.micros(),
            took: times.response_end.or(times.response_head).or(times.forwarded).unwrap_or(0),
            request_id: request_id.map_or(0, request_id_hash),
            access_token: self.envelope.access_token,
            client_token: self.envelope.client_token,
            operation: 0,
            client: 0,
            status: self.response.as_ref().map_or(0, |response| response.status),
            outcome: self.outcome,
            delayed: self.limit.as_ref().is_some_and(|limit| limit.decision == Decision::Delayed),
            forwarded: times.forwarded.is_some(),
            block: 0,
        }
    }
}
