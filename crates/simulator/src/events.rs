//! Publishing changes to WebSockets and webhooks.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use crate::definitions::Definitions;
use crate::generator::{Context, Generator};
use crate::kind::Kind;
use crate::operation_spec::OperationSpec;
use crate::property::{Item, Property};

/// How many events a WebSocket may lag behind before it misses some.
const SOCKET_BACKLOG: usize = 1024;

/// How many webhooks may be queued.
const WEBHOOK_BACKLOG: usize = 1024;

/// A published change.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Payload for WebSockets.
    pub(crate) socket: Option<Value>,
    /// Payload for webhooks.
    pub(crate) hook: Option<Value>,
}

impl Event {
    /// The event of a changed item; `None` if its collection publishes none.
    pub(crate) fn of(
        collection: &str,
        spec: &OperationSpec,
        item: &Item,
        property: &Property,
        now: Timestamp,
    ) -> Option<Self> {
        let kind = Definitions::built_in().collections.get(collection)?;
        let mut generator = Generator::new(&property.seed, "events", 0, 1, now);
        let context = Context { item: Some(&item.fields), ..Context::default() };
        let socket = kind.event.as_ref().map(|event| generator.value(&Kind::Object(event.clone()), context));
        let discriminator = spec.webhook.as_ref().or(kind.webhook.as_ref());
        let hook = discriminator.map(|name| json!({ "Discriminator": **name, "Value": { "Id": item.id() } }));
        (socket.is_some() || hook.is_some()).then_some(Self { socket, hook })
    }
}

/// Publishes events to subscribers.
#[derive(Debug)]
pub(crate) struct Events {
    sockets: broadcast::Sender<Arc<str>>,
    hooks: mpsc::Sender<Vec<Value>>,
}

impl Events {
    /// Also returns the receiver of webhook events.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Vec<Value>>) {
        let (hooks, waiting) = mpsc::channel(WEBHOOK_BACKLOG);
        (Self { sockets: broadcast::Sender::new(SOCKET_BACKLOG), hooks }, waiting)
    }

    /// Subscribes to WebSocket messages from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.sockets.subscribe()
    }

    /// Publishes the events of one request.
    pub(crate) fn publish(&self, events: Vec<Event>, with_hooks: bool) {
        let (sockets, hooks): (Vec<_>, Vec<_>) = events.into_iter().map(|event| (event.socket, event.hook)).unzip();
        let sockets: Vec<_> = sockets.into_iter().flatten().collect();
        if !sockets.is_empty() {
            // An error only means there are no subscribers.
            let _ = self.sockets.send(json!({ "Events": sockets }).to_string().into());
        }
        let hooks: Vec<_> = hooks.into_iter().flatten().collect();
        if with_hooks && !hooks.is_empty() && self.hooks.try_send(hooks).is_err() {
            tracing::warn!("a webhook is dropped: {WEBHOOK_BACKLOG} are queued already");
        }
    }
}
