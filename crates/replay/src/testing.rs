//! Exchanges for tests.

use nightaudit_exchange::{Body, Exchange, ExchangeId, Pseudonym};

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
        const JSON: &str = r#"{"id":"01KAS00000000000000000000A","session":"01KAS000000000000000000000","sessionName":"a",
            "sequence":1,"environment":"demo","operation":"","startedAt":"2026-11-23T12:00:00.123456Z",
            "timesUs":{"forwarded":210,"responseHead":84312,"responseEnd":85120},"peer":null,"envelope":{"paginated":false},
            "request":{"method":"POST","url":"","httpVersion":"HTTP/1.1","headers":[],"bodyLength":0,
            "bodySha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","truncated":false},
            "response":{"status":200,"httpVersion":"HTTP/1.1","headers":[],"requestId":null,"bodyLength":0,
            "bodySha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","truncated":false},
            "limit":null,"outcome":"answered","error":null}"#;
        let mut exchange: Exchange = serde_json::from_str(JSON).unwrap();
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
            response.body = Body::whole(self.response.clone().into());
        }
        exchange
    }
}
