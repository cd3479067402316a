//! Turning a captured body into a recorded one.

use bytes::Bytes;
use memchr::memchr;

use super::{
    kind::{self, Kind},
    names::Names,
    secrets::Secrets,
    syntax::Syntax,
    text::Text,
};
use crate::{
    Body, CapturedBody, Digest, Withheld, charset,
    content::{self, DecodeError},
};

/// Which message the body belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// A captured body, joined and decoded.
pub(super) struct Joined {
    side: Side,
    /// The retained bytes as on the wire.
    wire: Bytes,
    length: u64,
    sha256: Digest,
    coding: Option<String>,
    /// The wire's bytes as UTF-8 text, with content codings removed as far as possible, undeclared ones included;
    /// shares the wire's bytes if there is nothing to remove.
    decoded: Bytes,
    /// The bytes that were taken for UTF-16 or UTF-32. A byte order mark proves nothing about what follows it.
    guessed: Option<Bytes>,
    /// Whether decoding was complete.
    decodes: bool,
    /// If not, whether only the end is missing.
    is_cut: bool,
    /// Whether it was made to be long: only its beginning was decoded, and nothing may be kept.
    is_too_long: bool,
    /// Whether `decoded` equals the wire's bytes: any declared coding was not applied.
    verbatim: bool,
    kind: Kind,
    syntax: Syntax,
}

impl Joined {
    pub(super) fn new(side: Side, body: &mut CapturedBody, coding: &[u8], media_type: Option<&[u8]>) -> Self {
        let wire = body.join();
        let coding = Some(String::from_utf8_lossy(coding).trim().to_ascii_lowercase())
            .filter(|coding| !coding.is_empty() && coding != "identity" && !wire.is_empty());
        let is_truncated = body.length > wire.len() as u64;
        let decoded = match &coding {
            None => Decoded::whole(wire.clone()),
            Some(coding) => match content::decode_within(coding, &wire, most_decoded(wire.len())) {
                Ok(decoded) => Decoded::whole(decoded),
                // Not encoded, despite its header. For a request, which surely contains tokens, this must be certain.
                Err(error)
                    if error.decoded.is_empty()
                        && Kind::of(&wire) == Kind::Text
                        && (side == Side::Response || is_json(&wire)) =>
                {
                    Decoded::whole(wire.clone())
                }
                Err(_) if is_coded_otherwise(&wire, coding) => Decoded::default(),
                Err(error) => Decoded::whole(wire.clone()).failed(error),
            },
        };
        let decoded = decoded.without_undeclared(is_truncated, most_decoded(wire.len()));
        let Decoded { bytes: decoded, is_whole: decodes, is_cut, is_too_long } = decoded;
        let (decoded, guessed, kind) = if memchr(0, &decoded).is_none() {
            let kind = Kind::without_zeros(&decoded);
            (decoded, None, kind)
        } else if let Some(text) = charset::decode(&decoded) {
            let kind = Kind::of(text.as_bytes());
            (text.into(), Some(decoded), kind)
        } else {
            let kind = Kind::of(&decoded);
            (decoded, None, kind)
        };
        let verbatim = decodes && decoded.as_ptr() == wire.as_ptr() && decoded.len() == wire.len();
        let form = b"application/x-www-form-urlencoded";
        let is_form = media_type
            .and_then(|media_type| media_type.get(..form.len()))
            .is_some_and(|media_type| media_type.eq_ignore_ascii_case(form))
            && !matches!(decoded.trim_ascii_start().first(), Some(b'{' | b'['));
        Self {
            side,
            length: body.length.max(wire.len() as u64),
            sha256: body.sha256.unwrap_or_else(|| Digest::of(&wire)),
            wire,
            coding,
            decoded,
            guessed,
            decodes,
            is_cut,
            is_too_long,
            verbatim,
            kind,
            syntax: if is_form { Syntax::Form } else { Syntax::Json },
        }
    }

    /// Finds secrets by name.
    pub(super) fn search(&self, names: &Names, secrets: &mut Secrets) -> Searched<'_> {
        let mut text = Text::new(&self.decoded, self.syntax);
        text.find_named(names, secrets);
        // An undecodable body may still contain a secret as it is.
        let wire = (!self.decodes && !self.is_too_long && self.side == Side::Response).then(|| {
            let mut text = Text::new(&self.wire, self.syntax);
            text.find_named(names, secrets);
            text
        });
        Searched { body: self, text, wire }
    }

    /// Whether the wire's bytes contain a secret, or may contain an unreadable one.
    fn wire_holds_secret(&self, names: &Names, secrets: &mut Secrets) -> bool {
        let mut text = Text::new(&self.wire, self.syntax);
        text.find_named(names, secrets);
        text.find_values(secrets);
        text.has_secrets() || kind::hides_secret(&self.wire, Kind::Unknown, names, secrets)
    }

    /// The body with only its length and digest.
    fn without_bytes(&self, withheld: Withheld) -> Body {
        Body {
            bytes: Bytes::new(),
            length: self.length,
            sha256: self.sha256,
            stored_sha256: Some(Digest::of(b"")),
            content_encoding: None,
            truncated: true,
            masked: false,
            withheld: Some(withheld),
        }
    }

    fn is_truncated(&self) -> bool {
        self.length > self.wire.len() as u64
    }

    /// Whether this is a response of which only the end is missing, and all the rest could be searched.
    fn is_merely_cut(&self, complete: bool) -> bool {
        self.side == Side::Response && self.is_cut && (!complete || self.is_truncated())
    }
}

