//! What an operation does: what the data says of it, and rules for what the data leaves out.

use std::collections::HashMap;

use nightaudit_mews::{Kind as RequestKind, Operation};
use serde::Deserialize;

use crate::knowledge::{Act, Answer, Collection, InvalidData, OperationSpec, Rules, Step};

/// An operation as the data has it. Nothing has to be said where the rules hold.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OperationSpecSource {
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
    then: Vec<OperationSpecSource>,
    answer: Option<String>,
    event: Option<Box<str>>,
    webhook: Option<Box<str>>,
}

impl OperationSpecSource {
    pub(crate) fn deed(
        mut self,
        rules: &Rules,
        collections: &HashMap<Box<str>, Collection>,
        operation: &Operation,
    ) -> Result<OperationSpec, InvalidData> {
        let path = &operation.path;
        let then = std::mem::take(&mut self.then);
        let then = then.into_iter().map(|step| step.step(rules, collections, operation)).collect::<Result<_, _>>()?;
        let (answer, event, webhook) = (self.answer.take(), self.event.take(), self.webhook.take());
        let step = self.step(rules, collections, operation)?;
        let answer = match answer.as_deref() {
            Some("item") => Answer::Item,
            Some(fields) => Answer::Fields(rules.fields(path, fields)?),
            None => Answer::Fields(rules.fields(path, &usual_answer(&step.act, collections, operation))?),
        };
        Ok(OperationSpec { step, then, answer, event: event.map(|event| format!("{event}Event").into()), webhook })
    }

    fn step(
        self,
        rules: &Rules,
        collections: &HashMap<Box<str>, Collection>,
        operation: &Operation,
    ) -> Result<Step, InvalidData> {
        let path = &operation.path;
        let act = match self {
            Self { reads: Some(name), .. } => Act::Reads(name),
            Self { adds: Some(name), .. } => Act::Adds(name),
            Self { changes: Some(name), .. } => Act::Changes(name),
            Self { removes: Some(name), .. } => Act::Removes(name),
            _ => usual_act(path, collections),
        };
        let mut by = pairs(&self.by, "Id");
        let from = match self.from {
            Some(request) if *request == *"request" => None,
            Some(field) => Some(field),
            None if matches!(act, Act::Adds(_)) || matches!(act, Act::Changes(_)) && by.is_empty() => {
                usual_items(operation)
            }
            None => None,
        };
        if by.is_empty() && matches!(act, Act::Removes(_)) {
            by.extend(usual_ids(operation).map(|field| (field, "Id".into())));
        }
        Ok(Step {
            act,
            from,
            by,
            rename: pairs(&self.rename, ""),
            set: rules.fields(path, &self.set)?,
            require: rules.fields(path, &self.require)?,
            begins: pairs(&self.begins, "Name").into_iter().next(),
        })
    }
}

/// Words like `Field=Other`; where only the field is named, `other` stands for the other.
fn pairs(text: &str, other: &str) -> Vec<(Box<str>, Box<str>)> {
    let pair = |word: &str| {
        let (field, other) = word.split_once('=').unwrap_or((word, other));
        (field.into(), other.into())
    };
    text.split_whitespace().map(pair).collect()
}

fn usual_act(path: &str, collections: &HashMap<Box<str>, Collection>) -> Act {
    let mut parts = path.split('/');
    let (Some(name), Some(verb)) = (parts.next(), parts.next()) else { return Act::Nothing };
    if !collections.contains_key(name) {
        return Act::Nothing;
    }
    match verb {
        "getAll" => Act::Reads(name.into()),
        "add" | "set" => Act::Adds(name.into()),
        "update" => Act::Changes(name.into()),
        "delete" => Act::Removes(name.into()),
        _ => Act::Nothing,
    }
}

fn usual_answer(act: &Act, collections: &HashMap<Box<str>, Collection>, operation: &Operation) -> String {
    let title = act.collection().and_then(|name| collections.get(name)).map(|collection| &collection.title);
    match (act, title) {
        (Act::Reads(_), Some(title)) if operation.request.field("Limitation").is_some() => {
            format!("{title}:items Cursor:cursor")
        }
        (Act::Reads(_) | Act::Adds(_) | Act::Changes(_), Some(title)) => format!("{title}:items"),
        _ => String::new(),
    }
}

/// The field with what is to be added or changed: the first list of objects.
fn usual_items(operation: &Operation) -> Option<Box<str>> {
    let mut fields = operation.request.fields.iter();
    let is_list = |kind: &RequestKind| matches!(kind, RequestKind::Object(_) | RequestKind::AnyObject);
    let field = fields.find(|field| field.array > 0 && field.deprecated.is_none() && is_list(&field.kind))?;
    Some(field.name.clone())
}

/// The field with the ids of what is to be removed.
fn usual_ids(operation: &Operation) -> Option<Box<str>> {
    let mut fields = operation.request.fields.iter();
    let field = fields.find(|field| field.array > 0 && field.name.ends_with("Ids"))?;
    Some(field.name.clone())
}
