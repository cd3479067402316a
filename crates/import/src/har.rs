//! HTTP Archives, entry by entry.
//!
//! A HAR is one JSON object, of which only the entry being read is held: the end of each is found without parsing, so that
//! damage to one is damage to no other. What a file lacks that the standard requires is absent, not an error, as long as
//! there is a method, a URL and a time.

mod convert;
mod entry;
mod facts;
mod lax;
pub(crate) mod scan;

use std::io;

use serde::Deserialize;

use self::{
    convert::Rejected,
    lax::Text,
    scan::{Endless, Scanner, skip_value, value_length},
};
use crate::{
    Error, Place,
    error::{Damage, Failed},
    foreign::Call,
    input::Input,
};

/// The longest entry, in bytes: two bodies of 64 MiB in base64.
const MAX_ENTRY: usize = 192 << 20;
/// How many bytes are searched in vain, in all, before the rest of a damaged file is given up.
const MAX_WASTED: u64 = 4 << 30;
/// The longest name of a property, and description of the creator, in bytes.
const MAX_SMALL: usize = 64 << 10;

/// What an entry is.
#[derive(Debug)]
pub(crate) enum Read {
    Call(Box<Call>),
    /// A request that isn't HTTP.
    NotHttp,
}

/// The entries of a HAR.
#[derive(Debug)]
pub(crate) struct Har {
    /// The next entry's index.
    index: u64,
    /// The tool's name and version.
    pub(crate) creator: Option<(String, String)>,
    /// The property with which the file's entries begin.
    first_key: Option<Vec<u8>>,
    ended: bool,
    /// Bytes that were searched in vain for the ends of damaged entries.
    wasted: u64,
}

#[derive(Debug, Default, Deserialize)]
struct Creator {
    #[serde(default)]
    name: Text,
    #[serde(default)]
    version: Text,
}

impl Har {
    /// Finds `log.entries`.
    pub(crate) fn open(input: &mut Input<'_>) -> Result<Self, Error> {
        let mut har = Self { index: 0, creator: None, first_key: None, ended: false, wasted: 0 };
        if input.require(3)? && input.buffered().starts_with(b"\xef\xbb\xbf") {
            input.advance(3);
        }
        if input.peek_token()? != Some(b'{') {
            return Err(Error::NotHar("it is no object"));
        }
        input.advance(1);
        let mut in_log = false;
        while let Some(name) = next_name(input)? {
            match (in_log, name.as_str()) {
                (false, "log") => {
                    if input.peek_token()? != Some(b'{') {
                        return Err(Error::NotHar("`log` is no object"));
                    }
                    input.advance(1);
                    in_log = true;
                }
                (true, "entries") => {
                    if input.peek_token()? != Some(b'[') {
                        return Err(Error::NotHar("`log.entries` is no array"));
                    }
                    input.advance(1);
                    return Ok(har);
                }
                (true, "creator") => har.read_creator(input)?,
                _ => skip_value(input).map_err(cut_off)?,
            }
        }
        Err(Error::NotHar("it has no `log.entries`"))
    }

    fn read_creator(&mut self, input: &mut Input<'_>) -> Result<(), Error> {
        match value_length(input, MAX_SMALL) {
            Ok(length) => {
                let creator: Creator = serde_json::from_slice(&input.buffered()[..length]).unwrap_or_default();
                self.creator = Some((creator.name.0.unwrap_or_default(), creator.version.0.unwrap_or_default()));
                input.advance(length);
                Ok(())
            }
            Err(Endless::TooLong) => skip_value(input).map_err(cut_off),
            Err(error) => Err(cut_off(error)),
        }
    }

    /// The next entry, and its place.
    pub(crate) fn next(&mut self, input: &mut Input<'_>) -> Option<Result<Read, Failed>> {
        if self.ended {
            return None;
        }
        match self.read(input) {
            Ok(None) => {
                self.ended = true;
                None
            }
            Ok(Some(read)) => Some(Ok(read)),
            Err(failed) => Some(Err(failed)),
        }
    }