/// A body that has been searched by name.
pub(super) struct Searched<'a> {
    body: &'a Joined,
    text: Text<'a>,
    wire: Option<Text<'a>>,
}

impl Searched<'_> {
    /// Finds secrets by value, and returns the body to record.
    ///
    /// `complete` says whether the whole message arrived; if not, its end is checked for a partial token.
    pub(super) fn finish(mut self, names: &Names, secrets: &mut Secrets, complete: bool) -> Body {
        self.find_values(secrets, complete);
        self.conclude(names, secrets, complete)
    }

    /// As [`finish`](Self::finish), for a body that another tool recorded and that may already have pseudonyms.
    pub(super) fn finish_foreign(mut self, names: &Names, secrets: &mut Secrets, complete: bool) -> Body {
        self.find_values(secrets, complete);
        [Some(&mut self.text), self.wire.as_mut()].into_iter().flatten().for_each(Text::keep_pseudonyms);
        self.conclude(names, secrets, complete)
    }

    fn find_values(&mut self, secrets: &Secrets, complete: bool) {
        let body = self.body;
        for text in [Some(&mut self.text), self.wire.as_mut()].into_iter().flatten() {
            text.find_values(secrets);
            if !complete || body.is_truncated() || !body.decodes {
                text.find_prefix_at_end(secrets);
            }
        }
    }

    fn conclude(mut self, names: &Names, secrets: &mut Secrets, complete: bool) -> Body {
        let body = self.body;
        [Some(&mut self.text), self.wire.as_mut()].into_iter().flatten().for_each(Text::release);
        if let Some(withheld) = self.withheld(names, secrets) {
            return body.without_bytes(withheld);
        }
        let redacted = self.text.redacted();
        let redacted_wire = self.wire.as_mut().and_then(Text::redacted);
        let (bytes, coding, cut) = match (redacted, redacted_wire) {
            (Some(text), _) if body.verbatim => (text, body.coding.clone(), false),
            (Some(text), _) => (text, None, !body.decodes),
            // If decoding failed midway, only the decoded part is kept: nobody has searched the rest. A long response that
            // was truncated is merely truncated, and stays as received.
            (None, _) if !body.decodes && !body.is_merely_cut(complete) => (body.decoded.clone(), None, true),
            (None, Some(wire)) => (wire, body.coding.clone(), false),
            (None, None) => (body.wire.clone(), body.coding.clone(), false),
        };
        let truncated = cut || body.is_truncated();
        // Handles to the same bytes: equal address and length mean nothing was replaced.
        let unchanged = bytes.as_ptr() == body.wire.as_ptr() && bytes.len() == body.wire.len();
        // The interpretation of a body may be wrong; bytes stored as received are searched as received.
        if unchanged && !body.verbatim && body.wire_holds_secret(names, secrets) {
            return body.without_bytes(Withheld::Unreadable);
        }
        Body {
            stored_sha256: (!unchanged || body.is_truncated()).then(|| Digest::of(&bytes)),
            bytes,
            length: body.length,
            sha256: body.sha256,
            content_encoding: coding,
            truncated,
            masked: false,
            withheld: None,
        }
    }

    /// Like [`finish`](Self::finish), for a body that may already be redacted; `None` if it contains no secret.
    pub(super) fn finish_rescan(mut self, names: &Names, secrets: &mut Secrets) -> Option<Body> {
        let body = self.body;
        for text in [Some(&mut self.text), self.wire.as_mut()].into_iter().flatten() {
            text.find_values(secrets);
            text.keep_pseudonyms();
        }
        if self.is_too_complex() {
            return Some(body.without_bytes(Withheld::TooComplex));
        }
        let redacted = self.text.redacted().filter(|text| *text != body.decoded);
        let redacted_wire = self.wire.as_mut().and_then(Text::redacted).filter(|wire| *wire != body.wire);
        let (bytes, content_encoding) = match (redacted, redacted_wire) {
            (Some(text), _) if body.verbatim => (text, body.coding.clone()),
            (Some(text), _) => (text, None),
            (None, Some(wire)) => (wire, body.coding.clone()),
            (None, None) => {
                let hides = |bytes: &[u8], secrets: &mut Secrets| kind::hides_secret(bytes, body.kind, names, secrets);
                let hidden = !body.verbatim && body.wire_holds_secret(names, secrets)
                    || body.kind != Kind::Text && hides(&body.decoded, secrets);
                return hidden.then(|| body.without_bytes(Withheld::Unreadable));
            }
        };
        Some(Body {
            stored_sha256: Some(Digest::of(&bytes)),
            bytes,
            length: body.length,
            sha256: body.sha256,
            content_encoding,
            truncated: !body.decodes,
            masked: false,
            withheld: None,
        })
    }

    fn is_too_complex(&self) -> bool {
        let texts = [Some(&self.text), self.wire.as_ref()];
        self.body.is_too_long || texts.into_iter().flatten().any(Text::is_too_complex)
    }

    /// Why the body must not be stored.
    ///
    /// Text can be searched, and known file formats are trusted. Responses may contain other binary data, but requests
    /// are JSON with tokens in it: one in an unknown format may contain them unreadably.
    fn withheld(&self, names: &Names, secrets: &mut Secrets) -> Option<Withheld> {
        let body = self.body;
        if self.is_too_complex() || body.decoded.len() >= content::MAX_DECODED {
            return Some(Withheld::TooComplex);
        }
        if !body.decodes && body.decoded.is_empty() && !body.wire.is_empty() {
            return Some(Withheld::Undecodable);
        }
        // A wrong coding may yield a few bytes, and among them pieces of what it was applied to.
        if !body.decodes && body.kind == Kind::Unknown {
            return Some(Withheld::Undecodable);
        }
        let mut unreadable = match body.kind {
            Kind::Text => false,
            Kind::Unknown if body.side == Side::Request => true,
            Kind::Unknown | Kind::File => kind::hides_secret(&body.decoded, body.kind, names, secrets),
        };
        // An offset of half a character would yield a different text.
        if let Some(bytes) = &body.guessed
            && !self.text.has_secrets()
        {
            unreadable = unreadable || kind::hides_secret(bytes, Kind::Unknown, names, secrets);
        }
        unreadable.then_some(Withheld::Unreadable)
    }

    /// The text searched for secrets.
    pub(super) fn decoded(&self) -> &[u8] {
        &self.body.decoded
    }
}

