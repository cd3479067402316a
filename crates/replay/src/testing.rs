//! Exchanges for tests.

use nightaudit_exchange::{Body, Envelope, Exchange, ExchangeId, Pseudonym, TimesUs, testing::sample};

/// The target of a request that says none.
pub(crate) const TARGET: &str = "/api/connector/v1/rates/getAll";

/// What is recorded of an exchange.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: String,
    pub(crate) token: String,
    pub(crate) response: String,
}

impl Default for Recorded {
    fn default() -> Self {
        Self {
            method: "POST".to_owned(),
            target: TARGET.to_owned(),
            body: "{}".to_owned(),
            token: "token".to_owned(),
            response: "{}".to_owned(),
        }
    }
}

impl Recorded {
    /// The exchange with this number.
    pub(crate) fn exchange(&self, number: u64) -> Exchange {
        let mut exchange = sample();
        (exchange.envelope, exchange.limit) = (Envelope::default(), None);
        exchange.times_us = TimesUs { forwarded: Some(210), response_head: Some(84_312), response_end: Some(85_120) };
        exchange.started_at = "2026-11-23T12:00:00.123456Z".parse().unwrap();
        exchange.request.headers.clear();
        exchange.id = ExchangeId::from_parts(1_790_000_000_000 + number, u128::from(number));
        exchange.sequence = number + 1;
        exchange.operation = self
            .target
            .strip_prefix("/api/connector/v1/")
            .unwrap_or(&self.target)
            .split('?')
            .next()
            .unwrap()
            .to_owned();
        exchange.envelope.access_token = Some(Pseudonym::of(self.token.as_bytes()));
        exchange.request.method = self.method.as_str().into();
        exchange.request.url = format!("https://api.mews-demo.com{}", self.target);
        exchange.request.body = Body::whole(self.body.clone().into());
        if let Some(response) = &mut exchange.response {
            response.http_version = "HTTP/1.1".into();
            response.headers.clear();
            response.request_id = None;
            response.body = Body::whole(self.response.clone().into());
        }
        exchange
    }
}
