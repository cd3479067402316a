//! What a declaration can name: use cases, operations and rules.

use std::sync::Arc;

use axum::{Json, extract::State};
use nightaudit_review::Rule;
use serde_json::{Value, json};

use crate::{Shared, blocking, error::ApiError, review};

/// `GET /api/v1/catalogue`
pub(crate) async fn catalogue(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, ApiError> {
    let basis = blocking(&shared, review::basis).await??;
    let catalogue = basis.contracts.catalogue();
    let use_cases = catalogue.use_cases().iter().map(|case| {
        let sections = case.sections.iter().map(|own| json!({ "title": own.title, "operations": own.operations }));
        let mut operations: Vec<_> = case.sections.iter().flat_map(|own| &own.operations).collect();
        operations.sort_unstable();
        operations.dedup();
        json!({
            "name": case.name, "title": case.title, "operations": operations, "sections": sections.collect::<Vec<_>>()
        })
    });
    let operations = catalogue.operations().iter().map(|own| {
        json!({
            "name": own.path, "title": own.title, "group": own.group, "documentation": own.documentation,
            "deprecated": own.lifecycle.is_deprecated(),
        })
    });
    let rules = Rule::ALL.iter().map(|rule| {
        json!({
            "id": rule.id(), "severity": rule.severity(), "title": rule.title(), "why": rule.why(),
            "advice": rule.advice(), "canBeSilenced": rule.can_be_changed(),
        })
    });
    Ok(Json(json!({
        "revision": basis.contracts.revision(),
        "useCases": use_cases.collect::<Vec<_>>(),
        "operations": operations.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
    })))
}
