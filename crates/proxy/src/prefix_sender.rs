//! What the prefix of a body says of its sender.

use crate::{body_prefix::BodyPrefix, body_reader::BodyReader, coded};

/// What was read of the prefix of a body.
pub(crate) struct PrefixSender {
    /// What has read it; `None` if the prefix is all of the body, and plain text that can be read at once.
    pub(crate) reader: Option<Box<BodyReader>>,
    /// Whether that can read on in the rest of the body.
    pub(crate) goes_on: bool,
    /// Whether the sender may be named where nobody can read it.
    pub(crate) is_cut: bool,
}

impl PrefixSender {
    /// Of a body without codings, some of which `reader` may have read.
    pub(crate) fn plain(reader: Option<Box<BodyReader>>, prefix: &BodyPrefix) -> Self {
        // As UTF-8 starts, and no other encoding of JSON.
        let is_utf_8 =
            prefix.iter().next().is_none_or(|byte| byte.is_ascii()) && prefix.iter().take(4).all(|byte| byte != 0);
        if prefix.is_whole() && reader.is_none() && is_utf_8 {
            return Self { reader, goes_on: false, is_cut: false };
        }
        let mut reader = reader.unwrap_or_default();
        let bytes = prefix.bytes();
        reader.read(&bytes[reader.length().min(bytes.len())..]);
        Self { reader: Some(reader), goes_on: true, is_cut: false }
    }

    /// Of a body with these content codings.
    ///
    /// All of it is decoded at once: decoders of a body that a client sends slowly would hold their windows, of up to
    /// 16 MiB, for as long.
    pub(crate) fn coded(codings: &str, prefix: &BodyPrefix) -> Self {
        if prefix.is_empty() {
            return Self { reader: None, goes_on: false, is_cut: false };
        }
        let bytes = prefix.bytes();
        let (decoded, is_too_long) = coded::decode(codings, &bytes);
        let reader = BodyReader::of(&decoded);
        if reader.is_empty() {
            // Not every host decodes, and some clients don't encode.
            let plain = BodyReader::of(&bytes);
            if !plain.is_empty() || (decoded.is_empty() && !is_too_long) {
                return Self { reader: Some(plain), goes_on: true, is_cut: false };
            }
        }
        let is_cut = !reader.is_final() && (is_too_long || !prefix.is_whole());
        Self { reader: Some(reader), goes_on: false, is_cut }
    }
}