/// Whether it starts like a JSON object or array.
fn is_json(bytes: &[u8]) -> bool {
    let json = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    matches!(json.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// How many bytes a body may be decoded to for the search.
///
/// Ordinary JSON shrinks to a tenth or a twentieth. What unfolds to more than thirty times its size, and to megabytes, was
/// made to be long: a small body must not keep the recorder busy with a large one.
fn most_decoded(wire: usize) -> usize {
    const ALWAYS: usize = 4 << 20;
    const RATIO: usize = 32;
    wire.saturating_mul(RATIO).saturating_add(ALWAYS).min(content::MAX_DECODED)
}

/// What a body's content codings hide, as far as they could be removed.
#[derive(Default)]
struct Decoded {
    bytes: Bytes,
    is_whole: bool,
    is_cut: bool,
    is_too_long: bool,
}

impl Decoded {
    fn whole(bytes: Bytes) -> Self {
        Self { bytes, is_whole: true, ..Self::default() }
    }

    /// What a coding yielded of this before it failed.
    fn failed(self, error: DecodeError) -> Self {
        /// How much of a body that is too long is searched, so that a token at its start is known in other texts.
        const BEGINNING: usize = 1 << 20;
        let DecodeError { decoded, is_cut, is_too_long, .. } = error;
        let bytes = match decoded.get(..BEGINNING) {
            Some(beginning) if is_too_long => Bytes::copy_from_slice(beginning),
            _ => decoded,
        };
        let is_cut = is_cut && (self.is_whole || self.is_cut);
        Self { bytes, is_whole: false, is_cut, is_too_long: is_too_long || self.is_too_long }
    }

    /// Removes undeclared content codings as far as possible.
    fn without_undeclared(mut self, is_truncated: bool, max: usize) -> Self {
        for _ in 0..content::MAX_CODINGS {
            let Some(coding) = content::sniff(&self.bytes).filter(|_| !self.is_too_long) else { break };
            match content::decode_within(coding, &self.bytes, max) {
                Ok(decoded) => self.bytes = decoded,
                // Two bytes identify zlib, so a match may be a coincidence.
                Err(error)
                    if coding == "deflate"
                        && !error.is_too_long
                        && !is_text_cut_off(&error)
                        && (self.is_whole && !is_truncated || Kind::of(&self.bytes) == Kind::Text) =>
                {
                    break;
                }
                Err(error) => self = self.failed(error),
            }
        }
        self
    }
}

/// Whether a coding was right, and only the end is missing.
fn is_text_cut_off(error: &DecodeError) -> bool {
    error.is_cut && !error.decoded.is_empty() && Kind::of(&error.decoded) == Kind::Text
}

/// Whether the first bytes show another coding than the outermost declared one: what that yields is no guide then.
fn is_coded_otherwise(wire: &[u8], declared: &str) -> bool {
    let outermost = declared.rsplit(',').next().unwrap_or_default().trim();
    content::sniff(wire).is_some_and(|found| found != outermost.trim_start_matches("x-"))
}
