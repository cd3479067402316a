//! Recorded bodies and their JSON form.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct as _};

use crate::{Digest, content};

/// A body as recorded.
///
/// In JSON, `body` is the text, decoded from the `contentEncoding` on the wire, and `bodyEncoding` is `utf-8`; anything
/// that is not text is in base64. If it was decoded, `wireBody` holds the encoded bytes in base64, so nothing is lost;
/// if it could not be, `body` is as received and `undecoded` is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The bytes as stored: a prefix of a long body, with every secret replaced.
    pub bytes: Bytes,
    /// The full length on the wire, in bytes.
    pub length: u64,
    /// The digest of the full body on the wire.
    pub sha256: Digest,
    /// The digest of the bytes as stored; `None` if they equal the body on the wire.
    pub stored_sha256: Option<Digest>,
    /// The content coding of the stored bytes; `None` for `identity`. An export that masks properties keeps the log's
    /// value, with `bytes` decoded.
    pub content_encoding: Option<String>,
    /// Whether the body was longer than what is stored.
    pub truncated: bool,
    /// Whether an export masked properties, so that `bytes` differ from the log.
    pub masked: bool,
    /// Why a non-empty body is not stored; `None` if it is stored or was empty.
    pub withheld: Option<Withheld>,
}

/// Why a body is not stored. Mostly because it may contain a token that can't be located; its length and digest are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Withheld {
    /// Its content coding can't be decoded.
    Undecodable,
    /// It is neither text nor a known file format.
    Unreadable,
    /// Scanning it for tokens would take too long.
    TooComplex,
    /// The file that the exchange was imported from doesn't have it. The length is as stated there, or 0; the digest is
    /// that of an empty body.
    Absent,
    /// The proxy ended while the request was in flight. The length is 0, and the digest that of an empty body.
    Interrupted,
}

impl Withheld {
    /// The reason in words: `its content coding can't be decoded`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Undecodable => "its content coding can't be decoded",
            Self::Unreadable => "it is neither text nor a known file format",
            Self::TooComplex => "scanning it for tokens would take too long",
            Self::Absent => "the file that it was imported from doesn't have it",
            Self::Interrupted => "the proxy ended while the request was in flight",
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Unreadable => "unreadable",
            Self::TooComplex => "too-complex",
            Self::Absent => "absent",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Body {
    /// A body recorded in full and unchanged.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        Self {
            length: bytes.len() as u64,
            sha256: Digest::of(&bytes),
            bytes,
            stored_sha256: None,
            content_encoding: None,
            truncated: false,
            masked: false,
            withheld: None,
        }
    }

    /// A body that the file it was imported from doesn't have, of this length on the wire.
    #[must_use]
    pub fn absent(length: u64) -> Self {
        Self { length, ..Self::unrecorded(Withheld::Absent) }
    }

    /// A body of which nothing is known.
    #[must_use]
    pub fn unrecorded(why: Withheld) -> Self {
        Self { stored_sha256: Some(Digest::of(b"")), truncated: true, withheld: Some(why), ..Self::empty() }
    }

    /// An empty body.
    #[must_use]
    pub fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    /// The digest that enters the log's hash chain.
    #[must_use]
    pub fn stored_digest(&self) -> Digest {
        self.stored_sha256.unwrap_or(self.sha256)
    }

    /// The decoded bytes, and whether decoding was complete.
    ///
    /// Decodes at most [`content::MAX_DECODED`] bytes; a truncated or damaged body is decoded as far as possible, and
    /// one that can't be decoded at all is returned as stored. A masked body is already decoded.
    #[must_use]
    pub fn decoded(&self) -> (Bytes, bool) {
        match &self.content_encoding {
            None => (self.bytes.clone(), true),
            Some(_) if self.masked => (self.bytes.clone(), true),
            Some(coding) => match content::decode(coding, &self.bytes) {
                Ok(decoded) => (decoded, true),
                Err(error) if error.decoded.is_empty() => (self.bytes.clone(), false),
                Err(error) => (error.decoded, false),
            },
        }
    }
}

/// How `body` encodes the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum BodyEncoding {
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "base64")]
    Base64,
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_struct("Body", 10)?;
        if self.bytes.is_empty() {
            json.serialize_field("body", &None::<&str>)?;
            json.serialize_field("bodyEncoding", &None::<BodyEncoding>)?;
        } else {
            let (decoded, complete) = self.decoded();
            let shown = if complete { &decoded } else { &self.bytes };
            if let Ok(text) = str::from_utf8(shown) {
                json.serialize_field("body", text)?;
                json.serialize_field("bodyEncoding", &BodyEncoding::Utf8)?;
            } else {
                json.serialize_field("body", &BASE64_STANDARD.encode(shown))?;
                json.serialize_field("bodyEncoding", &BodyEncoding::Base64)?;
            }
            if self.content_encoding.is_some() && complete && !self.masked {
                json.serialize_field("wireBody", &BASE64_STANDARD.encode(&self.bytes))?;
            }
            if !complete {
                json.serialize_field("undecoded", &true)?;
            }
        }
        if let Some(coding) = &self.content_encoding {
            json.serialize_field("contentEncoding", coding)?;
        }
        json.serialize_field("bodyLength", &self.length)?;
        json.serialize_field("bodySha256", &self.sha256)?;
        if let Some(stored) = &self.stored_sha256 {
            json.serialize_field("storedSha256", stored)?;
        }
        json.serialize_field("truncated", &self.truncated)?;
        if self.masked {
            json.serialize_field("masked", &true)?;
        }
        if let Some(withheld) = &self.withheld {
            json.serialize_field("withheld", withheld)?;
        }
        json.end()
    }
}

