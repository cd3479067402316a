//! Compressed messages undone (RFC 7692, `permessage-deflate`).

use flate2::{Decompress, FlushDecompress, Status};

/// The most that is made of one message, in bytes; one that grows larger is a bomb.
const MOST: u64 = 64 << 20;
/// What a sender takes off each message's end (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// What both sides agreed on in `Sec-WebSocket-Extensions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Agreed {
    /// The extensions as they stand in the answer; none where there are none.
    pub(super) text: Option<Box<str>>,
    /// Whether `permessage-deflate`, and nothing else, is among them.
    pub(super) deflate: bool,
    /// Whether the integration compresses each message for itself.
    pub(super) client_forgets: bool,
    /// Whether Mews does.
    pub(super) server_forgets: bool,
}

impl Agreed {
    /// Reads the answer's field.
    pub(super) fn read(field: Option<&str>) -> Self {
        const SHOWN: usize = 64;
        let Some(text) = field.map(str::trim).filter(|text| !text.is_empty()) else { return Self::default() };
        let mut words = text.split(';').map(str::trim);
        let deflate =
            !text.contains(',') && words.next().is_some_and(|name| name.eq_ignore_ascii_case("permessage-deflate"));
        let has = |name: &str| deflate && text.split(';').any(|word| word.trim().eq_ignore_ascii_case(name));
        Self {
            text: Some(text.chars().take(SHOWN).collect()),
            deflate,
            client_forgets: has("client_no_context_takeover"),
            server_forgets: has("server_no_context_takeover"),
        }
    }
}

/// Undoes the compression of one direction: some 43 KiB, whatever comes.
pub(super) struct Inflate {
    decoder: Decompress,
    /// Whether each message is compressed for itself.
    forgets: bool,
    out: Box<[u8; 8192]>,
    made: u64,
    ended: bool,
}

/// It can't be undone, nor can any message after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

impl Inflate {
    pub(super) fn new(forgets: bool) -> Self {
        Self { decoder: Decompress::new(false), forgets, out: Box::new([0; 8192]), made: 0, ended: false }
    }

    /// Undoes a piece of a message, and calls `each` with what comes of it.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), Undecodable> {
        while !self.ended {
            let (read, made) = (self.decoder.total_in(), self.decoder.total_out());
            let status = self.decoder.decompress(bytes, &mut self.out[..], FlushDecompress::Sync);
            let read = usize::try_from(self.decoder.total_in() - read).unwrap_or(bytes.len());
            let made = usize::try_from(self.decoder.total_out() - made).unwrap_or(0);
            each(&self.out[..made]);
            self.made += made as u64;
            bytes = &bytes[read..];
            match status {
                _ if self.made > MOST => return Err(Undecodable),
                Err(_) => return Err(Undecodable),
                // A sender may end the stream with a message (RFC 7692, section 7.2.3.5).
                Ok(Status::StreamEnd) => self.ended = true,
                Ok(_) if made == self.out.len() => {}
                Ok(_) if bytes.is_empty() => return Ok(()),
                Ok(_) if read == 0 && made == 0 => return Err(Undecodable),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Ends a message. Whether those after it can be undone, too.
    pub(super) fn end(&mut self, each: impl FnMut(&[u8])) -> Result<bool, Undecodable> {
        if !self.ended {
            self.push(&TAIL, each)?;
        }
        self.made = 0;
        // The decoder's stream takes its window along when it ends, but later messages may lean on that.
        let goes_on = self.forgets || !self.ended;
        if self.forgets {
            self.ended = false;
            self.decoder.reset(false);
        }
        Ok(goes_on)
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn compressed(compress: &mut Compress, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len() + 1024);
        compress.compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
        // Of no bytes there may be no output; then a sender says so with an empty block (RFC 7692, section 7.2.3.6).
        if out.is_empty() { vec![0] } else { out.strip_suffix(&TAIL).unwrap().to_vec() }
    }

    fn undone(inflate: &mut Inflate, bytes: &[u8]) -> Result<Vec<u8>, Undecodable> {
        let mut message = Vec::new();
        for piece in bytes.chunks(3) {
            inflate.push(piece, |piece| message.extend(piece))?;
        }
        inflate.end(|piece| message.extend(piece))?;
        Ok(message)
    }

    #[test]
    fn the_answer_says_what_was_agreed() {
        assert_eq!(Agreed::read(None), Agreed::default());
        let agreed = Agreed::read(Some("permessage-deflate; Server_No_Context_Takeover; client_max_window_bits=15"));
        assert_eq!((agreed.deflate, agreed.server_forgets, agreed.client_forgets), (true, true, false));
        assert!(!Agreed::read(Some("x-webkit-deflate-frame")).deflate);
        assert!(!Agreed::read(Some("permessage-deflate, x-other")).deflate);
    }

    #[test]
    fn messages_lean_on_those_before_them_or_stand_for_themselves() {
        let messages = [&b"reservation 1"[..], b"reservation 2", b"", b"reservation 2"];
        let mut compress = Compress::new(Compression::default(), false);
        let (mut leaning, mut forgetful) = (Inflate::new(false), Inflate::new(true));
        for message in messages {
            assert_eq!(undone(&mut leaning, &compressed(&mut compress, message)).unwrap(), message);
            let alone = compressed(&mut Compress::new(Compression::default(), false), message);
            assert_eq!(undone(&mut forgetful, &alone).unwrap(), message);
        }
    }

    #[test]
    fn garbage_and_bombs_end_it() {
        assert_eq!(undone(&mut Inflate::new(false), b"\xff\xff\xff\xff"), Err(Undecodable));
        let bomb = compressed(&mut Compress::new(Compression::best(), false), &vec![0; 65 << 20]);
        let (mut inflate, mut made) = (Inflate::new(false), 0);
        assert_eq!(inflate.push(&bomb, |piece| made += piece.len() as u64), Err(Undecodable));
        assert!(made <= MOST + 8192);
    }
}
