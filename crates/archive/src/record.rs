//! An exchange as compressed bytes.
//!
//! Before compression, numbers little-endian: the version (1 byte), the hash of the exchange before (32 bytes), the lengths
//! of the metadata and of the request's body (4 bytes each), both, then for each message of a WebSocket its length and its
//! bytes, and the response's body to the end. In front of the compressed bytes, the length of what they unpack to.

use bytes::Bytes;
use nightaudit_exchange::{Digest, Exchange, chain};
use zstd::bulk::{Compressor, Decompressor};

const VERSION: u8 = 1;
/// As fast as the log's own, for records of a few KiB.
const LEVEL: i32 = 1;
/// Bytes that are kept for the next record.
const KEPT: usize = 64 << 10;
/// The largest record; bodies have at most 1 GiB, and messages few of them.
const LARGEST: usize = 3 << 30;

/// Encodes exchanges. Making the context of a compression costs more than compressing a small record with it.
#[derive(Default)]
pub(crate) struct Encoder {
    zstd: Option<Compressor<'static>>,
    raw: Vec<u8>,
}

impl Encoder {
    /// The bytes of an exchange that follows one with this hash. The error says why there are none.
    pub(crate) fn encode(&mut self, exchange: &Exchange, previous: Digest) -> Result<Vec<u8>, String> {
        // Before so much is copied.
        fits(exchange.bodies().map(|body| body.bytes.len() as u64).sum())?;
        let raw = &mut self.raw;
        raw.clear();
        // A large one before doesn't stay in memory.
        raw.shrink_to(KEPT);
        raw.push(VERSION);
        raw.extend(previous.0);
        raw.extend([0; 8]);
        chain::write_metadata(exchange, raw);
        let request = &exchange.request.body.bytes;
        let lengths = [raw.len() - HEADER, request.len()];
        for (index, length) in lengths.into_iter().enumerate() {
            raw[33 + 4 * index..37 + 4 * index].copy_from_slice(&short(length));
        }
        raw.extend(&request[..]);
        for message in exchange.web_socket.iter().flat_map(|part| &part.messages) {
            raw.extend(short(message.body.bytes.len()));
            raw.extend(&message.body.bytes[..]);
        }
        if let Some(response) = &exchange.response {
            raw.extend(&response.body.bytes[..]);
        }
        fits(raw.len() as u64)?;
        let failed = |error| format!("it can't be compressed: {error}");
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(Compressor::new(LEVEL).map_err(failed)?),
        };
        let packed = zstd.compress(raw).map_err(failed)?;
        let mut record = Vec::with_capacity(4 + packed.len());
        record.extend(short(raw.len()));
        record.extend(packed);
        Ok(record)
    }
}

fn fits(length: u64) -> Result<(), String> {
    match length <= LARGEST as u64 {
        true => Ok(()),
        false => Err(format!("it has {length} bytes, and the archive takes at most {LARGEST}")),
    }
}

const HEADER: usize = 1 + 32 + 4 + 4;

