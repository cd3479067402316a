//! A kiosk's morning: guests arrive, and not everything is called as it should be.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use nightaudit_mews::PUBLISHED_TOKENS;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

/// The kiosk's `Client`.
const CLIENT: &str = "Nightaudit Tour 1.0.0";

/// Guests that are checked in.
const GUESTS: usize = 18;

/// Requests of the burst.
const BURST: usize = 40;

/// How often a refused request is retried.
const ATTEMPTS: u32 = 4;

/// The longest `Retry-After` that is respected, so that the tour ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// The kiosk.
#[derive(Debug, Clone)]
pub(super) struct Morning {
    proxy: SocketAddr,
    pace: Duration,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// A response.
struct MewsResponse {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Value,
}

impl Morning {
    pub(super) fn new(proxy: SocketAddr, pace: Duration) -> Self {
        Self { proxy, pace, http: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Sets up, meets every guest, makes its mistakes and its rush.
    pub(super) async fn spend(self) -> anyhow::Result<()> {
        let page = json!({ "Count": 100 });
        self.call("configuration/get", json!({})).await?;
        self.call("languages/getAll", json!({})).await?;
        self.call("services/getAll", json!({ "Limitation": page })).await?;
        // The address is matched exactly: this is a 404, and put right by the next call.
        self.call("products/getall", json!({ "Limitation": page })).await?;
        let services = self.call("services/getAll", json!({ "Limitation": page })).await?;
        let service = services.body["Services"][0]["Id"].clone();
        let products = self.call("products/getAll", json!({ "ServiceIds": [service], "Limitation": page })).await?;
        let breakfast = &products.body["Products"][0]["Id"];
        // A page has at most 1000 items: 400.
        let too_many = json!({ "States": ["Confirmed"], "Limitation": { "Count": 5000 } });
        self.call("reservations/getAll/2023-06-06", too_many).await?;
        let arrivals = self.arrivals().await?;
        for (number, reservation) in arrivals.iter().enumerate() {
            self.check_in(reservation, number, breakfast).await?;
            if number == GUESTS / 2 {
                self.rush(&arrivals).await?;
            }
        }
        // A token that is not known: 401.
        self.call("bills/getAll", json!({ "AccessToken": "expired", "Limitation": page })).await?;
        self.call("bills/getAll", json!({ "State": "Open", "Limitation": page })).await?;
        Ok(())
    }

    /// The reservations of the guests to come, page by page.
    async fn arrivals(&self) -> anyhow::Result<Vec<Value>> {
        let (mut arrivals, mut cursor) = (Vec::new(), Value::Null);
        while arrivals.len() < GUESTS {
            let request = json!({ "States": ["Confirmed"], "Limitation": { "Count": 10, "Cursor": cursor } });
            let page = self.call("reservations/getAll/2023-06-06", request).await?.body;
            arrivals.extend(page["Reservations"].as_array().cloned().unwrap_or_default());
            cursor = page["Cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        arrivals.truncate(GUESTS);
        Ok(arrivals)
    }

    async fn check_in(&self, reservation: &Value, number: usize, breakfast: &Value) -> anyhow::Result<()> {
        let page = json!({ "Count": 1 });
        let guest =
            json!({ "CustomerIds": [reservation["AccountId"]], "Extent": { "Customers": true }, "Limitation": page });
        self.call("customers/getAll", guest).await?;
        let room = json!({ "ResourceIds": [reservation["AssignedResourceId"]], "Extent": { "Resources": true }, "Limitation": page });
        self.call("resources/getAll", room).await?;
        if number % 6 == 2 {
            // `Dirty` is a state of rooms, not of reservations: 400.
            let wrong = json!({ "States": ["Dirty"], "Limitation": page });
            self.call("reservations/getAll/2023-06-06", wrong).await?;
        }
        if number % 5 == 4 {
            self.call(
                "customers/update",
                json!({ "CustomerId": reservation["AccountId"], "Phone": "+420 600 000 000" }),
            )
            .await?;
        }
        self.call("reservations/start", json!({ "ReservationId": reservation["Id"] })).await?;
        if number.is_multiple_of(2) {
            let order = json!({ "AccountId": reservation["AccountId"], "ServiceId": reservation["ServiceId"],
                "ProductOrders": [{ "ProductId": breakfast, "Count": 1 }] });
            self.call("orders/add", order).await?;
        }
        Ok(())
    }

    /// Sends many requests at once, like an integration that ignores limits; then it respects `Retry-After`.
    async fn rush(&self, arrivals: &[Value]) -> anyhow::Result<()> {
        const OPERATION: &str = "customers/getAll";
        let mut rush = JoinSet::new();
        for reservation in arrivals.iter().cycle().take(BURST) {
            let kiosk = self.clone();
            let request = json!({ "CustomerIds": [reservation["AccountId"]], "Extent": { "Customers": true },
                "Limitation": { "Count": 1 } });
            rush.spawn(async move { kiosk.send(OPERATION, &request).await.map(|response| (response, request)) });
        }
        let mut again = Vec::new();
        let mut pause = Duration::ZERO;
        while let Some(done) = rush.join_next().await {
            let (response, request) = done??;
            if response.status == StatusCode::TOO_MANY_REQUESTS {
                pause = pause.max(response.retry_after.unwrap_or_default());
                again.push(request);
            }
        }
        tokio::time::sleep(pause.min(PATIENCE)).await;
        for request in again {
            self.call(OPERATION, request).await?;
        }
        Ok(())
    }

    /// Calls an operation; where it is refused for the limit, again after the time that it was told.
    async fn call(&self, operation: &str, fields: Value) -> anyhow::Result<MewsResponse> {
        let mut attempts = 0;
        loop {
            tokio::time::sleep(self.pace).await;
            let response = self.send(operation, &fields).await?;
            attempts += 1;
            match response.retry_after {
                Some(pause) if response.status == StatusCode::TOO_MANY_REQUESTS && attempts < ATTEMPTS => {
                    tokio::time::sleep(pause.min(PATIENCE)).await;
                }
                _ => return Ok(response),
            }
        }
    }

    async fn send(&self, operation: &str, fields: &Value) -> anyhow::Result<MewsResponse> {
        let tokens = PUBLISHED_TOKENS[0];
        let mut body = Map::new();
        for (name, value) in [("ClientToken", tokens.client), ("AccessToken", tokens.access), ("Client", CLIENT)] {
            body.insert(name.to_owned(), value.into());
        }
        body.extend(fields.as_object().cloned().unwrap_or_default());
        let request = Request::post(format!("http://{}/api/connector/v1/{operation}", self.proxy))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(Value::Object(body).to_string()))?;
        let response = self.http.request(request).await.context("the kiosk can't reach nightaudit")?;
        let retry_after =
            response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let status = response.status();
        let body = response.into_body().collect().await.context("the kiosk's response was truncated")?.to_bytes();
        Ok(MewsResponse {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        })
    }
}
