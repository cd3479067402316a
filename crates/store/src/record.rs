//! A record: one exchange as bytes in a block. Specified in `FORMAT.md`.

use std::ops::Range;

use bytes::Bytes;
use nightaudit_exchange::{
    Digest, Exchange, WebSocket,
    chain::{self, Link},
};

/// The version of the records written.
const VERSION: u8 = 1;
/// The offset in a record of the previous exchange's hash.
const PREVIOUS: usize = 1 + 8 + 8;
/// The offset in a record of the three lengths.
const LENGTHS: usize = PREVIOUS + 32;
/// The size of a record's header, in bytes.
const HEADER: usize = LENGTHS + 4 + 4 + 4;

/// A record's location in its block, and what is known without parsing its metadata.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) sequence: u64,
    /// The log's stamp of the batch it was written in; see [`Position`](crate::Position).
    pub(crate) written: u64,
    pub(crate) previous: Digest,
    /// Its hash up to the metadata; `None` unless computed in advance.
    link: Option<Link>,
    metadata: Range<usize>,
    request: Range<usize>,
    response: Range<usize>,
}

/// A record not yet chained to the previous one, with zeros for its hash.
#[derive(Debug)]
pub(crate) struct Unchained {
    /// The offsets in the block of the record's start and of its metadata's end.
    start: usize,
    metadata_end: usize,
    request: Digest,
    response: Option<Digest>,
}

impl Unchained {
    /// Chains the record to the one with this hash, and returns its own.
    pub(crate) fn chain(&self, previous: Digest, block: &mut [u8]) -> Digest {
        block[self.start + PREVIOUS..self.start + LENGTHS].copy_from_slice(&previous.0);
        let metadata = &block[self.start + HEADER..self.metadata_end];
        chain::link(previous, metadata, self.request, self.response)
    }
}

/// Appends an exchange to a block.
///
/// The exchange's own hashes are ignored.
pub(crate) fn encode(exchange: &Exchange, written: u64, block: &mut Vec<u8>) -> Unchained {
    let (unchained, messages) = encode_head(exchange, written, block);
    let request = &exchange.request.body.bytes;
    let response = exchange.response.as_ref().map_or(&[][..], |response| &response.body.bytes);
    // Reserve once, or a block of many bodies is moved repeatedly as it grows.
    block.reserve(request.len() + messages.len() + response.len());
    block.extend(&request[..]);
    block.extend(&messages);
    block.extend(response);
    unchained
}

/// As [`encode`], but the bodies are returned to be appended instead of being copied into the block.
pub(crate) fn encode_apart(exchange: &Exchange, written: u64, block: &mut Vec<u8>) -> (Unchained, [Bytes; 3]) {
    let (unchained, messages) = encode_head(exchange, written, block);
    let response = exchange.response.as_ref().map(|response| response.body.bytes.clone());
    (unchained, [exchange.request.body.bytes.clone(), messages.into(), response.unwrap_or_default()])
}