fn short(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

/// The length that a record claims to unpack to.
pub(crate) fn unpacked_length(record: &[u8]) -> usize {
    record.first_chunk::<4>().map_or(0, |length| u32::from_le_bytes(*length) as usize)
}

/// Decodes records one after the other. What decompresses them is made once, which costs as much as a small record.
#[derive(Default)]
pub(crate) struct Decoder(Option<Decompressor<'static>>);

impl Decoder {
    /// The exchange, with its hash as it follows from its bytes.
    pub(crate) fn decode(&mut self, record: &[u8]) -> Result<Exchange, String> {
        let (_, packed) = record.split_first_chunk::<4>().ok_or("it is truncated")?;
        let length = unpacked_length(record);
        if length > LARGEST {
            return Err(format!("it claims {length} bytes"));
        }
        let zstd = match &mut self.0 {
            Some(zstd) => zstd,
            none => none.insert(Decompressor::new().map_err(|error| error.to_string())?),
        };
        // Reserving what a wrong length claims is harmless: pages that nobody touches cost nothing, and the bound is above.
        let raw = zstd.decompress(packed, length).map_err(|error| error.to_string())?;
        unpacked(Bytes::from(raw))
    }
}

fn unpacked(raw: Bytes) -> Result<Exchange, String> {
    let cut = || "it is truncated".to_owned();
    let head: &[u8; HEADER] = raw.first_chunk().ok_or_else(cut)?;
    if head[0] != VERSION {
        return Err(format!("it is of version {}, which only a later version of this program reads", head[0]));
    }
    let previous = Digest(head[1..33].try_into().unwrap_or_default());
    let mut at = HEADER;
    let mut part = |length: [u8; 4]| {
        let start = at;
        at = start.checked_add(u32::from_le_bytes(length) as usize)?;
        (at <= raw.len()).then(|| raw.slice(start..at))
    };
    let lengths = head[33..].as_chunks::<4>().0;
    let metadata = part(lengths[0]).ok_or_else(cut)?;
    let request = part(lengths[1]).ok_or_else(cut)?;
    let mut exchange: Exchange = serde_json::from_slice(&metadata).map_err(|error| error.to_string())?;
    let digest = exchange.response.as_ref().map(|response| response.body.stored_digest());
    exchange.hash = Some(chain::link(previous, &metadata, exchange.request.body.stored_digest(), digest));
    exchange.previous_hash = Some(previous);
    exchange.request.body.bytes = request;
    for message in exchange.web_socket.iter_mut().flat_map(|part| &mut part.messages) {
        let start = at + 4;
        let length = raw.get(at..start).and_then(|bytes| bytes.first_chunk()).ok_or_else(cut)?;
        at = start.checked_add(u32::from_le_bytes(*length) as usize).filter(|end| *end <= raw.len()).ok_or_else(cut)?;
        message.body.bytes = raw.slice(start..at);
    }
    if let Some(response) = &mut exchange.response {
        response.body.bytes = raw.slice(at..);
    }
    Ok(exchange)
}

/// The exchange with the messages of a WebSocket that no record can hold; they share their bytes.
#[cfg(test)]
pub(crate) fn too_large(exchange: Exchange) -> Exchange {
    use nightaudit_exchange::{Body, Direction, Message, Omitted, WebSocket};

    let bytes = Bytes::from(vec![0; 64 << 20]);
    let message = Message {
        time: exchange.started_at,
        direction: Direction::Send,
        opcode: 2,
        body: Body { bytes, ..Body::empty() },
    };
    let web_socket = WebSocket {
        handshake: exchange.id,
        part: 1,
        messages: vec![message; 49],
        omitted: Omitted::default(),
        unreadable_bytes: 0,
        ended: true,
    };
    Exchange { web_socket: Some(web_socket), ..exchange }
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::{Body, Direction, Message, Omitted, Timestamp, WebSocket};
    use proptest::prelude::*;

    use super::*;

    fn encode(exchange: &Exchange, previous: Digest) -> Result<Vec<u8>, String> {
        Encoder::default().encode(exchange, previous)
    }

    fn decode(record: &[u8]) -> Result<Exchange, String> {
        Decoder::default().decode(record)
    }

    fn exchange(bodies: &[Vec<u8>]) -> Exchange {
        let mut exchange = nightaudit_log::testing::exchange(1, "a", 1);
        let body = |at: usize| Body::whole(Bytes::copy_from_slice(&bodies[at]));
        exchange.request.body = body(0);
        if let Some(response) = &mut exchange.response {
            response.body = body(1);
        }
        let message = |at: usize| Message {
            time: Timestamp::from_micros(0),
            direction: Direction::Send,
            opcode: 1,
            body: body(at),
        };
        exchange.web_socket = (bodies.len() > 2).then(|| WebSocket {
            handshake: exchange.id,
            part: 1,
            messages: (2..bodies.len()).map(message).collect(),
            omitted: Omitted::default(),
            unreadable_bytes: 0,
            ended: true,
        });
        exchange
    }

    #[test]
    fn what_was_encoded_before_makes_no_difference() {
        let all = [vec![b'x'; 300_000], b"{}".to_vec(), vec![0; 10]].map(|body| exchange(&[body, b"{}".to_vec()]));
        let mut encoder = Encoder::default();
        for exchange in &all {
            let record = encoder.encode(exchange, Digest::of(b"")).unwrap();
            assert_eq!(record, encode(exchange, Digest::of(b"")).unwrap());
        }
        assert!(encoder.raw.capacity() <= KEPT, "{}", encoder.raw.capacity());
    }

    #[test]
    fn what_is_too_large_is_an_error_before_it_is_copied() {
        let error = encode(&too_large(exchange(&[b"{}".to_vec(), b"{}".to_vec()])), Digest::of(b"")).unwrap_err();
        assert!(error.starts_with("it has 3288334") && error.ends_with("at most 3221225472"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_with_the_same_hash(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 2..5),
        ) {
            let exchange = exchange(&bodies);
            let previous = Digest::of(b"before");
            let record = encode(&exchange, previous).unwrap();
            // The one before leaves nothing behind, whether it can be decoded or not.
            let mut decoder = Decoder::default();
            prop_assert!(decoder.decode(&record[..record.len() - 1]).is_err());
            prop_assert!(decoder.decode(&record).is_ok());
            let decoded = decoder.decode(&record).unwrap();
            prop_assert_eq!(&decoded.request.body.bytes, &decode(&record).unwrap().request.body.bytes);
            prop_assert_eq!(decoded.hash, Some(chain::hash(previous, &exchange)));
            prop_assert_eq!(decoded.previous_hash, Some(previous));
            let kept: Vec<_> = decoded.bodies().map(|body| body.bytes.to_vec()).collect();
            let given: Vec<_> = exchange.bodies().map(|body| body.bytes.to_vec()).collect();
            prop_assert_eq!(kept, given);
        }

        #[test]
        fn damaged_bytes_are_an_error_or_another_exchange_and_never_a_panic(
            cut in 0usize..400, at in 0usize..400, with in any::<u8>(),
        ) {
            let mut record = encode(&exchange(&[b"{}".to_vec(), b"{}".to_vec()]), Digest::of(b"")).unwrap();
            let at = at % record.len();
            record[at] = with;
            record.truncate(record.len() - cut % record.len());
            let _ = decode(&record);
        }
    }
}
