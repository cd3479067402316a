//! Redacting exchanges from elsewhere, which may contain secrets.

use bytes::Bytes;
use compact_str::CompactString;

use super::{
    Readable, Redactor,
    body::{Joined, Side},
    names::Names,
    secrets::Secrets,
    syntax::Syntax,
    syntax_of,
    text::Text,
};
use crate::{Body, CapturedBody, Exchange};

impl Redactor {
    /// Replaces the tokens that a recorded exchange still contains, as in live traffic. Returns whether it contained
    /// any.
    ///
    /// An exchange from a redactor contains none and is left unchanged, to the byte.
    pub fn rescan(&mut self, exchange: &mut Exchange) -> bool {
        let Self { names, secrets, .. } = self;
        secrets.next_exchange();
        // Twice, so that a token named in one place is found in those before it.
        let changed = pass(exchange, names, secrets);
        if changed {
            pass(exchange, names, secrets);
        }
        changed
    }
}

/// Redacts every text and body; returns whether any contained a secret.
fn pass(exchange: &mut Exchange, names: &Names, secrets: &mut Secrets) -> bool {
    let mut changed = false;
    let mut clean = |text: &mut dyn Replace, syntax| changed |= replace(text, syntax, names, secrets);
    clean(&mut exchange.session_name, Syntax::Field);
    clean(&mut exchange.environment, Syntax::Field);
    clean(&mut exchange.operation, Syntax::Target);
    clean(&mut exchange.request.method, Syntax::Field);
    clean(&mut exchange.request.url, Syntax::Target);
    clean(&mut exchange.request.http_version, Syntax::Field);
    if let Some(client) = &mut exchange.envelope.client {
        clean(client, Syntax::Field);
    }
    if let Some(response) = &mut exchange.response {
        clean(&mut response.http_version, Syntax::Field);
        response.reason.iter_mut().for_each(|reason| clean(reason, Syntax::Field));
        response.request_id.iter_mut().for_each(|id| clean(id, Syntax::Field));
    }
    if let Some(limit) = &mut exchange.limit {
        clean(&mut limit.rule, Syntax::Field);
    }
    if let Some(error) = &mut exchange.error {
        clean(&mut error.message, Syntax::Field);
    }
    if let Some(destination) = &mut exchange.destination {
        clean(&mut destination.address, Syntax::Target);
        destination.proxy.iter_mut().for_each(|proxy| clean(proxy, Syntax::Target));
        destination.tls.iter_mut().for_each(|tls| clean(&mut tls.server_name, Syntax::Field));
    }
    let response = exchange.response.iter_mut().flat_map(|response| &mut response.headers);
    for header in exchange.request.headers.iter_mut().chain(response) {
        clean(&mut header.value, syntax_of(header.name.as_bytes(), names));
        if !super::head::is_usual(header.name.as_bytes()) {
            clean(&mut header.name, Syntax::Field);
        }
    }
    let media_type = exchange.request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
    let media_type = media_type.map(|header| header.value.clone());
    changed |= replace_in_body(
        Side::Request,
        &mut exchange.request.body,
        media_type.as_ref().map(|media_type| media_type.as_bytes()),
        names,
        secrets,
    );
    for body in exchange.bodies_mut().skip(1) {
        changed |= replace_in_body(Side::Response, body, None, names, secrets);
    }
    changed
}

/// A text field of an exchange.
trait Replace {
    fn bytes(&self) -> &[u8];
    fn put(&mut self, text: &[u8]);
}

impl Replace for String {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn put(&mut self, text: &[u8]) {
        *self = read(text);
    }
}

impl Replace for CompactString {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }

    fn put(&mut self, text: &[u8]) {
        *self = read(text);
    }
}

fn read<T: Readable>(text: &[u8]) -> T {
    super::readable(text)
}

fn replace(text: &mut dyn Replace, syntax: Syntax, names: &Names, secrets: &mut Secrets) -> bool {
    let mut found = Text::new(text.bytes(), syntax);
    found.find_named(names, secrets);
    if syntax == Syntax::Target {
        found.find_shaped(secrets);
    }
    found.find_values(secrets);
    found.keep_pseudonyms();
    let redacted = match found.is_too_complex() {
        true => Some(Bytes::from_static(b"[withheld]")),
        false => found.redacted(),
    };
    let Some(redacted) = redacted.filter(|redacted| redacted != text.bytes()) else { return false };
    text.put(&redacted);
    true
}

fn replace_in_body(
    side: Side,
    body: &mut Body,
    media_type: Option<&[u8]>,
    names: &Names,
    secrets: &mut Secrets,
) -> bool {
    if body.bytes.is_empty() {
        return false;
    }
    // Any truncation happened when it was recorded; here it is complete.
    let mut captured = CapturedBody::whole(body.bytes.clone());
    let coding = body.content_encoding.clone().unwrap_or_default();
    let joined = Joined::new(side, &mut captured, coding.as_bytes(), media_type);
    let Some(cleaned) = joined.search(names, secrets).finish_rescan(names, secrets) else { return false };
    *body = Body {
        length: body.length,
        sha256: body.sha256,
        masked: body.masked,
        truncated: body.truncated || cleaned.truncated,
        ..cleaned
    };
    true
}
