//! Recorded exchanges: pages, single exchanges, exports.

use std::{io, sync::Arc};

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Uri, header};
use nightaudit_exchange::{Filter, Gaps};
use nightaudit_export::{ExportError, ExportMask, Format};
use nightaudit_log::{Exchanges, Order, Query, ReadError};
use serde_json::json;

use crate::{
    Shared, blocking,
    error::ApiError,
    gauges::EvidenceTools,
    now, pairs, reading,
    stream::{read_out, written},
    take,
};

/// Default and maximum page size.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// `GET /api/v1/exchanges`: a page, or with `format=ndjson` (or that media type in `Accept`) all matches.
///
/// Besides the filter: `limit`, `order` (`oldest` or `newest`) and `after`, the `next` of the previous page.
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut pairs = pairs(&shared, &uri)?;
    let lines = match take(&mut pairs, "format").as_deref() {
        Some("ndjson") => true,
        Some("json") => false,
        Some(other) => return Err(ApiError::bad_request(format!("invalid format `{other}`: use json or ndjson"))),
        None => headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes() == NDJSON.as_bytes()),
    };
    let order = match take(&mut pairs, "order").as_deref() {
        None | Some("oldest") => Order::Oldest,
        Some("newest") => Order::Newest,
        Some(other) => return Err(ApiError::bad_request(format!("invalid order `{other}`: use oldest or newest"))),
    };
    let limit = take(&mut pairs, "limit")
        .map(|text| text.parse().map_err(|_| ApiError::bad_request(format!("invalid limit `{text}`: not a number"))))
        .transpose()?;
    let after = take(&mut pairs, "after")
        .map(|text| text.parse().map_err(|error| ApiError::bad_request(format!("`after`: {error}"))))
        .transpose()?;
    let limit = if lines { limit } else { Some(limit.unwrap_or(PAGE).clamp(1, MAX_PAGE)) };
    let query = Query { filter: Filter::from_query(pairs, now())?, order, after, limit };
    let permit = if lines { shared.bounds.export()? } else { shared.bounds.page().await? };
    let exchanges = reading(&shared, move |shared| shared.log.query(query)).await??;
    let (media_type, body) = match limit {
        Some(limit) if !lines => (JSON, read_out(&shared, permit, move |out| write_page(out, exchanges, limit)).await?),
        _ => (NDJSON, written(permit, move |out| write_lines(out, exchanges))),
    };
    Ok(([(header::CONTENT_TYPE, media_type)], body).into_response())
}

/// `GET /api/v1/exchanges/{id}`
pub(crate) async fn one(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(id) = id?;
    let permit = shared.bounds.page().await?;
    let exchange = reading(&shared, move |shared| shared.log.find(&id)).await??;
    // Streamed: as JSON it can be many times larger than in the log.
    let body = read_out(&shared, permit, move |out| Ok(serde_json::to_writer(out, &exchange)?)).await?;
    Ok(([(header::CONTENT_TYPE, JSON)], body).into_response())
}

/// `GET /api/v1/export?format=…`: what `nightaudit export` writes.
pub(crate) async fn export(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, ApiError> {
    let mut pairs = pairs(&shared, &uri)?;
    let format = take(&mut pairs, "format").ok_or_else(|| ApiError::bad_request("`format` is missing"))?;
    if ["html", "bundle"].contains(&&format[..]) {
        // They need the declaration and the signing key, which only the command has.
        let message =
            format!("`{format}` is not available here: use `nightaudit export`, which also works while `serve` runs");
        return Err(ApiError::bad_request(message));
    }
    let format: Format = format.parse().map_err(|error| ApiError::bad_request(format!("`format`: {error}")))?;
    let filter = Filter::from_query(pairs, now())?;
    let permit = shared.bounds.export()?;
    let named = filter.session.clone();
    let (exchanges, sessions, missing, mask) = blocking(&shared, move |shared| {
        let sessions = shared.log.sessions()?;
        let wanted = named.map(|which| shared.log.session(&which).map(|session| session.id)).transpose()?;
        let missing = shared.log.missing()?;
        let missing = missing.into_iter().filter(|missing| wanted.is_none_or(|wanted| wanted == missing.session));
        let missing: Vec<_> = missing.collect();
        let exchanges = shared.log.query(Query { filter, ..Query::default() })?;
        // As in every export.
        let mask = shared.gauges.evidence.as_ref().map_or_else(ExportMask::default, EvidenceTools::mask);
        Ok::<_, ReadError>((exchanges, sessions, missing, mask))
    })
    .await??;
    let disposition = format!("attachment; filename=\"nightaudit.{}\"", format.extension());
    let body = written(permit, move |out| {
        let mut writer = format.writer(out);
        let mut gaps = Gaps::new(missing);
        for exchange in exchanges {
            match exchange {
                Ok(mut exchange) => {
                    mask.apply(&mut exchange);
                    writer.write(&exchange).map_err(as_io)?;
                }
                Err(error) => {
                    let Some((session, first, last)) = error.exchanges() else { return Err(io::Error::other(error)) };
                    tracing::warn!(%error, "an export skips exchanges that can't be read");
                    let name = || sessions.iter().find(|known| known.id == session).map(|known| known.name.clone());
                    gaps.add(session, (first, last), || name().unwrap_or_default());
                }
            }
        }
        if !gaps.is_empty() {
            writer.missing(&gaps.into_list()).map_err(as_io)?;
        }
        writer.finish().map_err(as_io)
    });
    let headers = [(header::CONTENT_TYPE, format.media_type().to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, body).into_response())
}

fn as_io(error: ExportError) -> io::Error {
    match error {
        ExportError::Write(error) => error,
        error => io::Error::other(error),
    }
}

/// `{"exchanges": […], "unreadable": […], "next": …}`; `next` is null on the last page.
fn write_page(out: &mut dyn io::Write, mut exchanges: Box<dyn Exchanges>, limit: usize) -> io::Result<()> {
    let (mut unreadable, mut count) = (Vec::new(), 0);
    out.write_all(br#"{"exchanges":["#)?;
    for exchange in exchanges.by_ref() {
        match exchange {
            Ok(exchange) => {
                if count > 0 {
                    out.write_all(b",")?;
                }
                serde_json::to_writer(&mut *out, &exchange)?;
                count += 1;
            }
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    let next = exchanges.last_position().filter(|_| count >= limit).map(|resume| resume.to_string());
    out.write_all(b"]")?;
    for (name, value) in [("unreadable", json!(unreadable)), ("next", json!(next))] {
        write!(out, ",\"{name}\":{value}")?;
    }
    out.write_all(b"}")
}

/// One exchange per line; exchanges that can't be read become a line `{"error": …}` with their `session` and the `first` and
/// `last` of their sequence numbers.
fn write_lines(
    out: &mut dyn io::Write,
    exchanges: impl Iterator<Item = Result<impl serde::Serialize, ReadError>>,
) -> io::Result<()> {
    for exchange in exchanges {
        match exchange {
            Ok(exchange) => serde_json::to_writer(&mut *out, &exchange)?,
            Err(error) => {
                let mut line = json!({ "error": error.to_string() });
                if let Some((session, first, last)) = error.exchanges() {
                    (line["session"], line["first"], line["last"]) = (json!(session), json!(first), json!(last));
                }
                serde_json::to_writer(&mut *out, &line)?;
            }
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}