    fn read(&mut self, input: &mut Input<'_>) -> Result<Option<Read>, Failed> {
        let mut next = input.peek_token()?;
        if next == Some(b',') {
            input.advance(1);
            next = input.peek_token()?;
        }
        if next == Some(b']') {
            return Ok(None);
        }
        let place = Place::Entry(self.index);
        let offset = input.position();
        let damage = |reason: String| Failed::Damage(Damage { place, offset, reason });
        self.index += 1;
        let length = match (next, value_length(input, MAX_ENTRY)) {
            (_, Err(Endless::Io(error))) => return Err(error.into()),
            (Some(b'{'), Ok(length)) => length,
            (None, _) => {
                self.ended = true;
                return Err(damage("the file ends before `log.entries` does".to_owned()));
            }
            (_, Err(Endless::Ended)) => {
                self.ended = !self.find_entry(input)?;
                return Err(damage("the file ends within it".to_owned()));
            }
            (_, Err(Endless::TooLong)) => {
                self.ended = !self.find_entry(input)?;
                return Err(damage(format!("it is longer than {MAX_ENTRY} bytes")));
            }
            (Some(_), Ok(_)) => {
                self.ended = !self.find_entry(input)?;
                return Err(damage("it is no object".to_owned()));
            }
        };
        let entry = &input.buffered()[..length];
        match serde_json::from_slice::<entry::Entry>(entry) {
            Ok(read) => {
                if self.first_key.is_none() {
                    self.first_key = first_key(entry).map(<[u8]>::to_vec);
                }
                input.advance(length);
                match convert::call(read) {
                    Ok(call) => Ok(Some(Read::Call(Box::new(call)))),
                    Err(Rejected::OtherScheme) => Ok(Some(Read::NotHttp)),
                    Err(Rejected::Damaged(reason)) => Err(damage(reason)),
                }
            }
            Err(error) => {
                // What isn't JSON may have ended elsewhere than it seems.
                match error.is_data() {
                    true => input.advance(length),
                    false => self.ended = !self.find_entry(input)?,
                }
                Err(damage(format!("{error} of the entry")))
            }
        }
    }

    /// Moves the position to the next entry behind the damaged one; `false` if there is none.
    ///
    /// Entries are told by the property that they begin with. In a text it would have escaped quotes.
    fn find_entry(&mut self, input: &mut Input<'_>) -> io::Result<bool> {
        const KNOWN: [&[u8]; 6] =
            [b"startedDateTime", b"pageref", b"_initiator", b"_connectionId", b"_fromCache", b"_priority"];
        /// How far the property may be from the brace.
        const REACH: usize = 256;
        self.wasted += input.buffered().len() as u64;
        if self.wasted > MAX_WASTED {
            return Ok(false);
        }
        input.advance(1);
        loop {
            let Some(brace) = memchr::memchr(b'{', input.buffered()) else {
                input.advance(usize::MAX);
                if !input.more()? {
                    return Ok(false);
                }
                continue;
            };
            input.advance(brace);
            input.require(REACH)?;
            let begins = &input.buffered()[..input.buffered().len().min(REACH)];
            if first_key(begins).is_some_and(|key| KNOWN.contains(&key) || self.first_key.as_deref() == Some(key)) {
                return Ok(true);
            }
            input.advance(1);
        }
    }
}

/// The name of the property that an object begins with, as it is written; `None` if others than entries may, too.
fn first_key(object: &[u8]) -> Option<&[u8]> {
    let rest = object.strip_prefix(b"{")?.trim_ascii_start();
    if rest.first() != Some(&b'"') {
        return None;
    }
    let end = Scanner::default().feed(rest)?;
    let key = rest[..end].strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let is_colon = rest[end..].trim_ascii_start().first() == Some(&b':');
    let is_common = matches!(key, b"name" | b"value" | b"type" | b"method" | b"status" | b"url" | b"size" | b"id");
    (is_colon && !is_common).then_some(key)
}

/// The name of the object's next property, with the position at its value; `None` at the object's end.
fn next_name(input: &mut Input<'_>) -> Result<Option<String>, Error> {
    let mut next = input.peek_token()?;
    if next == Some(b',') {
        input.advance(1);
        next = input.peek_token()?;
    }
    match next {
        Some(b'"') => {}
        Some(b'}') => return Ok(None),
        None => return Err(Error::NotHar("it ends before `log.entries`")),
        Some(_) => return Err(Error::NotHar("it is no JSON")),
    }
    let length = value_length(input, MAX_SMALL).map_err(cut_off)?;
    let name = serde_json::from_slice(&input.buffered()[..length]).map_err(|_| Error::NotHar("it is no JSON"))?;
    input.advance(length);
    if input.peek_token()? != Some(b':') {
        return Err(Error::NotHar("it is no JSON"));
    }
    input.advance(1);
    input.peek_token()?;
    Ok(Some(name))
}

fn cut_off(error: Endless) -> Error {
    match error {
        Endless::Io(error) => error.into(),
        Endless::Ended => Error::NotHar("it ends before `log.entries`"),
        Endless::TooLong => Error::NotHar("it has an overlong name"),
    }
}
