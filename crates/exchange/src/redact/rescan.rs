//! Redacting exchanges from elsewhere, which may contain secrets.

use bytes::Bytes;
use compact_str::CompactString;
use smallvec::smallvec;

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
    /// Replaces the tokens and configured properties that a recorded exchange still contains, as in live traffic. Returns
    /// whether it contained any.
    ///
    /// An exchange from a redactor of the same properties contains none and is left unchanged, to the byte.
    pub fn rescan(&mut self, exchange: &mut Exchange) -> bool {
        let Self { names, secrets, .. } = self;
        secrets.next_exchange();
        let mut rescan = Rescan { names, secrets, changed: false };
        // Twice, so that a token named in one place is found in those before it.
        visit(exchange, &mut rescan);
        if rescan.changed {
            visit(exchange, &mut rescan);
        }
        rescan.changed
    }

    /// Redacts an exchange that another tool recorded, as strictly as live traffic: what could hide a secret is withheld,
    /// and the end of a truncated body is searched for the beginning of one.
    ///
    /// Pseudonyms that are there already are kept.
    pub fn redact(&mut self, exchange: &mut Exchange) {
        let Self { names, secrets, .. } = self;
        secrets.next_exchange();
        if let Some(client) = &exchange.envelope.client {
            secrets.forget(client.as_bytes());
        }
        // By name first, everywhere, so that a token named in one place is known in all others.
        visit(exchange, &mut Learn { names, secrets });
        visit(exchange, &mut Redact { names, secrets });
    }
}

/// What is done with every text and body of an exchange.
trait Visit {
    fn names(&self) -> &Names;
    fn text(&mut self, text: &mut dyn Replace, syntax: Syntax);
    fn body(&mut self, side: Side, body: &mut Body, media_type: Option<&[u8]>);
}

fn visit(exchange: &mut Exchange, visitor: &mut impl Visit) {
    visitor.text(&mut exchange.session_name, Syntax::Field);
    visitor.text(&mut exchange.environment, Syntax::Field);
    visitor.text(&mut exchange.operation, Syntax::Target);
    visitor.text(&mut exchange.request.method, Syntax::Field);
    visitor.text(&mut exchange.request.url, Syntax::Target);
    visitor.text(&mut exchange.request.http_version, Syntax::Field);
    if let Some(client) = &mut exchange.envelope.client {
        visitor.text(client, Syntax::Field);
    }
    if let Some(response) = &mut exchange.response {
        visitor.text(&mut response.http_version, Syntax::Field);
        response.reason.iter_mut().for_each(|reason| visitor.text(reason, Syntax::Field));
        response.request_id.iter_mut().for_each(|id| visitor.text(id, Syntax::Field));
    }
    if let Some(limit) = &mut exchange.limit {
        visitor.text(&mut limit.rule, Syntax::Field);
    }
    if let Some(error) = &mut exchange.error {
        visitor.text(&mut error.message, Syntax::Field);
    }
    if let Some(destination) = &mut exchange.destination {
        visitor.text(&mut destination.address, Syntax::Target);
        destination.proxy.iter_mut().for_each(|proxy| visitor.text(proxy, Syntax::Target));
        destination.tls.iter_mut().for_each(|tls| visitor.text(&mut tls.server_name, Syntax::Field));
    }
    exchange.recorded_by.iter_mut().for_each(|tool| visitor.text(tool, Syntax::Field));
    let response = exchange.response.iter_mut().flat_map(|response| &mut response.headers);
    for header in exchange.request.headers.iter_mut().chain(response) {
        let syntax = syntax_of(header.name.as_bytes(), visitor.names());
        visitor.text(&mut header.value, syntax);
        if !super::head::is_usual(header.name.as_bytes()) {
            visitor.text(&mut header.name, Syntax::Field);
        }
    }
    let media_type = exchange.request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
    let media_type = media_type.map(|header| header.value.clone());
    let media_type = media_type.as_ref().map(|media_type| media_type.as_bytes());
    visitor.body(Side::Request, &mut exchange.request.body, media_type);
    exchange.bodies_mut().skip(1).for_each(|body| visitor.body(Side::Response, body, None));
}

/// Replaces what an exchange from a redactor does not have.
struct Rescan<'a> {
    names: &'a Names,
    secrets: &'a mut Secrets,
    changed: bool,
}

impl Visit for Rescan<'_> {
    fn names(&self) -> &Names {
        self.names
    }

    fn text(&mut self, text: &mut dyn Replace, syntax: Syntax) {
        self.changed |= replace(text, syntax, self.names, self.secrets);
    }

    fn body(&mut self, side: Side, body: &mut Body, media_type: Option<&[u8]>) {
        self.changed |= replace_in_body(side, body, media_type, self.names, self.secrets);
    }
}

/// Learns the tokens that are named, and replaces nothing.
struct Learn<'a> {
    names: &'a Names,
    secrets: &'a mut Secrets,
}

impl Visit for Learn<'_> {
    fn names(&self) -> &Names {
        self.names
    }

    fn text(&mut self, text: &mut dyn Replace, syntax: Syntax) {
        let mut found = Text::new(text.bytes(), syntax);
        found.find_named(self.names, self.secrets);
        if syntax == Syntax::Target {
            found.find_shaped(self.secrets);
        }
    }

    fn body(&mut self, side: Side, body: &mut Body, media_type: Option<&[u8]>) {
        if !body.bytes.is_empty() {
            let _ = joined(side, body, media_type).search(self.names, self.secrets);
        }
    }
}

/// Replaces everything that is found, and withholds what can't be searched.
struct Redact<'a> {
    names: &'a Names,
    secrets: &'a mut Secrets,
}

impl Visit for Redact<'_> {
    fn names(&self) -> &Names {
        self.names
    }

    fn text(&mut self, text: &mut dyn Replace, syntax: Syntax) {
        replace(text, syntax, self.names, self.secrets);
    }

    fn body(&mut self, side: Side, body: &mut Body, media_type: Option<&[u8]>) {
        if body.bytes.is_empty() {
            return;
        }
        let searched = joined(side, body, media_type);
        let cleaned =
            searched.search(self.names, self.secrets).finish_foreign(self.names, self.secrets, !body.truncated);
        *body = Body { length: body.length, truncated: body.truncated || cleaned.truncated, ..cleaned };
    }
}

/// The body of another tool's exchange as if it had just passed.
fn joined(side: Side, body: &Body, media_type: Option<&[u8]>) -> Joined {
    let kept = body.bytes.len() as u64;
    let mut captured = CapturedBody {
        kept: smallvec![body.bytes.clone()],
        length: if body.truncated { body.length.max(kept + 1) } else { kept },
        sha256: Some(body.sha256),
        ..CapturedBody::default()
    };
    let coding = body.content_encoding.clone().unwrap_or_default();
    Joined::new(side, &mut captured, coding.as_bytes(), media_type)
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
