//! What changes tell: to WebSockets, and to webhooks.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use crate::kind::Kind;
use crate::knowledge::{Knowledge, OperationSpec};
use crate::made::{Generator, Scene};
use crate::property::{Item, Property};

/// Events that a WebSocket may be behind before it misses some.
const BEHIND: usize = 1024;

/// Webhooks that may wait to be sent.
const WAITING: usize = 1024;

/// A change, as it is told.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// What WebSockets get.
    pub(crate) socket: Option<Value>,
    /// What webhooks get.
    pub(crate) hook: Option<Value>,
}

impl Event {
    /// The event of a changed item; none where nobody is told of its kind.
    pub(crate) fn of(
        collection: &str,
        deed: &OperationSpec,
        item: &Item,
        property: &Property,
        now: Timestamp,
    ) -> Option<Self> {
        let kind = Knowledge::built_in().collections.get(collection)?;
        let mut maker = Generator::new(&property.soil, "events", 0, 1, now);
        let scene = Scene { item: Some(&item.fields), ..Scene::default() };
        let socket = kind.event.as_ref().map(|event| maker.value(&Kind::Object(event.clone()), scene));
        let discriminator = deed.webhook.as_ref().or(kind.webhook.as_ref());
        let hook = discriminator.map(|name| json!({ "Discriminator": **name, "Value": { "Id": item.id() } }));
        (socket.is_some() || hook.is_some()).then_some(Self { socket, hook })
    }
}

/// Hands events to whoever listens.
#[derive(Debug)]
pub(crate) struct Events {
    sockets: broadcast::Sender<Arc<str>>,
    hooks: mpsc::Sender<Vec<Value>>,
}

impl Events {
    /// With the end at which webhooks come out.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Vec<Value>>) {
        let (hooks, waiting) = mpsc::channel(WAITING);
        (Self { sockets: broadcast::Sender::new(BEHIND), hooks }, waiting)
    }

    /// What WebSockets get from now on, each a whole message.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.sockets.subscribe()
    }

    /// Tells the events of one request.
    pub(crate) fn tell(&self, events: Vec<Event>, with_hooks: bool) {
        let (sockets, hooks): (Vec<_>, Vec<_>) = events.into_iter().map(|event| (event.socket, event.hook)).unzip();
        let sockets: Vec<_> = sockets.into_iter().flatten().collect();
        if !sockets.is_empty() {
            // An error says that nobody listens.
            let _ = self.sockets.send(json!({ "Events": sockets }).to_string().into());
        }
        let hooks: Vec<_> = hooks.into_iter().flatten().collect();
        if with_hooks && !hooks.is_empty() && self.hooks.try_send(hooks).is_err() {
            tracing::warn!("a webhook is dropped: {WAITING} wait to be sent");
        }
    }
}