/// Appends everything but the bodies, and returns the messages of a WebSocket.
fn encode_head(exchange: &Exchange, written: u64, block: &mut Vec<u8>) -> (Unchained, Vec<u8>) {
    let start = block.len();
    block.push(VERSION);
    block.extend(exchange.sequence.to_le_bytes());
    block.extend(written.to_le_bytes());
    block.extend([0; HEADER - PREVIOUS]);
    chain::write_metadata(exchange, block);
    let request = &exchange.request.body;
    let response = exchange.response.as_ref().map(|response| &response.body);
    let metadata_end = block.len();
    let unchained = Unchained {
        start,
        metadata_end,
        request: request.stored_digest(),
        response: response.map(nightaudit_exchange::Body::stored_digest),
    };
    let messages = exchange.web_socket.as_ref().map(join).unwrap_or_default();
    let response = response.map_or(0, |body| body.bytes.len());
    let lengths = [metadata_end - start - HEADER, request.bytes.len(), messages.len() + response];
    for (index, length) in lengths.into_iter().enumerate() {
        let at = start + LENGTHS + 4 * index;
        block[at..at + 4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    }
    (unchained, messages)
}

/// The records of an unpacked block; the error says what is wrong with it.
pub(crate) fn split(block: &[u8], count: u32, first: u64) -> Result<Vec<Record>, String> {
    // Every record takes at least its header, which bounds what a wrong count makes us reserve.
    let mut records = Vec::with_capacity((count as usize).min(block.len() / HEADER));
    let mut at = 0;
    while at < block.len() {
        let record = one(block, at).ok_or_else(|| format!("the record at byte {at} of the block is truncated"))?;
        if block[at] != VERSION {
            return Err(format!("a record of version {}, which only a later version of this program reads", block[at]));
        }
        let expected = records.last().map_or(first, |last: &Record| last.sequence.saturating_add(1));
        if record.sequence < expected || (records.is_empty() && record.sequence != first) {
            return Err(format!("record {} where {expected} was expected", record.sequence));
        }
        at = record.response.end;
        records.push(record);
    }
    if records.len() != count as usize {
        return Err(format!("{} records instead of {count}", records.len()));
    }
    Ok(records)
}

fn one(block: &[u8], at: usize) -> Option<Record> {
    let head: &[u8; HEADER] = block.get(at..at.checked_add(HEADER)?)?.try_into().ok()?;
    let number = |from: usize| u64::from_le_bytes(head[from..from + 8].try_into().unwrap_or_default());
    let mut end = at + HEADER;
    let mut part = |from: usize| {
        let length = u32::from_le_bytes(head[from..from + 4].try_into().ok()?);
        let start = end;
        end = end.checked_add(usize::try_from(length).ok()?)?;
        (end <= block.len()).then_some(start..end)
    };
    let (metadata, request, response) = (part(LENGTHS)?, part(LENGTHS + 4)?, part(LENGTHS + 8)?);
    let previous = Digest(head[17..49].try_into().ok()?);
    Some(Record { sequence: number(1), written: number(9), previous, link: None, metadata, request, response })
}

/// The payloads of a WebSocket's messages, each prefixed by its length.
fn join(web_socket: &WebSocket) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(web_socket.messages.iter().map(|message| 4 + message.body.bytes.len()).sum());
    for message in &web_socket.messages {
        bytes.extend(u32::try_from(message.body.bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(&message.body.bytes);
    }
    bytes
}

/// Restores the payload of each message, and returns their total length; `None` if bytes are missing.
fn split_messages(web_socket: &mut WebSocket, bytes: &Bytes) -> Option<usize> {
    let mut at = 0;
    for message in &mut web_socket.messages {
        let start = at + 4;
        let length = u32::from_le_bytes(bytes.get(at..start)?.try_into().ok()?);
        at = start.checked_add(usize::try_from(length).ok()?).filter(|end| *end <= bytes.len())?;
        message.body.bytes = bytes.slice(start..at);
    }
    Some(at)
}

impl Record {
    /// The bytes of the metadata.
    pub(crate) fn metadata<'a>(&self, block: &'a [u8]) -> &'a [u8] {
        &block[self.metadata.clone()]
    }

    /// Computes the hash up to the metadata, so that reading the exchange takes less time.
    pub(crate) fn begin_hash(&mut self, block: &[u8]) {
        self.link = Some(Link::begin(self.previous, self.metadata(block)));
    }

    /// The exchange, its bodies as slices of the block.
    pub(crate) fn exchange(&self, block: &Bytes) -> Result<Exchange, String> {
        let metadata = self.metadata(block);
        let unreadable =
            |error: &dyn std::fmt::Display| format!("the metadata of record {} can't be read: {error}", self.sequence);
        // Validate UTF-8 once, not string by string.
        let text = str::from_utf8(metadata).map_err(|error| unreadable(&error))?;
        let mut exchange: Exchange = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
        if exchange.sequence != self.sequence {
            return Err(format!("record {} holds exchange {}", self.sequence, exchange.sequence));
        }
        let digest = exchange.response.as_ref().map(|response| response.body.stored_digest());
        let link = self.link.clone().unwrap_or_else(|| Link::begin(self.previous, metadata));
        exchange.hash = Some(link.finish(exchange.request.body.stored_digest(), digest));
        exchange.previous_hash = Some(self.previous);
        exchange.request.body.bytes = block.slice(self.request.clone());
        let mut range = self.response.clone();
        if let Some(web_socket) = &mut exchange.web_socket {
            let length = split_messages(web_socket, &block.slice(range.clone()))
                .ok_or_else(|| format!("the messages of record {} are truncated", self.sequence))?;
            range.start += length;
        }
        if let Some(response) = &mut exchange.response {
            response.body.bytes = block.slice(range);
        }
        Ok(exchange)
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::{Direction, Message, Omitted, Response, SessionId, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn exchange(sequence: u64, body: &[u8]) -> Exchange {
        let mut exchange = Exchange { response: None, ..nightaudit_log::testing::exchange(1, "a", sequence) };
        exchange.request.body = nightaudit_exchange::Body::whole(Bytes::copy_from_slice(body));
        exchange
    }

    fn block(bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<Digest>) {
        let (mut raw, mut hashes) = (Vec::new(), vec![chain::genesis(SessionId::from_parts(1, 1))]);
        for (sequence, body) in (1..).zip(bodies) {
            let unchained = encode(&exchange(sequence, body), 7, &mut raw);
            hashes.push(unchained.chain(hashes[hashes.len() - 1], &mut raw));
        }
        (raw, hashes)
    }

    #[test]
    fn bodies_encoded_apart_complete_the_record() {
        let mut exchange = exchange(3, b"the request");
        let body = |bytes: &'static [u8]| nightaudit_exchange::Body::whole(Bytes::from_static(bytes));
        let message = |opcode, bytes| Message {
            time: Timestamp::from_micros(0),
            direction: Direction::Send,
            opcode,
            body: body(bytes),
        };
        exchange.response = Some(Response {
            status: 101,
            http_version: "HTTP/1.1".into(),
            reason: None,
            headers: Vec::new(),
            request_id: None,
            body: body(b"the response"),
        });
        exchange.web_socket = Some(WebSocket {
            handshake: exchange.id,
            part: 1,
            messages: vec![message(1, b"one"), message(2, b"another")],
            omitted: Omitted::default(),
            unreadable_bytes: 0,
            ended: true,
        });
        let (mut whole, mut head) = (Vec::new(), Vec::new());
        encode(&exchange, 7, &mut whole);
        let (_, rest) = encode_apart(&exchange, 7, &mut head);
        assert_eq!(rest.concat(), b"the request\x03\0\0\0one\x07\0\0\0anotherthe response");
        assert_eq!([&head, &rest.concat()[..]].concat(), whole);
    }

    fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..5)
    }

    proptest! {
        #[test]
        fn records_round_trip_with_their_hashes(bodies in bodies()) {
            let (raw, hashes) = block(&bodies);
            let raw = Bytes::from(raw);
            let records = split(&raw, bodies.len() as u32, 1).unwrap();
            for (index, record) in records.iter().enumerate() {
                let read = record.exchange(&raw).unwrap();
                prop_assert_eq!(&read.request.body.bytes[..], &bodies[index][..]);
                prop_assert_eq!((read.previous_hash, read.hash), (Some(hashes[index]), Some(hashes[index + 1])));
            }
        }

        #[test]
        fn wrong_bytes_never_panic_or_pass_for_an_exchange_with_the_right_hash(
            bodies in bodies(), at: prop::sample::Index, flip in 1..=255_u8, cut: Option<prop::sample::Index>,
        ) {
            let (mut raw, hashes) = block(&bodies);
            let (original, at) = (raw.clone(), at.index(raw.len()));
            raw[at] ^= flip;
            if let Some(cut) = cut {
                raw.truncate(cut.index(raw.len()));
            }
            let raw = Bytes::from(raw);
            let Ok(records) = split(&raw, bodies.len() as u32, 1) else { return Ok(()) };
            for (index, record) in records.iter().enumerate() {
                let Ok(read) = record.exchange(&raw) else { continue };
                let whole = Digest::of(&read.request.body.bytes) == read.request.body.stored_digest();
                if whole && read.hash == Some(hashes[index + 1]) && record.previous == hashes[index] {
                    // The hash covers everything but the stamp and the lengths.
                    let honest = split(&original, bodies.len() as u32, 1).unwrap();
                    prop_assert_eq!(&honest[index].exchange(&Bytes::from(original.clone())).unwrap(), &read);
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(raw in prop::collection::vec(any::<u8>(), 0..400), count in 0..9_u32, first in 0..3_u64) {
            let raw = Bytes::from(raw);
            for record in split(&raw, count, first).unwrap_or_default() {
                let _ = record.exchange(&raw);
            }
        }
    }
}
