//! A request against the contract of its operation.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use nightaudit_exchange::Exchange;
use nightaudit_mews::{Contracts, NearMiss};
use nightaudit_text::size;
use serde_json::{Value, json};

use crate::{Shared, error::ApiError, reading};

/// `GET /api/v1/exchanges/{id}/contract`
pub(crate) async fn contract(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let Path(id) = id?;
    let permit = shared.bounds.page().await?;
    let described = reading(&shared, move |shared| {
        let _permit = permit;
        Ok::<_, ApiError>(describe(&shared.log.find(&id)?, &shared.gauges.contracts))
    });
    Ok(Json(described.await??))
}

fn describe(exchange: &Exchange, contracts: &Contracts) -> Value {
    let operation = contracts.operation(&exchange.operation);
    let why = unchecked(exchange, contracts);
    let mut findings = Vec::new();
    if why.is_none() {
        findings = contracts.check_exchange(exchange);
    }
    let findings: Vec<_> = findings
        .into_iter()
        .map(|finding| {
            json!({
                "pointer": finding.pointer,
                "message": finding.to_string(),
                "expected": finding.expected,
                "found": finding.found,
                "kind": finding.kind,
                "disputed": finding.disputed,
                "ends": finding.ends,
            })
        })
        .collect();
    let suggestion = contracts.suggest(&exchange.operation).map(|suggestion| {
        let reason = match suggestion.reason {
            NearMiss::Slash => "a slash too many",
            NearMiss::Case => "upper and lower case differ",
            NearMiss::Version => "there is no such version",
            NearMiss::Spelling => "spelled differently",
        };
        json!({ "operation": suggestion.operation.path, "reason": reason })
    });
    json!({
        "operation": exchange.operation,
        "known": operation.is_some(),
        "documentation": operation.and_then(|operation| operation.documentation.as_deref()),
        "checked": why.is_none(),
        "why": why,
        "findings": findings,
        "sideline": {
            "title": operation.map(|operation| &operation.title),
            "notes": operation.map_or_else(Vec::new, |operation| operation.describe()),
            "replacedBy": operation.map_or(&[][..], |operation| &operation.replaced_by),
            "revision": contracts.revision(),
            "suggestion": suggestion,
        },
    })
}

/// Why a request can't be checked; `None` if it can.
fn unchecked(exchange: &Exchange, contracts: &Contracts) -> Option<String> {
    let body = &exchange.request.body;
    if exchange.web_socket.is_some() {
        return Some("these are messages of a WebSocket, which have no contract".to_owned());
    }
    if !contracts.has(&exchange.operation) {
        return Some(format!("the documentation has no operation `{}`", exchange.operation));
    }
    if let Some(withheld) = body.withheld {
        let what = if body.length == 0 { "the body".to_owned() } else { format!("the body of {}", size(body.length)) };
        return Some(format!("{what} was withheld: {}", withheld.reason()));
    }
    if body.truncated {
        let kept = size(body.bytes.len() as u64);
        return Some(format!("only the first {kept} of the {} of the body were recorded", size(body.length)));
    }
    if !exchange.has_whole_request() {
        return Some(format!("its body may not have come whole: the request is {}", exchange.outcome));
    }
    None
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use nightaudit_exchange::{Body, Withheld};

    use super::*;
    use crate::tests::{EXCHANGE, ask, console};

    fn described(change: impl FnOnce(&mut Exchange)) -> Value {
        let mut exchange: Exchange = serde_json::from_str(EXCHANGE).unwrap();
        change(&mut exchange);
        describe(&exchange, &Contracts::built_in())
    }

    #[tokio::test]
    async fn each_finding_has_its_place_and_what_was_expected() {
        let opened = console();
        let id = opened.record();
        let (status, body) = ask(&opened, "GET", &format!("/api/v1/exchanges/{id}/contract"), true).await;
        assert_eq!(status, StatusCode::OK);
        insta::assert_snapshot!(serde_json::to_string_pretty(&serde_json::from_str::<Value>(&body).unwrap()).unwrap());
        let (status, _) = ask(&opened, "GET", "/api/v1/exchanges/7ZZZ/contract", true).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn findings_are_those_of_the_row() {
        let exchange: Exchange = serde_json::from_str(EXCHANGE).unwrap();
        let found = nightaudit_text::findings(&exchange, &Contracts::built_in());
        let messages: Vec<_> = described(|_| ())["findings"].as_array().unwrap().clone();
        let messages: Vec<_> = messages.iter().map(|finding| finding["message"].as_str().unwrap().to_owned()).collect();
        assert_eq!(messages, found);
    }

    #[test]
    fn what_cannot_be_checked_says_why() {
        let truncated = described(|exchange| {
            (exchange.request.body.truncated, exchange.request.body.length) = (true, 5 << 20);
        });
        assert_eq!(truncated["why"], "only the first 2 B of the 5.0 MiB of the body were recorded");
        let withheld = described(|exchange| {
            exchange.request.body = Body { withheld: Some(Withheld::Undecodable), length: 9, ..Body::empty() };
        });
        assert_eq!(withheld["why"], "the body of 9 B was withheld: its content coding can't be decoded");
        let unknown = described(|exchange| exchange.operation = "configuration/Get".to_owned());
        assert_eq!(unknown["sideline"]["suggestion"]["operation"], "configuration/get");
        for described in [truncated, withheld, unknown] {
            assert_eq!((&described["checked"], &described["findings"]), (&json!(false), &json!([])), "{described}");
        }
    }
}
