//! Identity: `Client` and tokens.

use std::collections::HashMap;

use nightaudit_exchange::{Exchange, Pseudonym};
use nightaudit_mews::{Environment, PUBLISHED_TOKENS};

use crate::{
    declaration::Declaration,
    findings::{Findings, count_of},
    review::{ClientReview, Evidence, Identity, TokenReview},
    rule::Rule,
};

/// The most values of `Client` that are tracked.
const MOST_CLIENTS: usize = 50;

/// The most client tokens that are listed, and access tokens.
const MOST_CLIENT_TOKENS: usize = 50;
const MOST_ACCESS_TOKENS: usize = 200;

/// The longest `Client` that is kept, in characters.
const LONGEST: usize = 100;

/// The name in the documentation's samples, without a version.
const SAMPLE: &str = "sample client";

/// The names of tools and libraries, in lower case.
const TOOLS: &[&str] = &[
    "postman",
    "insomnia",
    "curl",
    "httpie",
    "bruno",
    "swagger",
    "soapui",
    "thunder client",
    "paw",
    "wget",
    "python-requests",
    "python-urllib",
    "axios",
    "okhttp",
    "node-fetch",
    "undici",
    "go-http-client",
    "guzzlehttp",
    "restsharp",
    "apache-httpclient",
    "mozilla",
];

/// Whether a `Client` begins with a tool's name; the word may continue as in `PostmanRuntime`.
fn is_tool(client: &str) -> bool {
    let client = client.to_lowercase();
    TOOLS.iter().any(|tool| {
        client.strip_prefix(tool).is_some_and(|rest| {
            let is_word = rest.chars().next().is_none_or(|letter| !letter.is_alphanumeric());
            is_word
                || rest.starts_with("runtime")
                || rest.starts_with("ui")
                || rest.starts_with(|letter: char| letter.is_ascii_digit())
        })
    })
}

/// Whether a `Client` contains a version.
fn has_version(client: &str) -> bool {
    let words = client.split(|letter: char| letter.is_whitespace() || "/()[]_-:,;@".contains(letter));
    let begins = |word: &str| {
        let number = word.strip_prefix(['v', 'V']).unwrap_or(word);
        number.starts_with(|letter: char| letter.is_ascii_digit())
    };
    let bytes = client.as_bytes();
    words.into_iter().any(begins)
        || bytes.windows(3).any(|three| three[0].is_ascii_digit() && three[1] == b'.' && three[2].is_ascii_digit())
}

/// Counts requests by `Client` and token.
#[derive(Debug, Clone)]
pub(crate) struct IdentityPart {
    clients: Vec<(ClientReview, Evidence)>,
    unlisted_clients: u64,
    client_tokens: TokenList,
    access_tokens: TokenList,
    without_client: Evidence,
    without_access_token: u64,
    sample: Evidence,
    shared: Evidence,
    shared_tokens: Vec<Pseudonym>,
}

#[derive(Debug, Clone, Default)]
struct TokenList {
    index: HashMap<Pseudonym, usize>,
    tokens: Vec<(Pseudonym, Evidence)>,
    unlisted: u64,
}

impl TokenList {
    fn note(&mut self, token: Pseudonym, exchange: &Exchange, most: usize) {
        let index = match self.index.get(&token) {
            Some(index) => *index,
            None if self.tokens.len() < most => {
                self.tokens.push((token, Evidence::default()));
                self.index.insert(token, self.tokens.len() - 1);
                self.tokens.len() - 1
            }
            None => {
                self.unlisted += 1;
                return;
            }
        };
        self.tokens[index].1.add(exchange.id, exchange.started_at);
    }

    fn reviews(&self, shared: &[Pseudonym]) -> Vec<TokenReview> {
        let review = |(token, evidence): &(Pseudonym, Evidence)| TokenReview {
            token: *token,
            calls: evidence.count,
            shared: shared.contains(token),
        };
        self.tokens.iter().map(review).collect()
    }
}

