//! The console's routes.

use std::sync::Arc;

use axum::{
    Json, Router,
    routing::{MethodRouter, delete, get, patch, post, put},
};
use serde_json::{Value, json};

use crate::{
    Shared, around, body, catalogue, code, contract, counts, declaration, differences, evidence, exchanges, faults,
    follow, import, log, metrics, open, openapi, resend, review, rows, sessions, state,
};

/// A path, a method and their handler.
pub(crate) struct Route {
    /// The method.
    pub(crate) method: &'static str,
    /// The path; segments in braces are parameters.
    pub(crate) path: &'static str,
    /// Whether it requires the token.
    pub(crate) guarded: bool,
    handler: fn() -> MethodRouter<Arc<Shared>>,
}

impl Route {
    fn new(method: &'static str, path: &'static str, handler: fn() -> MethodRouter<Arc<Shared>>) -> Self {
        Self { method, path, guarded: true, handler }
    }
}

/// All routes. A test compares them with `openapi.json`.
pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new("GET", "/", || get(welcome)),
        Route::new("GET", "/api/v1/exchanges", || get(exchanges::list)),
        Route::new("GET", "/api/v1/exchanges/{id}", || get(exchanges::one)),
        Route::new("GET", "/api/v1/exchanges/{id}/row", || get(rows::one)),
        Route::new("GET", "/api/v1/exchanges/{id}/position", || get(around::position)),
        Route::new("GET", "/api/v1/exchanges/{id}/neighbours", || get(around::neighbours)),
        Route::new("GET", "/api/v1/exchanges/{id}/contract", || get(contract::contract)),
        Route::new("GET", "/api/v1/exchanges/{id}/body", || get(body::body)),
        Route::new("GET", "/api/v1/exchanges/{id}/code", || get(code::request)),
        Route::new("GET", "/api/v1/exchanges/{id}/resend", || get(resend::draft)),
        Route::new("POST", "/api/v1/exchanges/{id}/resend", || post(resend::send)),
        Route::new("GET", "/api/v1/rows", || get(rows::list)),
        Route::new("GET", "/api/v1/histogram", || get(counts::histogram)),
        Route::new("GET", "/api/v1/facets", || get(counts::facets)),
        Route::new("GET", "/api/v1/follow", || get(follow::follow)),
        Route::new("GET", "/api/v1/export", || get(exchanges::export)),
        Route::new("GET", "/api/v1/sessions", || get(sessions::list)),
        Route::new("POST", "/api/v1/sessions", || post(sessions::start)),
        Route::new("GET", "/api/v1/sessions/{session}", || get(sessions::one)),
        Route::new("PATCH", "/api/v1/sessions/{session}", || patch(sessions::change)),
        Route::new("DELETE", "/api/v1/sessions/{session}", || delete(sessions::remove)),
        Route::new("POST", "/api/v1/sessions/{session}/end", || post(sessions::end)),
        Route::new("POST", "/api/v1/sessions/current/end", || post(sessions::end_current)),
        Route::new("GET", "/api/v1/sessions/{session}/review", || get(review::session_review)),
        Route::new("GET", "/api/v1/sessions/{session}/run", || get(review::run)),
        Route::new("GET", "/api/v1/sessions/current/run", || get(review::current_run)),
        Route::new("GET", "/api/v1/sessions/{session}/declaration", || get(declaration::get)),
        Route::new("PUT", "/api/v1/sessions/{session}/declaration", || put(declaration::put)),
        Route::new("GET", "/api/v1/sessions/{session}/declaration.toml", || get(declaration::download)),
        Route::new("POST", "/api/v1/import", || post(import::import)),
        Route::new("GET", "/api/v1/compare", || get(review::compare)),
        Route::new("GET", "/api/v1/differences", || get(differences::differences)),
        Route::new("GET", "/api/v1/evidence", || get(evidence::list)),
        Route::new("POST", "/api/v1/evidence", || post(evidence::begin)),
        Route::new("GET", "/api/v1/evidence/{id}", || get(evidence::one)),
        Route::new("DELETE", "/api/v1/evidence/{id}", || delete(evidence::remove)),
        Route::new("GET", "/api/v1/evidence/{id}/file", || get(evidence::download)),
        Route::new("GET", "/api/v1/key", || get(evidence::key)),
        Route::new("GET", "/api/v1/catalogue", || get(catalogue::catalogue)),
        Route::new("GET", "/api/v1/log", || get(log::info)),
        Route::new("GET", "/api/v1/log/check", || get(log::check)),
        Route::new("GET", "/api/v1/status", || get(state::status)),
        Route::new("GET", "/api/v1/limits", || get(state::limits)),
        Route::new("GET", "/api/v1/limits/history", || get(state::limit_history)),
        Route::new("GET", "/api/v1/faults", || get(faults::list)),
        Route::new("POST", "/api/v1/faults", || post(faults::add)),
        Route::new("DELETE", "/api/v1/faults", || delete(faults::clear)),
        Route::new("DELETE", "/api/v1/faults/{number}", || delete(faults::clear_one)),
        Route::new("POST", "/api/v1/tickets", || post(open::issue)),
        Route::new("GET", "/api/v1/openapi.json", || get(openapi::document)),
        Route::new("GET", "/metrics", || get(metrics::metrics)),
        Route { guarded: false, ..Route::new("GET", "/api/v1/health", || get(state::health)) },
    ]
}

/// A router of the routes that require the token, or of the others.
pub(crate) fn router(guarded: bool) -> Router<Arc<Shared>> {
    let chosen = routes().into_iter().filter(move |route| route.guarded == guarded);
    chosen.fold(Router::new(), |router, route| router.route(route.path, (route.handler)()))
}

/// `GET /`: the list of paths.
async fn welcome() -> Json<Value> {
    let api: Vec<_> = routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    Json(json!({ "name": "nightaudit", "version": env!("CARGO_PKG_VERSION"), "api": api }))
}
