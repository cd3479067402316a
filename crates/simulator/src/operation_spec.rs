//! Operation specs: explicit ones from the data, and defaults for everything else.

use std::collections::HashMap;

use nightaudit_mews::{Kind as RequestKind, Operation};
use serde::Deserialize;

use crate::collection::Collection;
use crate::kind::Field;
use crate::rules::{InvalidData, Rules};

/// What an operation does, and its response.
#[derive(Debug, Clone)]
pub(crate) struct OperationSpec {
    pub(crate) step: Step,
    /// Further steps.
    pub(crate) then: Vec<Step>,
    pub(crate) response: ResponseSpec,
    /// An event published in addition to those of the collections.
    pub(crate) event: Option<Box<str>>,
    /// A webhook discriminator that overrides the collection's.
    pub(crate) webhook: Option<Box<str>>,
}

#[derive(Debug, Clone)]
pub(crate) enum ResponseSpec {
    /// The affected item.
    Item,
    Fields(Vec<Field>),
}

/// One step of an operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    pub(crate) effect: Effect,
    /// The request's property with the items; `None` for the request itself.
    pub(crate) from: Option<Box<str>>,
    /// The request's properties with ids, and the item's properties they are compared with.
    pub(crate) by: Vec<(Box<str>, Box<str>)>,
    /// Properties named differently in the item.
    pub(crate) rename: Vec<(Box<str>, Box<str>)>,
    pub(crate) set: Vec<Field>,
    /// Values that found items must have, in addition to the request's filters.
    pub(crate) require: Vec<Field>,
    /// A property of the request that must be a prefix of the item's.
    pub(crate) begins: Option<(Box<str>, Box<str>)>,
}

/// The effect of a step on a collection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Effect {
    #[default]
    None,
    Reads(Box<str>),
    Adds(Box<str>),
    Changes(Box<str>),
    Removes(Box<str>),
}

impl Effect {
    pub(crate) fn collection(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Reads(name) | Self::Adds(name) | Self::Changes(name) | Self::Removes(name) => Some(name),
        }
    }
}

/// An operation as written in the data. Everything is optional where the defaults apply.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SpecSource {
    reads: Option<Box<str>>,
    adds: Option<Box<str>>,
    changes: Option<Box<str>>,
    removes: Option<Box<str>>,
    from: Option<Box<str>>,
    by: String,
    rename: String,
    set: String,
    #[serde(rename = "where")]
    require: String,
    #[serde(rename = "match")]
    begins: String,
    then: Vec<SpecSource>,
    response: Option<String>,
    event: Option<Box<str>>,
    webhook: Option<Box<str>>,
}

impl SpecSource {
    pub(crate) fn resolve(
        mut self,
        rules: &Rules,
        collections: &HashMap<Box<str>, Collection>,
        operation: &Operation,
    ) -> Result<OperationSpec, InvalidData> {
        let path = &operation.path;
        let then = std::mem::take(&mut self.then);
        let then = then.into_iter().map(|step| step.step(rules, collections, operation)).collect::<Result<_, _>>()?;
        let (response, event, webhook) = (self.response.take(), self.event.take(), self.webhook.take());
        let step = self.step(rules, collections, operation)?;
        let response = match response.as_deref() {
            Some("item") => ResponseSpec::Item,
            Some(fields) => ResponseSpec::Fields(rules.fields(path, fields)?),
            None => ResponseSpec::Fields(rules.fields(path, &default_response(&step.effect, collections, operation))?),
        };
        Ok(OperationSpec { step, then, response, event: event.map(|event| format!("{event}Event").into()), webhook })
    }

    fn step(
        self,
        rules: &Rules,
        collections: &HashMap<Box<str>, Collection>,
        operation: &Operation,
    ) -> Result<Step, InvalidData> {
        let path = &operation.path;
        let effect = match self {
            Self { reads: Some(name), .. } => Effect::Reads(name),
            Self { adds: Some(name), .. } => Effect::Adds(name),
            Self { changes: Some(name), .. } => Effect::Changes(name),
            Self { removes: Some(name), .. } => Effect::Removes(name),
            _ => default_effect(path, collections),
        };
        let mut by = pairs(&self.by, "Id");
        let from = match self.from {
            Some(request) if *request == *"request" => None,
            Some(field) => Some(field),
            None if matches!(effect, Effect::Adds(_)) || matches!(effect, Effect::Changes(_)) && by.is_empty() => {
                default_items(operation)
            }
            None => None,
        };
        if by.is_empty() && matches!(effect, Effect::Removes(_)) {
            by.extend(default_ids(operation).map(|field| (field, "Id".into())));
        }
        Ok(Step {
            effect,
            from,
            by,
            rename: pairs(&self.rename, ""),
            set: rules.fields(path, &self.set)?,
            require: rules.fields(path, &self.require)?,
            begins: pairs(&self.begins, "Name").into_iter().next(),
        })
    }
}

/// Parses words like `Field=Other`; a bare `Field` is paired with `other`.
fn pairs(text: &str, other: &str) -> Vec<(Box<str>, Box<str>)> {
    let pair = |word: &str| {
        let (field, other) = word.split_once('=').unwrap_or((word, other));
        (field.into(), other.into())
    };
    text.split_whitespace().map(pair).collect()
}

fn default_effect(path: &str, collections: &HashMap<Box<str>, Collection>) -> Effect {
    let mut parts = path.split('/');
    let (Some(name), Some(verb)) = (parts.next(), parts.next()) else { return Effect::None };
    if !collections.contains_key(name) {
        return Effect::None;
    }
    match verb {
        "getAll" => Effect::Reads(name.into()),
        "add" | "set" => Effect::Adds(name.into()),
        "update" => Effect::Changes(name.into()),
        "delete" => Effect::Removes(name.into()),
        _ => Effect::None,
    }
}

fn default_response(effect: &Effect, collections: &HashMap<Box<str>, Collection>, operation: &Operation) -> String {
    let title = effect.collection().and_then(|name| collections.get(name)).map(|collection| &collection.title);
    match (effect, title) {
        (Effect::Reads(_), Some(title)) if operation.request.field("Limitation").is_some() => {
            format!("{title}:items Cursor:cursor")
        }
        (Effect::Reads(_) | Effect::Adds(_) | Effect::Changes(_), Some(title)) => format!("{title}:items"),
        _ => String::new(),
    }
}

/// The property with the items to add or change: the first list of objects.
fn default_items(operation: &Operation) -> Option<Box<str>> {
    let mut fields = operation.request.fields.iter();
    let is_list = |kind: &RequestKind| matches!(kind, RequestKind::Object(_) | RequestKind::AnyObject);
    let field = fields.find(|field| field.array > 0 && field.deprecated.is_none() && is_list(&field.kind))?;
    Some(field.name.clone())
}

/// The property with the ids to remove.
fn default_ids(operation: &Operation) -> Option<Box<str>> {
    let mut fields = operation.request.fields.iter();
    let field = fields.find(|field| field.array > 0 && field.name.ends_with("Ids"))?;
    Some(field.name.clone())
}
