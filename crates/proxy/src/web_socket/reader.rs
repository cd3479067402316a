//! Assembles the messages of one direction from frames.

use nightaudit_exchange::{CapturedBody, CapturedMessage, Digest, Direction, Timestamp};
use sha2::{Digest as _, Sha256};

use super::{
    frames::{Frames, Head, Invalid, Piece},
    inflate::{Extensions, Inflate, Undecodable},
};

/// Assembles messages.
pub(super) struct Reader {
    frames: Frames,
    messages: Messages,
}

struct Messages {
    direction: Direction,
    /// Bytes kept of a message.
    keep: usize,
    extensions: Extensions,
    inflate: Option<Inflate>,
    /// The data message in progress.
    data: Option<PartialMessage>,
    /// A control frame in progress, which may interleave with a message.
    control: Option<PartialMessage>,
}

impl Reader {
    pub(super) fn new(direction: Direction, keep: usize, extensions: &Extensions) -> Self {
        let no_context_takeover = if direction == Direction::Send {
            extensions.client_no_context_takeover
        } else {
            extensions.server_no_context_takeover
        };
        let messages = Messages {
            direction,
            keep,
            extensions: extensions.clone(),
            inflate: extensions.deflate.then(|| Inflate::new(no_context_takeover)),
            data: None,
            control: None,
        };
        Self { frames: Frames::new(), messages }
    }

    /// Parses more bytes and calls `done` with each complete message. Returns the number of unreadable bytes.
    pub(super) fn read(&mut self, bytes: &[u8], now: Timestamp, mut done: impl FnMut(CapturedMessage)) -> u64 {
        let Self { frames, messages } = self;
        if frames.is_invalid() {
            return bytes.len() as u64;
        }
        frames.read(bytes, |piece| messages.take(piece, now, &mut done))
    }

    /// Takes an incomplete message.
    pub(super) fn take_incomplete(&mut self, now: Timestamp) -> Option<CapturedMessage> {
        Some(self.messages.data.take()?.finish(self.messages.direction, now, false))
    }
}

impl Messages {
    fn take(
        &mut self,
        piece: Piece<'_>,
        now: Timestamp,
        done: &mut impl FnMut(CapturedMessage),
    ) -> Result<(), Invalid> {
        match piece {
            Piece::Head(head) => self.begin(head),
            Piece::Payload(payload) => {
                if let Some(control) = &mut self.control {
                    control.push(payload, self.keep);
                } else if let Some(data) = &mut self.data {
                    data.take(payload, self.keep, self.inflate.as_mut());
                }
                Ok(())
            }
            Piece::End => {
                if let Some(control) = self.control.take() {
                    done(control.finish(self.direction, now, true));
                } else if let Some(mut data) = self.data.take_if(|data| data.ends) {
                    if let Some(inflate) = self.inflate.as_mut().filter(|_| data.compressed)
                        && !data.end(self.keep, inflate)
                    {
                        self.inflate = None;
                    }
                    let complete = !data.undecodable;
                    done(data.finish(self.direction, now, complete));
                }
                Ok(())
            }
        }
    }

    fn begin(&mut self, head: Head) -> Result<(), Invalid> {
        if head.reserved != 0 && self.extensions.text.is_none() {
            return Err(Invalid);
        }
        if head.is_control() {
            self.control = Some(PartialMessage::new(head.opcode));
            return Ok(());
        }
        match (&mut self.data, head.opcode) {
            (Some(data), 0) => data.ends = head.last,
            (None, 1 | 2) => {
                let mut data = PartialMessage::new(head.opcode);
                data.ends = head.last;
                // RSV1 marks a compressed message.
                data.compressed = head.reserved & 4 != 0 && self.inflate.is_some();
                if head.reserved != 0 && !data.compressed {
                    data.coding = self.extensions.text.clone();
                }
                self.data = Some(data);
            }
            // A message within another, or a continuation without one.
            _ => return Err(Invalid),
        }
        Ok(())
    }
}

/// A message in progress.
struct PartialMessage {
    opcode: u8,
    kept: Vec<u8>,
    length: u64,
    hasher: Option<Sha256>,
    coding: Option<Box<str>>,
    compressed: bool,
    /// Whether the current frame is its last.
    ends: bool,
    /// Whether decompression failed.
    undecodable: bool,
}

impl PartialMessage {
    fn new(opcode: u8) -> Self {
        Self {
            opcode,
            kept: Vec::new(),
            length: 0,
            hasher: None,
            coding: None,
            compressed: false,
            ends: true,
            undecodable: false,
        }
    }

