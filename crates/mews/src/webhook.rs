//! The events in a webhook's body.

use serde::Deserialize;

/// The most events of one body that are read; Mews sends a few.
const MOST: usize = 1000;

/// The events of a webhook, or of a WebSocket's message.
///
/// ```
/// use nightaudit_mews::WebhookEvents;
///
/// let body = br#"{"EnterpriseId":"e","IntegrationId":"i","Events":[{"Discriminator":"CustomerAdded","Value":{"Id":"c1"}}]}"#;
/// assert_eq!(WebhookEvents::read(body).iter().collect::<Vec<_>>(), [("CustomerAdded", Some("c1"))]);
/// assert_eq!(WebhookEvents::read(b"no JSON").iter().count(), 0);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookEvents(Vec<(String, Option<String>)>);

/// A general webhook, an integration webhook, and a message of a WebSocket (Mews' documentation, "API Events").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    #[serde(default)]
    events: Vec<Event>,
    #[serde(default)]
    action: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    #[serde(default)]
    discriminator: Option<String>,
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    value: Option<Value>,
    #[serde(default)]
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Value {
    #[serde(default)]
    id: Option<String>,
}

impl WebhookEvents {
    /// Reads the events; none if the body isn't what Mews sends.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<Body>(body) else { return Self::default() };
        let events = body.events.into_iter().filter_map(|event| {
            Some((event.discriminator.or(event.r#type)?, event.value.and_then(|value| value.id).or(event.id)))
        });
        let action = body.action.into_iter().map(|action| (action, None));
        Self(events.chain(action).take(MOST).collect())
    }

    /// The kind of each event, and the id of what it is about.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(kind, id)| (kind.as_str(), id.as_deref()))
    }

    /// The operation that fetches what an event of this kind is about, without its version; `None` if there is none.
    #[must_use]
    pub fn fetched_by(kind: &str) -> Option<&'static str> {
        Some(match kind {
            "ServiceOrderUpdated" | "Reservation" => "reservations/getAll",
            "ResourceUpdated" | "Resource" => "resources/getAll",
            "MessageAdded" => "messages/getAll",
            "ResourceBlockUpdated" => "resourceBlocks/getAll",
            "CustomerAdded" | "CustomerUpdated" => "customers/getAll",
            "PaymentUpdated" => "payments/getAll",
            "DeviceCommand" => "commands/getAllByIds",
            "PriceUpdate" => "rates/getPricing",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_events_are_read() {
        let kinds = |body: &str| {
            let events = WebhookEvents::read(body.as_bytes());
            events.iter().map(|(kind, id)| format!("{kind} {}", id.unwrap_or("-"))).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(
            kinds(
                r#"{"Events":[{"Type":"Reservation","Id":"r1","State":"Processed"},{"Discriminator":"X","Value":{}}]}"#
            ),
            "Reservation r1, X -"
        );
        assert_eq!(kinds(r#"{"Action":"IntegrationCreated","Data":{"Enterprise":{}}}"#), "IntegrationCreated -");
        for other in ["", "[]", "{}", r#"{"Events":5}"#, r#"{"Events":[5]}"#, r#"{"Events":[{}]}"#, "\u{0}"] {
            assert_eq!(kinds(other), "", "{other}");
        }
    }

    #[test]
    fn every_fetching_operation_is_documented() {
        for kind in [
            "ServiceOrderUpdated",
            "ResourceUpdated",
            "MessageAdded",
            "ResourceBlockUpdated",
            "CustomerAdded",
            "PaymentUpdated",
            "DeviceCommand",
            "PriceUpdate",
        ] {
            let path = WebhookEvents::fetched_by(kind).unwrap();
            assert!(crate::operations().iter().any(|operation| operation.path.starts_with(path)), "{path}");
        }
        assert_eq!(WebhookEvents::fetched_by("IntegrationCreated"), None);
    }
}
