//! Streams the entries of a HAR, holding one at a time.

use std::{fmt, io::Read};

use nightaudit_exchange::{Alteration, CallDirection, Destination, Digest, ExchangeId, Missing, SessionId};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// An entry, as far as verification needs it.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    #[serde(default, rename = "_nightaudit")]
    pub(super) nightaudit: Option<Facts>,
    #[serde(default)]
    request: Option<Request>,
    #[serde(default)]
    response: Option<Response>,
    #[serde(default, rename = "_webSocketMessages")]
    messages: Vec<Message>,
}

/// The `_nightaudit` extension.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts {
    pub(super) id: ExchangeId,
    pub(super) sequence: u64,
    #[serde(default)]
    pub(super) session: Option<SessionId>,
    pub(super) session_name: String,
    pub(super) previous_hash: Option<Digest>,
    pub(super) hash: Option<Digest>,
    #[serde(default)]
    pub(super) destination: Option<Destination>,
    #[serde(default)]
    pub(super) direction: CallDirection,
    #[serde(default)]
    pub(super) alteration: Option<Alteration>,
    request_body: BodyFacts,
    response_body: Option<BodyFacts>,
    #[serde(default)]
    web_socket: Option<WebSocketFacts>,
}

#[derive(Debug, Deserialize)]
struct WebSocketFacts {
    messages: Vec<BodyFacts>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BodyFacts {
    sha256: Digest,
    #[serde(default)]
    stored_sha256: Option<Digest>,
    #[serde(default)]
    content_encoding: Option<String>,
    masked: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(default)]
    post_data: Option<PostData>,
}

#[derive(Debug, Deserialize)]
struct PostData {
    #[serde(default)]
    text: Option<String>,
    #[serde(default, rename = "_nightauditEncoding")]
    encoding: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Response {
    content: Content,
}

#[derive(Debug, Deserialize)]
struct Content {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    encoding: Option<String>,
}

/// A message as Chromium writes it: binary messages and invalid UTF-8 in base64.
#[derive(Debug, Deserialize)]
struct Message {
    opcode: u8,
    data: String,
}

impl Message {
    fn fits(&self, facts: &BodyFacts) -> bool {
        let fits = |encoding| facts.fits(Some((Some(self.data.as_str()), encoding)));
        fits(Some("base64")) || (self.opcode == 1 && fits(None))
    }
}

impl Entry {
    /// Names the bodies that don't match their digest. Decoded and masked bodies can't be checked.
    pub(super) fn altered_bodies(&self) -> Vec<String> {
        let Some(facts) = &self.nightaudit else { return Vec::new() };
        let sent = self.request.as_ref().and_then(|request| request.post_data.as_ref());
        let sent = sent.map(|data| (data.text.as_deref(), data.encoding.as_deref()));
        let received = self.response.as_ref().map(|response| &response.content);
        let received = received.map(|content| (content.text.as_deref(), content.encoding.as_deref()));
        let mut altered = Vec::new();
        if !facts.request_body.fits(sent) {
            altered.push("the request's body".to_owned());
        }
        if facts.response_body.as_ref().is_some_and(|body| !body.fits(received)) {
            altered.push("the response's body".to_owned());
        }
        let recorded = facts.web_socket.as_ref().map_or(&[][..], |part| &part.messages);
        let messages = self.messages.iter().zip(recorded).zip(1..);
        altered.extend(
            messages
                .filter(|((message, recorded), _)| !message.fits(recorded))
                .map(|(_, number)| format!("message {number}")),
        );
        if self.messages.len() != recorded.len() {
            altered.push("the number of messages".to_owned());
        }
        altered
    }
}

impl BodyFacts {
    fn fits(&self, shown: Option<(Option<&str>, Option<&str>)>) -> bool {
        use base64::{Engine as _, prelude::BASE64_STANDARD};

        if self.masked || self.content_encoding.is_some() {
            return true;
        }
        let digest = match shown.unwrap_or_default() {
            (None, _) => Digest::of(b""),
            (Some(text), Some("base64")) => match BASE64_STANDARD.decode(text) {
                Ok(bytes) => Digest::of(&bytes),
                Err(_) => return false,
            },
            (Some(text), _) => Digest::of(text.as_bytes()),
        };
        digest == self.stored_sha256.unwrap_or(self.sha256)
    }
}

/// Reads an archive and passes each entry to `each`, and what it says to be missing to `missing`; an error if it isn't a HAR.
pub(super) fn entries(
    reader: impl Read,
    each: &mut dyn FnMut(Entry),
    missing: &mut dyn FnMut(Missing),
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    Archive(Log { each, missing }).deserialize(&mut deserializer)?;
    deserializer.end()
}

/// The object with `log`, of which the other properties are skipped. It must occur exactly once.
struct Archive<'f>(Log<'f>);

impl<'de> DeserializeSeed<'de> for Archive<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Archive<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `log`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut log = Some(self.0);
        while let Some(name) = map.next_key::<String>()? {
            if name != "log" {
                map.next_value::<IgnoredAny>()?;
            } else if let Some(log) = log.take() {
                map.next_value_seed(log)?;
            } else {
                return Err(A::Error::duplicate_field("log"));
            }
        }
        if log.is_some() { Err(A::Error::missing_field("log")) } else { Ok(()) }
    }
}

/// `log`, which must have `entries` exactly once.
struct Log<'f> {
    each: &'f mut dyn FnMut(Entry),
    missing: &'f mut dyn FnMut(Missing),
}

impl<'de> DeserializeSeed<'de> for Log<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Log<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `entries`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_entries = false;
        while let Some(name) = map.next_key::<String>()? {
            match &*name {
                "entries" if std::mem::replace(&mut has_entries, true) => {
                    return Err(A::Error::duplicate_field("entries"));
                }
                "entries" => map.next_value_seed(Each(&mut *self.each))?,
                "_missing" => map.next_value_seed(Each(&mut *self.missing))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if has_entries { Ok(()) } else { Err(A::Error::missing_field("entries")) }
    }
}

/// A list, of which one item at a time is held.
struct Each<'f, T>(&'f mut dyn FnMut(T));

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Each<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element()? {
            (self.0)(item);
        }
        Ok(())
    }
}