    fn take(&mut self, payload: &[u8], keep: usize, inflate: Option<&mut Inflate>) {
        match inflate {
            _ if !self.compressed => self.push(payload, keep),
            // Keeps what was decompressed before the error, and nothing after it.
            Some(inflate) if !self.undecodable => {
                self.undecodable = inflate.push(payload, |piece| self.push(piece, keep)).is_err();
            }
            _ => {}
        }
    }

    fn push(&mut self, piece: &[u8], keep: usize) {
        let room = keep - self.kept.len();
        if piece.len() > room && self.hasher.is_none() {
            self.hasher = Some(Sha256::new_with_prefix(&self.kept));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
        }
        self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
        self.length += piece.len() as u64;
    }

    /// Ends it. Returns whether later messages can be decompressed.
    fn end(&mut self, keep: usize, inflate: &mut Inflate) -> bool {
        let ended = if self.undecodable { Err(Undecodable) } else { inflate.end(|piece| self.push(piece, keep)) };
        self.undecodable = ended.is_err();
        ended == Ok(true)
    }

    fn finish(self, direction: Direction, time: Timestamp, complete: bool) -> CapturedMessage {
        let sha256 = self.hasher.map(|hasher| Digest(hasher.finalize().into()));
        let body = CapturedBody {
            kept: smallvec::smallvec![self.kept.into()],
            length: self.length,
            sha256,
            ..CapturedBody::default()
        };
        CapturedMessage { time, direction, opcode: self.opcode, body, coding: self.coding, complete }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(extensions: Option<&str>, bytes: &[u8]) -> (Vec<(u8, String, bool)>, u64) {
        let mut reader = Reader::new(Direction::Receive, 8, &Extensions::parse(extensions));
        let mut messages = Vec::new();
        let unreadable = reader.read(bytes, Timestamp::from_micros(0), |message| messages.push(message));
        messages.extend(reader.take_incomplete(Timestamp::from_micros(1)));
        let shown = |message: CapturedMessage| {
            let text = String::from_utf8_lossy(&message.body.kept.concat()).into_owned();
            let coding = message.coding.map(|coding| format!(" ({coding})")).unwrap_or_default();
            (message.opcode, format!("{text}/{}{coding}", message.body.length), message.complete)
        };
        (messages.into_iter().map(shown).collect(), unreadable)
    }

    fn text(text: &str, complete: bool) -> (u8, String, bool) {
        (1, text.to_owned(), complete)
    }

    #[test]
    fn fragments_are_assembled_and_control_frames_keep_their_position() {
        let (messages, _) = read(None, b"\x01\x02ab\x89\x01p\x00\x01c\x80\x02de\x81\x00\x01\x01x");
        let ping = (9, "p/1".to_owned(), true);
        assert_eq!(messages, [ping, text("abcde/5", true), text("/0", true), text("x/1", false)]);
    }

    #[test]
    fn a_long_message_is_truncated_and_hashed_as_a_whole() {
        let mut reader = Reader::new(Direction::Send, 4, &Extensions::default());
        let mut messages = Vec::new();
        reader.read(b"\x82\x06abcdef\x82\x04abcd", Timestamp::from_micros(0), |message| messages.push(message));
        assert_eq!((messages[0].body.kept.concat(), messages[0].body.length), (b"abcd".to_vec(), 6));
        assert_eq!(messages[0].body.sha256, Some(Digest::of(b"abcdef")));
        assert_eq!(messages[1].body.sha256, None);
    }

    #[test]
    fn frames_out_of_order_are_unreadable() {
        for bytes in [&b"\x80\x01a"[..], b"\x01\x01a\x81\x01b", b"\xc1\x01a"] {
            assert!(read(None, bytes).1 > 0, "{bytes:?}");
        }
    }

    #[test]
    fn an_undecompressible_message_is_truncated_and_later_ones_stay_compressed() {
        let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
        let mut bytes = [&b"\xc1\x07"[..], hello, b"\x81\x02ok", b"\xc1\x04\xff\xff\xff\xff\xc1\x07", hello].concat();
        bytes.extend(b"\x81\x02ok");
        let (messages, unreadable) = read(Some("permessage-deflate"), &bytes);
        assert_eq!(unreadable, 0);
        assert_eq!(messages[..3], [text("Hello/5", true), text("ok/2", true), text("/0", false)]);
        assert!(messages[3].1.ends_with("/7 (permessage-deflate)") && messages[3].2, "{messages:?}");
        assert_eq!(messages[4], text("ok/2", true));
        let (messages, _) = read(Some("x-other"), &[&b"\xc1\x07"[..], hello].concat());
        assert!(messages[0].1.ends_with("/7 (x-other)"));
    }
}