impl Default for IdentityPart {
    fn default() -> Self {
        Self {
            clients: Vec::new(),
            unlisted_clients: 0,
            client_tokens: TokenList::default(),
            access_tokens: TokenList::default(),
            without_client: Evidence::default(),
            without_access_token: 0,
            sample: Evidence::default(),
            shared: Evidence::default(),
            shared_tokens: PUBLISHED_TOKENS.iter().map(|tokens| Pseudonym::of(tokens.access.as_bytes())).collect(),
        }
    }
}

impl IdentityPart {
    pub(crate) fn note(&mut self, exchange: &Exchange) {
        let envelope = &exchange.envelope;
        let (id, at) = (exchange.id, exchange.started_at);
        match envelope.access_token {
            Some(token) => {
                self.access_tokens.note(token, exchange, MOST_ACCESS_TOKENS);
                if self.shared_tokens.contains(&token) {
                    self.shared.add(id, at);
                }
            }
            None => self.without_access_token += 1,
        }
        if let Some(token) = envelope.client_token {
            self.client_tokens.note(token, exchange, MOST_CLIENT_TOKENS);
        }
        match envelope.client.as_deref().map(str::trim).filter(|client| !client.is_empty()) {
            Some(client) => self.note_client(client, exchange),
            // A WebSocket's cookies can't carry it, and unknown paths have a rule of their own.
            None if exchange.operation == Environment::EVENTS_PATH || exchange.operation.starts_with('/') => {}
            None => self.without_client.add(id, at),
        }
    }

    fn note_client(&mut self, client: &str, exchange: &Exchange) {
        let (id, at) = (exchange.id, exchange.started_at);
        if client.get(..SAMPLE.len()).is_some_and(|name| name.eq_ignore_ascii_case(SAMPLE)) {
            self.sample.add(id, at);
        }
        let is_it = |own: &ClientReview| own.client == client || own.client.chars().eq(client.chars().take(LONGEST));
        if let Some((own, evidence)) = self.clients.iter_mut().find(|(own, _)| is_it(own)) {
            own.calls += 1;
            (own.first, own.last) = (own.first.min(at), own.last.max(at));
            evidence.add(id, at);
        } else if self.clients.len() < MOST_CLIENTS {
            let client = client.chars().take(LONGEST).collect();
            let mut evidence = Evidence::default();
            evidence.add(id, at);
            self.clients.push((ClientReview { client, calls: 1, first: at, last: at }, evidence));
        } else {
            self.unlisted_clients += 1;
        }
    }

    /// Whether this token is printed in the documentation.
    pub(crate) fn is_shared(&self, token: Pseudonym) -> bool {
        self.shared_tokens.contains(&token)
    }

    pub(crate) fn report(&self, declaration: &Declaration, findings: &mut Findings<'_>) -> Identity {
        self.raise(declaration, findings);
        for (count, what, most) in [
            (self.unlisted_clients, "values of `Client`", MOST_CLIENTS),
            (self.client_tokens.unlisted, "client tokens", MOST_CLIENT_TOKENS),
            (self.access_tokens.unlisted, "access tokens", MOST_ACCESS_TOKENS),
        ] {
            if count > 0 {
                findings
                    .bounds
                    .push(format!("{what} beyond the first {most} are not listed: {}", count_of(count, "request")));
            }
        }
        Identity {
            clients: self.clients.iter().map(|(client, _)| client.clone()).collect(),
            without_client: self.without_client.count,
            client_tokens: self.client_tokens.reviews(&[]),
            access_tokens: self.access_tokens.reviews(&self.shared_tokens),
            without_access_token: self.without_access_token,
        }
    }

