//! A captured body on its way to a recorded one.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::{
    kind::{self, Kind},
    names::Names,
    secrets::Secrets,
    text::{Syntax, Text},
};
use crate::{Body, CapturedBody, Digest, Withheld, charset, content};

/// Whose body it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// A captured body in one piece, decoded.
pub(super) struct Joined {
    side: Side,
    /// The bytes as they passed, as far as they were kept.
    wire: Bytes,
    length: u64,
    sha256: Digest,
    coding: Option<String>,
    /// The wire's bytes as text in UTF-8, with their codings undone as far as that goes, those that nobody declared
    /// among them; the wire's own where there is nothing to undo.
    decoded: Bytes,
    /// What was taken for text in UTF-16 or UTF-32. A byte order mark proves nothing: anything may stand behind it.
    guessed: Option<Bytes>,
    /// Whether it goes to the end.
    decodes: bool,
    /// Whether `decoded` is what passed: where there is a coding, one that nothing was coded with.
    as_it_came: bool,
    kind: Kind,
    syntax: Syntax,
}

impl Joined {
    pub(super) fn new(side: Side, body: &mut CapturedBody, coding: &[u8], media_type: Option<&[u8]>) -> Self {
        let wire = join(&mut body.kept);
        let coding = Some(String::from_utf8_lossy(coding).trim().to_ascii_lowercase())
            .filter(|coding| !coding.is_empty() && coding != "identity" && !wire.is_empty());
        let is_cut = body.length > wire.len() as u64;
        let (decoded, decodes) = match &coding {
            None => (wire.clone(), true),
            Some(coding) => match content::decode(coding, &wire) {
                Ok(decoded) => (decoded, true),
                // It was never coded, whatever its head says. Of a request, which is sure to hold tokens, this must be
                // certain.
                Err(error)
                    if error.decoded.is_empty()
                        && Kind::of(&wire) == Kind::Text
                        && (side == Side::Response || is_json(&wire)) =>
                {
                    (wire.clone(), true)
                }
                Err(error) => (error.decoded, false),
            },
        };
        let (decoded, decodes) = if decodes { undeclared(decoded, is_cut) } else { (decoded, false) };
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
        let as_it_came = decodes && decoded.as_ptr() == wire.as_ptr() && decoded.len() == wire.len();
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
            as_it_came,
            kind,
            syntax: if is_form { Syntax::Form } else { Syntax::Json },
        }
    }

    /// Finds what is told by its name.
    pub(super) fn search(&self, names: &Names, secrets: &mut Secrets) -> Searched<'_> {
        let mut text = Text::new(&self.decoded, self.syntax);
        text.find_named(names, secrets);
        // What does not decode may still hold a secret as it stands.
        let wire = (!self.decodes && self.side == Side::Response).then(|| {
            let mut text = Text::new(&self.wire, self.syntax);
            text.find_named(names, secrets);
            text
        });
        Searched { body: self, text, wire }
    }

    /// Whether a secret stands in the bytes as they passed, or may stand there in a way that nobody can read.
    fn wire_holds_secret(&self, names: &Names, secrets: &mut Secrets) -> bool {
        let mut text = Text::new(&self.wire, self.syntax);
        text.find_named(names, secrets);
        text.find_values(secrets);
        text.has_secrets() || kind::hides_secret(&self.wire, Kind::Unknown, names, secrets)
    }

    /// The body with nothing of it but its length and digest.
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

    fn is_cut(&self) -> bool {
        self.length > self.wire.len() as u64
    }
}

/// A body in which the names were looked for.
pub(super) struct Searched<'a> {
    body: &'a Joined,
    text: Text<'a>,
    wire: Option<Text<'a>>,
}

