//! Webhook delivery by POST, with retries.

use std::collections::VecDeque;
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::option::InvalidOption;

/// Time allowed for the receiver's 2xx.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Delay before a retry.
const RETRY_DELAY: Duration = Duration::from_secs(180);

/// Maximum number of attempts.
const MAX_ATTEMPTS: u32 = 5;

/// Maximum number of concurrent deliveries, and of deliveries waiting for a retry.
const MAX_CONCURRENT: usize = 8;
const MAX_RETRIES_QUEUED: usize = 1000;

/// The URL that webhooks are posted to; `http://` only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(Uri);

impl FromStr for WebhookUrl {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        let uri: Option<Uri> = text.parse().ok();
        uri.filter(|uri| uri.scheme_str() == Some("http") && uri.authority().is_some()).map(Self).ok_or_else(|| {
            InvalidOption::new("a webhook URL", text, "use an absolute http:// URL like http://127.0.0.1:3000/hook")
        })
    }
}

/// Delivers a webhook's body to its receiver.
pub(crate) trait Transport: Clone + Send + 'static {
    /// The status of the response, or why there is none.
    fn post(&self, body: Bytes) -> impl Future<Output = Result<StatusCode, String>> + Send;
}

/// Delivery over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct HttpTransport {
    hook: WebhookUrl,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl HttpTransport {
    pub(crate) fn new(hook: WebhookUrl) -> Self {
        Self { hook, client: Client::builder(TokioExecutor::new()).build_http() }
    }
}

impl Transport for HttpTransport {
    async fn post(&self, body: Bytes) -> Result<StatusCode, String> {
        let request = Request::post(self.hook.0.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        self.client.request(request).await.map(|response| response.status()).map_err(|error| error.to_string())
    }
}

/// A webhook being delivered.
#[derive(Debug)]
struct Delivery {
    body: Bytes,
    attempts: u32,
}

/// Delivers incoming events, with retries, until `events` ends.
pub(crate) async fn deliver(
    mut events: mpsc::Receiver<Vec<Value>>,
    enterprise: &str,
    integration: &str,
    transport: impl Transport,
) {
    let mut in_flight = JoinSet::new();
    // In order of their next attempt, since the delay is constant.
    let mut retries: VecDeque<(Instant, Delivery)> = VecDeque::new();
    let send = |in_flight: &mut JoinSet<_>, delivery: Delivery| {
        let transport = transport.clone();
        in_flight.spawn(async move {
            let response = tokio::time::timeout(TIMEOUT, transport.post(delivery.body.clone())).await;
            let error = match response {
                Ok(Ok(status)) if status.is_success() => None,
                Ok(Ok(status)) => Some(format!("it responded {status}")),
                Ok(Err(error)) => Some(error),
                Err(_) => Some(format!("no response in {} s", TIMEOUT.as_secs())),
            };
            (delivery, error)
        });
    };
    loop {
        let has_room = in_flight.len() < MAX_CONCURRENT;
        let next = retries.front().map_or_else(|| Instant::now() + RETRY_DELAY, |(at, _)| *at);
        tokio::select! {
            events = events.recv(), if has_room => {
                let Some(events) = events else { return };
                let body = json!({ "EnterpriseId": enterprise, "IntegrationId": integration, "Events": events });
                send(&mut in_flight, Delivery { body: body.to_string().into(), attempts: 0 });
            }
            () = tokio::time::sleep_until(next), if has_room && !retries.is_empty() => {
                if let Some((_, delivery)) = retries.pop_front() {
                    send(&mut in_flight, delivery);
                }
            }
            Some(done) = in_flight.join_next() => {
                let Ok((delivery, Some(error))) = done else { continue };
                let delivery = Delivery { attempts: delivery.attempts + 1, ..delivery };
                if delivery.attempts >= MAX_ATTEMPTS || retries.len() >= MAX_RETRIES_QUEUED {
                    tracing::warn!("giving up on a webhook: {error}");
                } else {
                    tracing::warn!("a webhook failed ({error}); retrying in {} s", RETRY_DELAY.as_secs());
                    retries.push_back((Instant::now() + RETRY_DELAY, delivery));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    /// Responds with these statuses in turn; `None` never responds. Records when it was called.
    #[derive(Clone)]
    struct Script(Arc<Mutex<(VecDeque<Option<u16>>, Attempts)>>, Instant, mpsc::Sender<()>);

    /// When, and the body.
    type Attempts = Vec<(Duration, Value)>;

    impl Transport for Script {
        async fn post(&self, body: Bytes) -> Result<StatusCode, String> {
            let answer = {
                let mut script = self.0.lock();
                script.1.push((self.1.elapsed(), serde_json::from_slice(&body).unwrap()));
                script.0.pop_front().expect("it was called more often than expected")
            };
            let _ = self.2.send(()).await;
            match answer {
                Some(status) => Ok(status.try_into().unwrap()),
                None => std::future::pending().await,
            }
        }
    }

    async fn attempts(answers: &[Option<u16>], events: usize) -> Attempts {
        let (sender, receiver) = mpsc::channel(8);
        let (asked, mut seen) = mpsc::channel(8);
        let script =
            Script(Arc::new(Mutex::new((answers.iter().copied().collect(), Vec::new()))), Instant::now(), asked);
        for count in 0..events {
            sender.send(vec![json!({ "Discriminator": "ResourceUpdated", "Value": { "Id": count } })]).await.unwrap();
        }
        let delivering = tokio::spawn({
            let script = script.clone();
            async move { deliver(receiver, "enterprise", "integration", script).await }
        });
        for _ in answers {
            seen.recv().await.unwrap();
        }
        // Long afterwards, nothing more is sent.
        tokio::time::sleep(RETRY_DELAY * 10).await;
        delivering.abort();
        let script = script.0.lock();
        script.1.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn an_accepted_webhook_is_sent_once() {
        let attempts = attempts(&[Some(204), Some(200)], 2).await;
        assert_eq!(attempts.len(), 2);
        let body = json!({ "EnterpriseId": "enterprise", "IntegrationId": "integration",
            "Events": [{ "Discriminator": "ResourceUpdated", "Value": { "Id": 0 } }] });
        assert!(attempts.iter().any(|(_, sent)| *sent == body));
    }

    #[tokio::test(start_paused = true)]
    async fn a_webhook_not_accepted_in_five_seconds_is_retried_after_three_minutes() {
        let attempts = attempts(&[None, Some(500), Some(301), Some(200)], 1).await;
        let times: Vec<_> = attempts.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(times, [0, 185, 365, 545]);
        assert!(attempts.iter().all(|(_, sent)| *sent == attempts[0].1));
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_bounded() {
        assert_eq!(attempts(&[Some(500); MAX_ATTEMPTS as usize], 1).await.len(), MAX_ATTEMPTS as usize);
    }

    #[test]
    fn a_url_is_absolute_and_plain_http() {
        assert!("http://127.0.0.1:3000/hook".parse::<WebhookUrl>().is_ok());
        for text in ["", "127.0.0.1:3000", "https://example.com/hook", "/hook", "http://"] {
            assert!(text.parse::<WebhookUrl>().is_err(), "{text}");
        }
    }
}
