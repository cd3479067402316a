//! Reads the exchanges of a bundle.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

use crate::{
    bundle::names,
    verify::{Container, VerifyError},
};

/// A bundle opened for reading. Nothing is verified beyond what reading needs: [`verify`](crate::verify()) does that.
pub struct Bundle(Container);

impl Bundle {
    /// Opens a bundle.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] if it is none, or can't be read.
    pub fn open(file: File) -> Result<Self, VerifyError> {
        let container = Container::open(file)?;
        if !container.has(names::EXCHANGES) {
            return Err(VerifyError::NotABundle(format!("it has no {}", names::EXCHANGES)));
        }
        Ok(Self(container))
    }

    /// Its exchanges, as NDJSON.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn exchanges(&mut self) -> io::Result<impl BufRead> {
        Ok(BufReader::with_capacity(256 << 10, self.0.read(names::EXCHANGES)?))
    }
}