    fn raise(&self, declaration: &Declaration, findings: &mut Findings<'_>) {
        if self.without_client.count > 0 {
            let message = format!("{} without a `Client`.", count_of(self.without_client.count, "request"));
            findings.raise(Rule::ClientMissing, None, message, &self.without_client);
        }
        if self.sample.count > 0 {
            let message =
                format!("{} with the `Client` of the documentation's example.", count_of(self.sample.count, "request"));
            findings.raise(Rule::ClientSample, None, message, &self.sample);
        }
        let sample = |client: &str| client.get(..SAMPLE.len()).is_some_and(|name| name.eq_ignore_ascii_case(SAMPLE));
        for (rule, what, is_it) in [
            (Rule::ClientTool, "is the name of a tool", &is_tool as &dyn Fn(&str) -> bool),
            (Rule::ClientVersion, "has no version", &|client| {
                !has_version(client) && !is_tool(client) && !sample(client)
            }),
        ] {
            for (own, evidence) in self.clients.iter().filter(|(own, _)| is_it(&own.client)) {
                let message = format!("`Client` \"{}\" {what}, in {}.", own.client, count_of(own.calls, "request"));
                findings.raise(rule, None, message, evidence);
            }
        }
        if self.clients.len() > 1 {
            let names: Vec<String> =
                self.clients.iter().take(5).map(|(own, _)| format!("\"{}\"", own.client)).collect();
            let more = if self.clients.len() > 5 { ", …" } else { "" };
            let message = format!("{} values of `Client`: {}{more}.", self.clients.len(), names.join(", "));
            // The first exchange of each name shows the change.
            let mut evidence = first_of_each(self.clients.iter().map(|(_, evidence)| evidence));
            evidence.count = self.clients.len() as u64;
            findings.raise(Rule::ClientChanges, None, message, &evidence);
        }
        if let Some(declared) = declaration.client.as_deref().map(str::trim).filter(|client| !client.is_empty()) {
            let others = self.clients.iter().filter(|(own, _)| !own.client.starts_with(declared));
            let mut evidence = first_of_each(others.clone().map(|(_, evidence)| evidence));
            evidence.count = others.clone().map(|(own, _)| own.calls).sum();
            if let Some((other, _)) = others.clone().next() {
                let message = format!("`Client` is \"{}\" but \"{declared}\" is declared.", other.client);
                findings.raise(Rule::ClientDiffers, None, message, &evidence);
            }
        }
        if self.client_tokens.tokens.len() > 1 {
            let message = format!("{} client tokens in one session.", self.client_tokens.tokens.len());
            let mut evidence = first_of_each(self.client_tokens.tokens.iter().map(|(_, evidence)| evidence));
            evidence.count = self.client_tokens.tokens.len() as u64;
            findings.raise(Rule::SeveralClientTokens, None, message, &evidence);
        }
        if self.shared.count > 0 {
            let message =
                format!("{} with an access token from the documentation.", count_of(self.shared.count, "request"));
            findings.raise(Rule::SharedDemoToken, None, message, &self.shared);
        }
    }
}

fn first_of_each<'a>(all: impl Iterator<Item = &'a Evidence>) -> Evidence {
    let mut first = Evidence::default();
    for evidence in all {
        if let (Some(id), Some(at)) = (evidence.exchanges.first(), evidence.first) {
            first.add(*id, at);
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_and_versions_are_recognised() {
        for tool in
            ["Postman", "PostmanRuntime/7.39.0", "insomnia/9.3", "curl 8.5.0", "Thunder Client", "python-requests/2.32"]
        {
            assert!(is_tool(tool), "{tool}");
        }
        for own in ["Curly Hotels 1.0", "Paws & Stay 2.0", "Acme Postman 1.0"] {
            assert!(!is_tool(own), "{own}");
        }
        for with in ["Acme Kiosk 2.1.0", "Acme/v3", "Acme Kiosk (build 77)", "AcmeKiosk2.1", "Acme-7"] {
            assert!(has_version(with), "{with}");
        }
        for without in ["Acme Kiosk", "Acme Kiosk version", "Room42", "Acme v"] {
            assert!(!has_version(without), "{without}");
        }
    }

    #[test]
    fn published_tokens_are_recognised() {
        let part = IdentityPart::default();
        for printed in [
            "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D",
            "7059D2C25BF64EA681ACAB3A00B859CC-D91BFF2B1E3047A3E0DEC1D57BE1382",
            "4D6C7ABE0E6A4681B0AFB16900AE5D86-DF50CBC89E1D4FF5859DDF021649ED5",
            "CC150C355D6A4048A220AD20015483AB-B6D09C0C84B09538077CB8FFBB907B4",
        ] {
            assert!(part.is_shared(Pseudonym::of(printed.as_bytes())), "{printed}");
        }
        assert!(!part.is_shared(Pseudonym::of(b"a token of one's own")));
    }
}
