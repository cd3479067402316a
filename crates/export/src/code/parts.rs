//! What is sent again of a request.

use std::{borrow::Cow, collections::BTreeSet};

use bytes::Bytes;
use nightaudit_exchange::{Envelope, Exchange};

use crate::{curl, text::printable};

/// A request as far as it is sent again.
pub(super) struct Parts<'e> {
    pub(super) envelope: &'e Envelope,
    pub(super) method: &'e str,
    pub(super) url: &'e str,
    /// The headers, with valid names and values.
    pub(super) headers: Vec<(&'e str, &'e str)>,
    pub(super) body: Bytes,
    /// What a reader should know, a line each.
    remarks: Vec<String>,
}

impl<'e> Parts<'e> {
    pub(super) fn of(exchange: &'e Exchange) -> Self {
        let Exchange { request, envelope, .. } = exchange;
        let mut remarks = vec![curl::summary(exchange)];
        let (body, decoded) = request.body.decoded();
        if request.body.truncated || !decoded {
            remarks.push("The body was recorded only in part; this sends that part.".to_owned());
        }
        if let Some(withheld) = request.body.withheld {
            remarks.push(format!("The body was not recorded: {}.", withheld.reason()));
        }
        let mut headers = Vec::new();
        for header in request.headers.iter().filter(|header| !curl::is_skipped(&header.name)) {
            let is_valid = http::HeaderName::from_bytes(header.name.as_bytes()).is_ok()
                && http::HeaderValue::from_bytes(header.value.as_bytes()).is_ok();
            match is_valid {
                true => headers.push((&*header.name, header.value.trim())),
                false => remarks.push(format!("Skipped, not a valid header: {}", printable(&header.name))),
            }
        }
        Self { envelope, method: &request.method, url: &request.url, headers, body, remarks }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The body, if it is text.
    pub(super) fn text(&self) -> Option<&str> {
        str::from_utf8(&self.body).ok()
    }

    /// The headers by name, with the values of those that came more than once joined.
    pub(super) fn joined(&self) -> Vec<(&'e str, Cow<'e, str>)> {
        let mut joined: Vec<(&str, Cow<'e, str>)> = Vec::new();
        for (name, value) in &self.headers {
            let between = if name.eq_ignore_ascii_case("cookie") { "; " } else { ", " };
            match joined.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, values)) => *values = format!("{values}{between}{value}").into(),
                None => joined.push((name, Cow::Borrowed(value))),
            }
        }
        joined
    }

    /// The remarks as comments, and the variables with the tokens to set.
    pub(super) fn comments(&self, mark: &str) -> String {
        let mut remarks = self.remarks.clone();
        let texts = [self.url, self.text().unwrap_or_default()];
        let values = self.headers.iter().map(|(_, value)| *value);
        let tokens = texts.into_iter().chain(values).flat_map(curl::pieces).filter_map(|piece| match piece {
            curl::Piece::Token(token) => Some((curl::variable(token, self.envelope), token)),
            curl::Piece::Text(_) => None,
        });
        for (variable, token) in tokens.collect::<BTreeSet<_>>() {
            remarks.push(format!("Set the variable {variable} to the token recorded as {token}."));
        }
        remarks.iter().map(|remark| format!("{mark} {}\n", printable(remark))).collect()
    }
}
