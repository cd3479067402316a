//! What of the recording came nearest to a request that was not recorded.

use nightaudit_exchange::ExchangeId;
use serde::Serialize;

use crate::{
    comparison::Comparison,
    difference::{Difference, Differences},
    readers::Readers,
    recordings::{Recordings, name},
    redaction::Redacted,
};

/// The most recordings that are compared.
const MAX_COMPARED: usize = 200;

/// Why a request gets no recorded response: the body of the 501, which starts as Mews' errors do.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Explanation {
    pub(crate) message: String,
    pub(crate) operation: String,
    /// The exchange that came nearest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nearest: Option<ExchangeId>,
    /// How the request differs from that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) differences: Vec<Difference>,
}

impl Explanation {
    /// Without a comparison.
    pub(crate) fn plain(operation: String, message: String) -> Self {
        Self { message, operation, ..Self::default() }
    }

    /// Where it differs from the nearest.
    pub(crate) fn pointers(&self) -> Vec<String> {
        self.differences.iter().map(|difference| difference.pointer.clone()).collect()
    }
}

/// Compares a request with recordings of its operation.
pub(crate) async fn explain(recordings: &Recordings, readers: &Readers, method: &str, asked: &Redacted) -> Explanation {
    let operation = name(method, &asked.operation);
    let (candidates, all) = recordings.near(method, &asked.operation, MAX_COMPARED);
    if candidates.is_empty() {
        return Explanation::plain(operation, unknown(recordings, method, &asked.operation));
    }
    let (body, _) = asked.body.decoded();
    let compared = candidates.len();
    let mut nearest: Option<(ExchangeId, Differences)> = None;
    for recording in candidates {
        let id = recordings.id(recording);
        // What can't be read can't be near.
        let Ok(exchange) = readers.read(id).await else { continue };
        let (recorded, _) = exchange.request.body.decoded();
        let mut differences = between(recordings.comparison(), &body, &recorded);
        let target = crate::key::target(&exchange.request.url);
        if differences.first.is_empty() && target != asked.target {
            differences = Differences::of_text(asked.target.as_bytes(), target.as_bytes());
        }
        if nearest.as_ref().is_none_or(|(_, least)| differences.count < least.count) {
            nearest = Some((id, differences));
        }
    }
    let Some((id, differences)) = nearest else {
        let message = format!("The recordings of {operation} can't be read.");
        return Explanation::plain(operation, message);
    };
    let of = if compared < all { format!("{compared} compared of {all} recordings") } else { count(all) };
    let how = match &differences.first[..] {
        [] => "differs in what can't be compared".to_owned(),
        [only] if only.pointer.is_empty() => "differs as a whole".to_owned(),
        [first, rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            format!("differs in {}{more}", described(first))
        }
    };
    Explanation {
        message: format!("This request to {operation} was not recorded. The nearest of {of}, {id}, {how}."),
        operation,
        nearest: Some(id),
        differences: differences.first,
    }
}

fn count(recordings: usize) -> String {
    if recordings == 1 { "1 recording".to_owned() } else { format!("{recordings} recordings") }
}

/// `/Limitation/Count (10, recorded 100)`
fn described(difference: &Difference) -> String {
    let Difference { pointer, asked, recorded } = difference;
    match (asked, recorded) {
        (Some(asked), Some(recorded)) => format!("{pointer} ({asked}, recorded {recorded})"),
        (Some(asked), None) => format!("{pointer} ({asked}, recorded without)"),
        (None, Some(recorded)) => format!("{pointer} (absent, recorded {recorded})"),
        (None, None) => pointer.clone(),
    }
}

fn between(comparison: &Comparison, asked: &[u8], recorded: &[u8]) -> Differences {
    match (comparison.value(asked), comparison.value(recorded)) {
        (Some(asked), Some(recorded)) => Differences::between(&asked, &recorded),
        _ => Differences::of_text(asked, recorded),
    }
}

/// Why nothing can be near.
fn unknown(recordings: &Recordings, method: &str, operation: &str) -> String {
    let called = name(method, operation);
    let methods = recordings.methods(operation);
    if !methods.is_empty() {
        return format!("{called} was not recorded: only {} to this address was.", methods.join(", "));
    }
    match recordings.similar(operation) {
        Some(similar) => format!("{called} was not recorded. Did you mean {similar}?"),
        None => format!("{called} was not recorded: nothing of this operation was."),
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::Body;

    use super::*;
    use crate::{
        Builder, OpenReader,
        testing::{Recorded, TARGET},
    };

    fn prepare(bodies: &[&str]) -> (Recordings, Readers) {
        let all: Vec<_> = (0..)
            .zip(bodies)
            .map(|(number, body)| Recorded { body: (*body).to_owned(), ..Recorded::default() }.exchange(number))
            .collect();
        let mut builder = Builder::new(Comparison::default(), 0);
        all.iter().for_each(|exchange| builder.add(exchange));
        let open: OpenReader = Box::new(move || {
            Ok(Box::new(move |id| all.iter().find(|one| one.id == id).cloned().ok_or_else(|| "gone".to_owned())))
        });
        (builder.build(), Readers::start([open]).unwrap())
    }

    fn asked(operation: &str, body: &str) -> Redacted {
        let body = Body::whole(body.to_owned().into());
        Redacted { target: TARGET.to_owned(), operation: operation.to_owned(), body, token: None }
    }

    #[tokio::test]
    async fn the_nearest_is_named_with_its_differences() {
        let (recordings, readers) = prepare(&[r#"{"A":1,"B":1}"#, r#"{"A":1,"B":2}"#, r#"{"A":3}"#]);
        let found = explain(&recordings, &readers, "POST", &asked("rates/getAll", r#"{"A":2,"B":2}"#)).await;
        let id = Recorded::default().exchange(1).id;
        let message = format!(
            "This request to rates/getAll was not recorded. The nearest of 3 recordings, {id}, differs in /A (2, recorded 1)."
        );
        assert_eq!((found.message, found.nearest), (message, Some(id)));
        let json = serde_json::to_value(&found.differences).unwrap();
        assert_eq!(json, serde_json::json!([{ "Pointer": "/A", "Asked": "2", "Recorded": "1" }]));
        let text = explain(&recordings, &readers, "POST", &asked("rates/getAll", "<xml>")).await;
        assert!(text.message.ends_with("differs as a whole."), "{}", text.message);
    }

    #[tokio::test]
    async fn an_operation_that_was_not_recorded_is_named() {
        let (recordings, readers) = prepare(&["{}"]);
        for (method, operation, said) in [
            ("GET", "rates/getAll", "GET rates/getAll was not recorded: only POST to this address was."),
            ("POST", "rates/getAl", "rates/getAl was not recorded. Did you mean rates/getAll?"),
            ("POST", "bills/close", "bills/close was not recorded: nothing of this operation was."),
        ] {
            let found = explain(&recordings, &readers, method, &asked(operation, "{}")).await;
            assert_eq!((found.message.as_str(), found.nearest), (said, None));
        }
    }
}