impl Searched<'_> {
    /// Finds what is told by its value, and makes the body that is recorded.
    ///
    /// `complete` says whether all of the message came; where it did not, the end is looked at for half a token.
    pub(super) fn finish(mut self, names: &Names, secrets: &mut Secrets, complete: bool) -> Body {
        let body = self.body;
        for text in [Some(&mut self.text), self.wire.as_mut()].into_iter().flatten() {
            text.find_values(secrets);
            if !complete || body.is_cut() || !body.decodes {
                text.find_beginning_at_end(secrets);
            }
        }
        if let Some(withheld) = self.withheld(names, secrets, complete) {
            return body.without_bytes(withheld);
        }
        let redacted = self.text.redacted();
        let redacted_wire = self.wire.as_mut().and_then(Text::redacted);
        let (bytes, coding, cut) = match (redacted, redacted_wire) {
            (Some(text), _) if body.as_it_came => (text, body.coding.clone(), false),
            (Some(text), _) => (text, None, !body.decodes),
            // Of what can't be read to its end only what was read is kept. A long answer that is cut is nothing else but
            // cut, and stays as it came.
            (None, _) if !body.decodes && (body.side == Side::Request || complete && !body.is_cut()) => {
                (body.decoded.clone(), None, true)
            }
            (None, Some(wire)) => (wire, body.coding.clone(), false),
            (None, None) => (body.wire.clone(), body.coding.clone(), false),
        };
        let truncated = cut || body.is_cut();
        // Handles of the same bytes: comparing addresses and lengths is enough to see that nothing was replaced.
        let unchanged = bytes.as_ptr() == body.wire.as_ptr() && bytes.len() == body.wire.len();
        // How a body is to be read may be a wrong guess. What is stored as it came is searched as it came.
        if unchanged && !body.as_it_came && body.wire_holds_secret(names, secrets) {
            return body.without_bytes(Withheld::Unreadable);
        }
        Body {
            stored_sha256: (!unchanged || body.is_cut()).then(|| Digest::of(&bytes)),
            bytes,
            length: body.length,
            sha256: body.sha256,
            content_encoding: coding,
            truncated,
            masked: false,
            withheld: None,
        }
    }

    /// As [`finish`](Self::finish), of a body that may have been through this: none where it holds no secret.
    pub(super) fn finish_rescan(mut self, names: &Names, secrets: &mut Secrets) -> Option<Body> {
        let body = self.body;
        for text in [Some(&mut self.text), self.wire.as_mut()].into_iter().flatten() {
            text.find_values(secrets);
            text.leave_pseudonyms();
        }
        if self.text.is_too_complex() || self.wire.as_ref().is_some_and(Text::is_too_complex) {
            return Some(body.without_bytes(Withheld::TooComplex));
        }
        let redacted = self.text.redacted().filter(|text| *text != body.decoded);
        let redacted_wire = self.wire.as_mut().and_then(Text::redacted).filter(|wire| *wire != body.wire);
        let (bytes, content_encoding) = match (redacted, redacted_wire) {
            (Some(text), _) if body.as_it_came => (text, body.coding.clone()),
            (Some(text), _) => (text, None),
            (None, Some(wire)) => (wire, body.coding.clone()),
            (None, None) => {
                let hides = |bytes: &[u8], secrets: &mut Secrets| kind::hides_secret(bytes, body.kind, names, secrets);
                let hidden = !body.as_it_came && body.wire_holds_secret(names, secrets)
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

    /// Why nothing of the body may be stored.
    ///
    /// Text is read, and files of known formats are what they are. Of other binary data an answer may be made, but what
    /// goes to Mews is JSON with tokens in it: what is something else there may be that in a way nobody knows.
    fn withheld(&self, names: &Names, secrets: &mut Secrets, complete: bool) -> Option<Withheld> {
        let body = self.body;
        let too_complex = self.text.is_too_complex() || self.wire.as_ref().is_some_and(Text::is_too_complex);
        if too_complex || body.decoded.len() >= content::MAX_DECODED {
            return Some(Withheld::TooComplex);
        }
        if !body.decodes && body.decoded.is_empty() && !body.wire.is_empty() {
            let may_stay = body.side == Side::Response && (!complete || body.is_cut());
            return (!may_stay).then_some(Withheld::Undecodable);
        }
        let mut unreadable = match body.kind {
            Kind::Text => false,
            Kind::Unknown if body.side == Side::Request => true,
            Kind::Unknown | Kind::File => kind::hides_secret(&body.decoded, body.kind, names, secrets),
        };
        // Half a character before it, and another text is read.
        if let Some(bytes) = &body.guessed
            && !self.text.has_secrets()
        {
            unreadable = unreadable || kind::hides_secret(bytes, Kind::Unknown, names, secrets);
        }
        unreadable.then_some(Withheld::Unreadable)
    }

    /// The text in which secrets are looked for.
    pub(super) fn decoded(&self) -> &[u8] {
        &self.body.decoded
    }
}

/// Whether it is the beginning of an object or a list.
fn is_json(bytes: &[u8]) -> bool {
    let json = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    matches!(json.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Undoes codings that nobody declared, as far as they go, and says whether that is to the end.
fn undeclared(mut bytes: Bytes, is_cut: bool) -> (Bytes, bool) {
    for _ in 0..content::MAX_CODINGS {
        let Some(coding) = content::sniff(&bytes) else { break };
        match content::decode(coding, &bytes) {
            Ok(decoded) => bytes = decoded,
            // Two bytes tell zlib's format, which may as well be the beginning of something else.
            Err(_) if coding == "deflate" && !is_cut => break,
            Err(error) => return (error.decoded, false),
        }
    }
    (bytes, true)
}

/// The pieces as one; a single piece is not copied, and stays.
fn join(pieces: &mut Vec<Bytes>) -> Bytes {
    if pieces.len() <= 1 {
        return pieces.first().cloned().unwrap_or_default();
    }
    let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    // Each piece is let go of once it is copied: a large body need not be there twice.
    pieces.drain(..).for_each(|piece| joined.extend_from_slice(&piece));
    joined.freeze()
}
