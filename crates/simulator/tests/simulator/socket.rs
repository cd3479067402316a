//! Events over WebSockets and webhooks.

use futures_util::StreamExt as _;
use http::Request;
use http_body_util::Full;
use nightaudit_mews::PUBLISHED_TOKENS;
use nightaudit_simulator::Config;
use nightaudit_testkit::Upstream;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::Mews;

async fn connect(mews: &Mews, cookie: &str) -> Result<WebSocketStream<TcpStream>, u16> {
    let request = Request::get(format!("ws://{}/ws/connector", mews.address))
        .header("Host", mews.address.to_string())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Cookie", cookie)
        .body(())
        .unwrap();
    match client_async(request, TcpStream::connect(mews.address).await.unwrap()).await {
        Ok((socket, response)) => {
            assert!(response.headers().contains_key("request-id"));
            Ok(socket)
        }
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

fn cookie() -> String {
    format!("ClientToken={}; AccessToken={}", PUBLISHED_TOKENS[0].client, PUBLISHED_TOKENS[0].access)
}

async fn event(socket: &mut WebSocketStream<TcpStream>) -> Value {
    let message = socket.next().await.unwrap().unwrap();
    let Message::Text(text) = message else { panic!("{message:?}") };
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn changes_are_published_to_clients_with_tokens() {
    let mews = Mews::start().await;
    assert_eq!(connect(&mews, "").await.unwrap_err(), 401);
    assert_eq!(connect(&mews, "ClientToken=x; AccessToken=y").await.unwrap_err(), 401);
    let mut sockets = [connect(&mews, &cookie()).await.unwrap(), connect(&mews, &cookie()).await.unwrap()];

    let rooms = json!({ "Extent": { "Resources": true }, "Limitation": { "Count": 1 } });
    let room = mews.call("resources/getAll", rooms).await["Resources"][0].clone();
    let update = json!({ "ResourceUpdates": [{ "ResourceId": room["Id"], "State": { "Value": "Inspected" } }] });
    mews.call("resources/update", update).await;
    let command =
        mews.call("commands/addKeyCutter", json!({ "KeyCutterId": "k", "ReservationId": "r", "KeyCount": 1 })).await;
    let price = json!({ "RateId": "r", "PriceUpdates": [] });
    mews.call("rates/updatePrice", price).await;
    for socket in &mut sockets {
        let resource = json!({ "Type": "Resource", "Id": room["Id"], "State": "Inspected" });
        assert_eq!(event(socket).await, json!({ "Events": [resource] }));
        let device = json!({ "Type": "DeviceCommand", "Id": command["CommandId"], "State": "Pending" });
        assert_eq!(event(socket).await, json!({ "Events": [device] }));
        assert_eq!(event(socket).await["Events"][0]["Type"], "PriceUpdate");
    }
}

#[tokio::test]
async fn the_number_of_sockets_is_bounded_and_recovers() {
    let mews = Mews::with(Config { max_sockets: 1, ..Config::default() }).await;
    let mut socket = connect(&mews, &cookie()).await.unwrap();
    assert_eq!(connect(&mews, &cookie()).await.unwrap_err(), 503);
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    loop {
        if connect(&mews, &cookie()).await.is_ok() {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn invalid_handshakes_are_rejected() {
    let mews = Mews::start().await;
    let get = b"GET /ws/connector HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n";
    assert_eq!(nightaudit_testkit::send(mews.address, get).await.status, 400);
}

#[tokio::test]
async fn changes_are_posted_to_the_webhook() {
    let (sender, mut hooks) = tokio::sync::mpsc::channel(8);
    let partner = Upstream::scripted(move |request| {
        let sender = sender.clone();
        async move {
            sender.send(serde_json::from_slice::<Value>(&request.body).unwrap()).await.unwrap();
            http::Response::new(http_body_util::BodyExt::boxed(http_body_util::BodyExt::map_err(
                Full::from("ok"),
                |never| match never {},
            )))
        }
    })
    .await;
    let webhook = Some(format!("http://{}/hook", partner.address()).parse().unwrap());
    let mews = Mews::with(Config { webhook, ..Config::default() }).await;
    let customer = mews.call("customers/add", json!({ "LastName": "Zyx", "OverwriteExisting": false })).await;
    let hook = hooks.recv().await.unwrap();
    assert_eq!(hook["Events"], json!([{ "Discriminator": "CustomerAdded", "Value": { "Id": customer["Id"] } }]));
    let enterprise = mews.call("configuration/get", json!({})).await["Enterprise"]["Id"].clone();
    assert_eq!(hook["EnterpriseId"], enterprise);
    assert!(hook["IntegrationId"].is_string());
    assert_eq!(partner.seen()[0].head.uri.path(), "/hook");
}
