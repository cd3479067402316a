//! Decompresses messages (RFC 7692, `permessage-deflate`).

use flate2::{Decompress, FlushDecompress, Status};

/// The longest decompressed message, in bytes; a longer one is a decompression bomb.
const MAX_MESSAGE: u64 = 64 << 20;
/// Stripped from the end of each message by the sender (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The extensions negotiated in `Sec-WebSocket-Extensions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    /// The header value of the response, if any.
    pub(super) text: Option<Box<str>>,
    /// Whether `permessage-deflate` is the only extension.
    pub(super) deflate: bool,
    /// `client_no_context_takeover`: the client compresses each message independently.
    pub(super) client_no_context_takeover: bool,
    /// `server_no_context_takeover`: the same for Mews.
    pub(super) server_no_context_takeover: bool,
}

impl Extensions {
    /// Parses the header of the response.
    pub(super) fn parse(header: Option<&str>) -> Self {
        const SHOWN: usize = 64;
        let Some(text) = header.map(str::trim).filter(|text| !text.is_empty()) else { return Self::default() };
        let mut words = text.split(';').map(str::trim);
        let deflate =
            !text.contains(',') && words.next().is_some_and(|name| name.eq_ignore_ascii_case("permessage-deflate"));
        let has = |name: &str| deflate && text.split(';').any(|word| word.trim().eq_ignore_ascii_case(name));
        Self {
            text: Some(text.chars().take(SHOWN).collect()),
            deflate,
            client_no_context_takeover: has("client_no_context_takeover"),
            server_no_context_takeover: has("server_no_context_takeover"),
        }
    }
}

/// Decompresses one direction, in some 43 KiB of memory.
pub(super) struct Inflate {
    decoder: Decompress,
    /// Whether each message is compressed independently.
    no_context_takeover: bool,
    out: Box<[u8; 8192]>,
    produced: u64,
    ended: bool,
}

/// Neither this message nor any after it can be decompressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

impl Inflate {
    pub(super) fn new(no_context_takeover: bool) -> Self {
        Self {
            decoder: Decompress::new(false),
            no_context_takeover,
            out: Box::new([0; 8192]),
            produced: 0,
            ended: false,
        }
    }

    /// Decompresses a chunk of a message, calling `each` with the output.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), Undecodable> {
        while !self.ended {
            let (read, produced) = (self.decoder.total_in(), self.decoder.total_out());
            let status = self.decoder.decompress(bytes, &mut self.out[..], FlushDecompress::Sync);
            let read = usize::try_from(self.decoder.total_in() - read).unwrap_or(bytes.len());
            let produced = usize::try_from(self.decoder.total_out() - produced).unwrap_or(0);
            each(&self.out[..produced]);
            self.produced += produced as u64;
            bytes = &bytes[read..];
            match status {
                _ if self.produced > MAX_MESSAGE => return Err(Undecodable),
                Err(_) => return Err(Undecodable),
                // A sender may end the stream with a message (RFC 7692, section 7.2.3.5).
                Ok(Status::StreamEnd) => self.ended = true,
                Ok(_) if produced == self.out.len() => {}
                Ok(_) if bytes.is_empty() => return Ok(()),
                Ok(_) if read == 0 && produced == 0 => return Err(Undecodable),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Ends a message. Returns whether later ones can be decompressed.
    pub(super) fn end(&mut self, each: impl FnMut(&[u8])) -> Result<bool, Undecodable> {
        if !self.ended {
            self.push(&TAIL, each)?;
        }
        self.produced = 0;
        // Ending the stream discards the window, which later messages may reference.
        let can_continue = self.no_context_takeover || !self.ended;
        if self.no_context_takeover {
            self.ended = false;
            self.decoder.reset(false);
        }
        Ok(can_continue)
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn compressed(compress: &mut Compress, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len() + 1024);
        compress.compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
        // Empty input may give no output; a sender then sends an empty block (RFC 7692, section 7.2.3.6).
        if out.is_empty() { vec![0] } else { out.strip_suffix(&TAIL).unwrap().to_vec() }
    }

    fn decompressed(inflate: &mut Inflate, bytes: &[u8]) -> Result<Vec<u8>, Undecodable> {
        let mut message = Vec::new();
        for piece in bytes.chunks(3) {
            inflate.push(piece, |piece| message.extend(piece))?;
        }
        inflate.end(|piece| message.extend(piece))?;
        Ok(message)
    }

    #[test]
    fn the_response_header_is_parsed() {
        assert_eq!(Extensions::parse(None), Extensions::default());
        let extensions =
            Extensions::parse(Some("permessage-deflate; Server_No_Context_Takeover; client_max_window_bits=15"));
        assert_eq!(
            (extensions.deflate, extensions.server_no_context_takeover, extensions.client_no_context_takeover),
            (true, true, false)
        );
        assert!(!Extensions::parse(Some("x-webkit-deflate-frame")).deflate);
        assert!(!Extensions::parse(Some("permessage-deflate, x-other")).deflate);
    }

    #[test]
    fn messages_are_decompressed_with_and_without_context_takeover() {
        let messages = [&b"reservation 1"[..], b"reservation 2", b"", b"reservation 2"];
        let mut compress = Compress::new(Compression::default(), false);
        let (mut with_context, mut without_context) = (Inflate::new(false), Inflate::new(true));
        for message in messages {
            assert_eq!(decompressed(&mut with_context, &compressed(&mut compress, message)).unwrap(), message);
            let alone = compressed(&mut Compress::new(Compression::default(), false), message);
            assert_eq!(decompressed(&mut without_context, &alone).unwrap(), message);
        }
    }

    #[test]
    fn garbage_and_bombs_are_rejected() {
        assert_eq!(decompressed(&mut Inflate::new(false), b"\xff\xff\xff\xff"), Err(Undecodable));
        let bomb = compressed(&mut Compress::new(Compression::best(), false), &vec![0; 65 << 20]);
        let (mut inflate, mut produced) = (Inflate::new(false), 0);
        assert_eq!(inflate.push(&bomb, |piece| produced += piece.len() as u64), Err(Undecodable));
        assert!(produced <= MAX_MESSAGE + 8192);
    }
}
