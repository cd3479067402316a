//! Where an exchange stands in a list, and what is before and after it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use http::{StatusCode, Uri};
use nightaudit_exchange::{Exchange, ExchangeId, FailureKind, Filter, Outcome, OutcomeFilter};
use nightaudit_log::{Order, Position, Query, ReadError};
use serde_json::{Value, json};

use crate::{Shared, counts::indexed, error::ApiError, now, pairs, reading, take};

/// How long exchanges are read in search of the same failure.
const SEARCH: Duration = Duration::from_secs(1);

/// `GET /api/v1/exchanges/{id}/position`: its position among the matches, as `rows` counts them.
pub(crate) async fn position(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    let Path(id) = id?;
    let filter = indexed(Filter::from_query(pairs(&shared, &uri)?, now())?)?;
    let permit = shared.bounds.page().await?;
    let position = reading(&shared, move |shared| {
        let _permit = permit;
        let (_, position) = find(shared, &id)?;
        let rank = shared.log.rank(&filter, position)?;
        let message = || format!("exchange {id} doesn't match the filter");
        rank.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, message()))
    })
    .await??;
    Ok(Json(json!({ "position": position })))
}

/// What a neighbour has in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Any,
    Operation,
    Token,
    Error,
}

/// `GET /api/v1/exchanges/{id}/neighbours`: the exchanges recorded before and after it that have something in common.
pub(crate) async fn neighbours(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Value>, ApiError> {
    let Path(id) = id?;
    let mut pairs = pairs(&shared, &uri)?;
    let by = match take(&mut pairs, "by").as_deref() {
        None | Some("any") => By::Any,
        Some("operation") => By::Operation,
        Some("token") => By::Token,
        Some("error") => By::Error,
        Some(other) => {
            return Err(ApiError::bad_request(format!("invalid by `{other}`: use any, operation, token or error")));
        }
    };
    let filter = indexed(Filter::from_query(pairs, now())?)?;
    let permit = shared.bounds.page().await?;
    let found = reading(&shared, move |shared| {
        let _permit = permit;
        let (exchange, position) = find(shared, &id)?;
        let wanted = Wanted::of(&exchange, by, filter);
        let next = |order| wanted.next(shared, position, order);
        Ok::<_, ApiError>((next(Order::Newest)?, next(Order::Oldest)?))
    });
    let (previous, next) = found.await??;
    Ok(Json(json!({ "previous": previous, "next": next })))
}

fn find(shared: &Shared, id: &str) -> Result<(Exchange, Position), ApiError> {
    let exchange = shared.log.find(id)?;
    let gone = || ApiError::new(StatusCode::NOT_FOUND, format!("exchange {id} was deleted"));
    let position = shared.log.position(exchange.id)?.ok_or_else(gone)?;
    Ok((exchange, position))
}

/// Which neighbours are wanted.
struct Wanted {
    /// Any of these; none if there can't be a neighbour.
    filters: Vec<Filter>,
    /// The operation, which a pattern may match beside others.
    operation: Option<String>,
    /// The kind of failure, which only the exchange has.
    failure: Option<FailureKind>,
}

impl Wanted {
    fn of(exchange: &Exchange, by: By, filter: Filter) -> Self {
        let mut wanted = Self { filters: Vec::new(), operation: None, failure: None };
        let is_error = exchange.outcome != Outcome::Answered || exchange.status().is_none_or(|status| status >= 400);
        match by {
            By::Any => wanted.filters.push(filter),
            By::Operation => {
                // What means something in a pattern matches any character; a pattern may also be too long.
                let pattern = exchange.operation.replace([',', '*', ' '], "?");
                let operation = pattern.parse().ok().or_else(|| filter.operation.clone());
                wanted.operation = Some(exchange.operation.clone());
                wanted.filters.push(Filter { operation, ..filter });
            }
            By::Token => {
                let token = exchange.envelope.access_token.or(exchange.envelope.client_token);
                wanted.filters.extend(token.map(|token| Filter { token: Some(token), ..filter }));
            }
            By::Error if is_error => {
                let outcome = Some(OutcomeFilter::Is(exchange.outcome));
                wanted.failure = exchange.error.as_ref().map(|failure| failure.kind);
                wanted.filters.push(match exchange.status() {
                    Some(status) => Filter { outcome, status: status.to_string().parse().ok(), ..filter },
                    None => {
                        let status = "100-999".parse().ok();
                        let except =
                            Box::new(Filter { status, ..filter.except.as_deref().cloned().unwrap_or_default() });
                        Filter { outcome, except: Some(except), ..filter }
                    }
                });
            }
            By::Error => {
                // Any error: two filters that the index decides.
                let answered = Some(OutcomeFilter::Is(Outcome::Answered));
                let except =
                    Box::new(Filter { outcome: answered, ..filter.except.as_deref().cloned().unwrap_or_default() });
                wanted.filters.push(Filter { status: "400-999".parse().ok(), ..filter.clone() });
                wanted.filters.push(Filter { except: Some(except), ..filter });
            }
        }
        wanted
    }

    /// The next one in this order.
    fn next(&self, shared: &Shared, from: Position, order: Order) -> Result<Option<ExchangeId>, ApiError> {
        let mut best: Option<(Position, ExchangeId)> = None;
        for filter in &self.filters {
            let Some(found) = self.next_of(shared, filter, from, order)? else { continue };
            let is_nearer = best.is_none_or(|(position, _)| match order {
                Order::Oldest => found.0 < position,
                Order::Newest => found.0 > position,
            });
            if is_nearer {
                best = Some(found);
            }
        }
        Ok(best.map(|(_, id)| id))
    }

    fn next_of(
        &self,
        shared: &Shared,
        filter: &Filter,
        from: Position,
        order: Order,
    ) -> Result<Option<(Position, ExchangeId)>, ApiError> {
        let until = Instant::now() + SEARCH;
        // Backwards, a position is that of the exchange itself.
        let query = Query { filter: filter.clone(), order, after: Some(from), limit: None };
        let mut matches = shared.log.query(query)?;
        while let Some(exchange) = matches.next() {
            let exchange = match exchange {
                Ok(exchange) => exchange,
                Err(ReadError::Exchange { .. } | ReadError::Rows { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let failure = exchange.error.as_ref().map(|failure| failure.kind);
            if self.operation.as_ref().is_none_or(|operation| *operation == exchange.operation)
                && (self.failure.is_none() || self.failure == failure)
            {
                return Ok(matches.last_position().map(|position| (position, exchange.id)));
            }
            if Instant::now() >= until {
                let message = "no neighbour was found within a second of reading: narrow the filter";
                return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::{Failure, Pseudonym};
    use nightaudit_log::testing::{exchange, exchanges};

    use super::*;
    use crate::tests::{Opened, ask, console};

    async fn get(opened: &Opened, path: &str) -> (StatusCode, Value) {
        let (status, body) = ask(opened, "GET", &format!("/api/v1/exchanges/{path}"), true).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    #[tokio::test]
    async fn a_position_is_that_of_rows() {
        let opened = console();
        exchanges(1, "a", 30).into_iter().chain(exchanges(2, "b", 10)).for_each(|it| opened.log.record(it));
        let id = exchange(2, "b", 5).id;
        for (filter, position) in [("", 34), ("?session=b", 4), ("?operation=customers/*", 11), ("?status=2xx", 34)] {
            assert_eq!(get(&opened, &format!("{id}/position{filter}")).await.1, json!({ "position": position }));
        }
        for filter in ["?session=a", "?status=404", "?operation=bills/*"] {
            let (status, body) = get(&opened, &format!("{id}/position{filter}")).await;
            assert_eq!(status, StatusCode::NOT_FOUND);
            assert!(body["error"].as_str().unwrap().contains("doesn't match"), "{body}");
        }
        assert_eq!(get(&opened, &format!("{id}/position?contains=x")).await.0, StatusCode::BAD_REQUEST);
        assert_eq!(get(&opened, &format!("{id}/position?session=none")).await.0, StatusCode::NOT_FOUND);
        assert_eq!(get(&opened, "7ZZZ/position").await.0, StatusCode::NOT_FOUND);
    }

    /// The neighbours' sequence numbers.
    async fn around(opened: &Opened, sequence: u64, query: &str) -> (Option<u64>, Option<u64>) {
        let id = exchange(1, "a", sequence).id;
        let (status, body) = get(opened, &format!("{id}/neighbours{query}")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let number = |name: &str| {
            let id = body[name].as_str()?;
            (1..=30).find(|sequence| exchange(1, "a", *sequence).id.to_string() == id)
        };
        (number("previous"), number("next"))
    }

    #[tokio::test]
    async fn neighbours_have_something_in_common() {
        let opened = console();
        for sequence in 1..=30 {
            let mut exchange = exchange(1, "a", sequence);
            let failed = |kind| Some(Failure { kind, message: String::new() });
            match sequence {
                4 | 20 => exchange.response.as_mut().unwrap().status = 404,
                9 | 28 => {
                    (exchange.outcome, exchange.error, exchange.response) =
                        (Outcome::Failed, failed(FailureKind::Tls), None);
                }
                12 | 16 => {
                    (exchange.outcome, exchange.error, exchange.response) =
                        (Outcome::Failed, failed(FailureKind::ConnectTimeout), None);
                }
                _ => {}
            }
            if sequence % 10 == 5 {
                exchange.envelope.access_token = Some(Pseudonym([1; 6]));
            }
            if [13, 29].contains(&sequence) {
                exchange.operation = "/a, b*?!".to_owned();
            }
            opened.log.record(exchange);
        }
        for (sequence, query, expected) in [
            (1, "", (None, Some(2))),
            (30, "?by=any", (Some(29), None)),
            (7, "?by=operation", (Some(4), Some(10))),
            (7, "?by=operation&status=404", (Some(4), None)),
            (13, "?by=operation", (None, Some(29))),
            (15, "?by=token", (Some(5), Some(25))),
            (14, "?by=token", (None, None)),
            (4, "?by=error", (None, Some(20))),
            (12, "?by=error", (None, Some(16))),
            (28, "?by=error", (Some(9), None)),
            // Of one without an error, any.
            (14, "?by=error", (Some(12), Some(16))),
            (10, "?by=error&session=a", (Some(9), Some(12))),
            (30, "?by=error", (Some(28), None)),
        ] {
            assert_eq!(around(&opened, sequence, query).await, expected, "{sequence} {query}");
        }
        let id = exchange(1, "a", 1).id;
        assert_eq!(get(&opened, &format!("{id}/neighbours?by=luck")).await.0, StatusCode::BAD_REQUEST);
        assert_eq!(get(&opened, &format!("{id}/neighbours?contains=x")).await.0, StatusCode::BAD_REQUEST);
        assert_eq!(get(&opened, "7ZZZ/neighbours").await.0, StatusCode::NOT_FOUND);
    }
}
