//! Buffered input of which as much is held as the current entry needs.

use std::io::{self, BufRead, Read};

/// How much of what was consumed may stay in the buffer.
const SLACK: usize = 1 << 20;

/// Called with the bytes read so far, after decompression; an error ends the reading.
pub(crate) type Progress<'a> = dyn FnMut(u64) -> io::Result<()> + 'a;

/// A file, of which the part from the current position on is buffered as far as asked for.
pub(crate) struct Input<'a> {
    reader: Box<dyn BufRead + 'a>,
    buffer: Vec<u8>,
    at: usize,
    /// The position in the file of the buffer's first byte.
    base: u64,
    progress: Box<Progress<'a>>,
}

impl<'a> Input<'a> {
    pub(crate) fn new(reader: Box<dyn BufRead + 'a>, progress: Box<Progress<'a>>) -> Self {
        Self { reader, buffer: Vec::new(), at: 0, base: 0, progress }
    }

    /// What is buffered from the position on.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// The position in the file.
    pub(crate) fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Moves the position over buffered bytes.
    pub(crate) fn advance(&mut self, count: usize) {
        self.at = self.buffer.len().min(self.at.saturating_add(count));
    }

    /// Buffers more of the file; `false` at its end.
    pub(crate) fn more(&mut self) -> io::Result<bool> {
        if self.at == self.buffer.len() || self.at > SLACK {
            self.base += self.at as u64;
            self.buffer.drain(..self.at);
            self.at = 0;
            if self.buffer.is_empty() && self.buffer.capacity() > 16 * SLACK {
                // A large entry is behind.
                self.buffer = Vec::new();
            }
        }
        let chunk = loop {
            match self.reader.fill_buf() {
                Ok(chunk) => break chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let count = chunk.len();
        self.buffer.extend_from_slice(chunk);
        self.reader.consume(count);
        (self.progress)(self.base + self.buffer.len() as u64)?;
        Ok(count > 0)
    }

    /// Buffers at least so many bytes; `false` if the file ends before.
    pub(crate) fn require(&mut self, count: usize) -> io::Result<bool> {
        while self.buffered().len() < count {
            if !self.more()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next byte that isn't white space of JSON; the position is then at it.
    pub(crate) fn peek_token(&mut self) -> io::Result<Option<u8>> {
        loop {
            let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
            let blank = self.buffered().iter().take_while(space).count();
            self.advance(blank);
            match self.buffered().first().copied() {
                Some(byte) => return Ok(Some(byte)),
                None if !self.more()? => return Ok(None),
                None => {}
            }
        }
    }
}

/// For what reads it piece by piece.
impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        self.advance(length);
        Ok(length)
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.buffered().is_empty() {
            self.more()?;
        }
        Ok(self.buffered())
    }

    fn consume(&mut self, count: usize) {
        self.advance(count);
    }
}