/// A body's JSON properties.
pub(crate) struct BodyJson {
    pub(crate) body: Option<String>,
    pub(crate) body_encoding: Option<BodyEncoding>,
    pub(crate) wire_body: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) body_length: u64,
    pub(crate) body_sha256: Digest,
    pub(crate) stored_sha256: Option<Digest>,
    pub(crate) truncated: bool,
    pub(crate) masked: bool,
    pub(crate) withheld: Option<Withheld>,
}

impl BodyJson {
    pub(crate) fn read(self) -> Result<Body, base64::DecodeError> {
        let bytes = match (self.wire_body, self.body, self.body_encoding) {
            (Some(wire), _, _) => BASE64_STANDARD.decode(wire)?.into(),
            (None, Some(body), Some(BodyEncoding::Base64)) => BASE64_STANDARD.decode(body)?.into(),
            (None, Some(body), _) => body.into(),
            (None, None, _) => Bytes::new(),
        };
        Ok(Body {
            bytes,
            length: self.body_length,
            sha256: self.body_sha256,
            stored_sha256: self.stored_sha256,
            content_encoding: self.content_encoding,
            truncated: self.truncated,
            masked: self.masked,
            withheld: self.withheld,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{Request, chain};

    fn request(body: Body) -> Request {
        Request { method: "POST".into(), url: "/".into(), http_version: "HTTP/1.1".into(), headers: vec![], body }
    }

    fn in_json(body: &Body) -> Value {
        serde_json::to_value(request(body.clone())).unwrap()
    }

    #[test]
    fn text_stands_as_text_and_the_rest_in_base64() {
        let json = in_json(&Body::whole("é".into()));
        assert_eq!((&json["body"], &json["bodyEncoding"]), (&json!("é"), &json!("utf-8")));
        let json = in_json(&Body::whole(Bytes::from_static(b"\xff\0")));
        assert_eq!((&json["body"], &json["bodyEncoding"]), (&json!("/wA="), &json!("base64")));
        let json = in_json(&Body::empty());
        assert_eq!(
            (&json["body"], &json["bodyEncoding"], &json["bodyLength"]),
            (&json!(null), &json!(null), &json!(0))
        );
    }

    #[test]
    fn an_encoded_body_shows_both_forms() {
        let coded = zstd::encode_all(&b"{}"[..], 1).unwrap();
        let body = Body { content_encoding: Some("zstd".into()), ..Body::whole(coded.clone().into()) };
        let json = in_json(&body);
        assert_eq!((&json["body"], &json["contentEncoding"]), (&json!("{}"), &json!("zstd")));
        assert_eq!(json["wireBody"], BASE64_STANDARD.encode(coded));
    }

    #[test]
    fn an_undecodable_body_is_kept_as_received_and_marked() {
        for coding in ["utf-8", "gzip", "br, gzip", "zstd"] {
            let body = Body { content_encoding: Some(coding.into()), ..Body::whole("{\"a\":1}".into()) };
            assert_eq!(body.decoded(), ("{\"a\":1}".into(), false), "{coding}");
            let json = in_json(&body);
            assert_eq!((&json["body"], &json["undecoded"]), (&json!("{\"a\":1}"), &json!(true)), "{coding}");
            assert_eq!((&json["contentEncoding"], &json["wireBody"]), (&json!(coding), &json!(null)));
        }
        assert_eq!(in_json(&Body::whole("{}".into()))["undecoded"], json!(null));
    }

    #[test]
    fn broken_base64_is_an_error() {
        let mut json = in_json(&Body::whole(Bytes::from_static(b"\xff")));
        json["body"] = json!("not base64!");
        assert!(serde_json::from_value::<Request>(json).is_err());
    }

    /// Bodies of every kind, whose properties need not match their bytes.
    pub(crate) fn body() -> impl Strategy<Value = Body> {
        let bytes = prop_oneof![
            any::<String>().prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..40),
            any::<String>().prop_map(|text| zstd::encode_all(text.as_bytes(), 1).unwrap()),
        ];
        let coding = prop::option::of("zstd|gzip|nonsense|");
        let withheld = prop::sample::select(
            &[
                None,
                Some(Withheld::Undecodable),
                Some(Withheld::Unreadable),
                Some(Withheld::TooComplex),
                Some(Withheld::Absent),
            ][..],
        );
        (bytes, any::<u64>(), any::<[u8; 32]>(), any::<Option<[u8; 32]>>(), coding, any::<[bool; 2]>(), withheld)
            .prop_map(|(bytes, length, sha256, stored, content_encoding, [truncated, masked], withheld)| Body {
                bytes: bytes.into(),
                length,
                sha256: Digest(sha256),
                stored_sha256: stored.map(Digest),
                content_encoding,
                truncated,
                masked,
                withheld,
            })
    }

    proptest! {
        #[test]
        fn bodies_round_trip_through_json_and_masking_keeps_the_chain(body in body(), masked: Vec<u8>) {
            let line = serde_json::to_string(&request(body.clone())).unwrap();
            let read: Request = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&read.body, &body);

            let mut exchange = crate::testing::sample();
            exchange.request.body = body.clone();
            exchange.response.as_mut().unwrap().body = body;
            let previous = chain::genesis(exchange.session);
            let hash = chain::hash(previous, &exchange);
            exchange.request.body.bytes = masked.into();
            exchange.request.body.masked = true;
            prop_assert_eq!(chain::hash(previous, &exchange), hash);
        }
    }
}
