//! Carries rules from the documentation's prose over to contracts read again.

use std::sync::Arc;

use super::{Field, Kind, Object, Rule};

impl Object {
    /// Copies rules, forms, limits and disputes of the properties that both have.
    pub(super) fn keep_words_of(&mut self, known: &Self) {
        for (position, before) in known.fields.iter().enumerate() {
            if let Some(position) = self.position(&before.name, position)
                && let Some(field) = self.fields.get_mut(position)
            {
                field.keep_words_of(before);
            }
        }
        for rule in &known.rules {
            if let Some(rule) = rule.moved(known, self)
                && !self.rules.contains(&rule)
                // Required filters are read from the documentation itself.
                && !matches!(rule, Rule::AnyOf(_) | Rule::Beside { .. } | Rule::Sets(_) | Rule::Span { .. })
            {
                self.rules.push(rule);
            }
        }
        // No more than the maximum is copied.
        while self.watch().is_err() {
            self.rules.pop();
        }
    }
}

impl Field {
    fn keep_words_of(&mut self, known: &Self) {
        self.disputed = self.disputed.take().or_else(|| known.disputed.clone());
        if self.array != known.array {
            return;
        }
        match (&mut self.kind, &known.kind) {
            (Kind::Object(object), Kind::Object(known)) => Arc::make_mut(object).keep_words_of(known),
            (kind @ Kind::String, Kind::Enum(values)) => *kind = Kind::Enum(Arc::clone(values)),
            _ => {}
        }
        if std::mem::discriminant(&self.kind) != std::mem::discriminant(&known.kind) {
            return;
        }
        self.min_items = self.min_items.max(known.min_items);
        self.range = self.range.take().or_else(|| known.range.clone());
        self.latest = self.latest.or(known.latest);
        self.future |= known.future;
        self.time_unit |= known.time_unit;
        self.pattern = self.pattern.take().or_else(|| known.pattern.clone());
        let has = |name: &str| matches!(&self.kind, Kind::Object(object) if object.field(name).is_some());
        if self.distinct.is_none() && known.distinct.as_deref().is_some_and(has) {
            self.distinct.clone_from(&known.distinct);
        }
    }
}

impl Rule {
    /// This rule of `known` for another object with properties of the same names; `None` if it lacks some of them, or the
    /// values that the rule refers to.
    pub(crate) fn moved(&self, known: &Object, object: &Object) -> Option<Self> {
        let at = |position: usize| object.position(&known.fields.get(position)?.name, position);
        let all = |positions: &[usize]| positions.iter().map(|&position| at(position)).collect::<Option<Vec<_>>>();
        let values = |on: usize, values: &[usize]| -> Option<Vec<usize>> {
            let (before, after) = (known.fields.get(on)?, object.fields.get(at(on)?)?);
            let values: Vec<usize> = values.iter().filter_map(|&at| after.constant(before.constant_name(at))).collect();
            (!values.is_empty()).then_some(values)
        };
        let inner = |field: usize, inner: Option<usize>| -> Option<Option<usize>> {
            let Some(inner) = inner else { return Some(None) };
            match (&known.fields.get(field)?.kind, &object.fields.get(at(field)?)?.kind) {
                (Kind::Object(before), Kind::Object(after)) => {
                    after.position(&before.fields.get(inner)?.name, inner).map(Some)
                }
                _ => None,
            }
        };
        Some(match self {
            Self::AnyOf(fields) => Self::AnyOf(all(fields)?),
            Self::SomeOf(fields) => Self::SomeOf(all(fields)?),
            Self::OneOf(fields) => Self::OneOf(all(fields)?),
            Self::Beside { field, others } => Self::Beside { field: at(*field)?, others: all(others)? },
            Self::When { field, inner: within, on, values: asked, need } => Self::When {
                field: at(*field)?,
                inner: inner(*field, *within)?,
                on: at(*on)?,
                values: values(*on, asked)?,
                need: *need,
            },
            Self::With { field, inner: within, others } => {
                Self::With { field: at(*field)?, inner: inner(*field, *within)?, others: all(others)? }
            }
            Self::Only { field, on, values: asked } => {
                Self::Only { field: at(*field)?, on: at(*on)?, values: values(*on, asked)? }
            }
            Self::Value { field, allowed, on, values: asked } => Self::Value {
                field: at(*field)?,
                allowed: values(*field, allowed)?,
                on: at(*on)?,
                values: values(*on, asked)?,
            },
            Self::Has { field, array, value } => {
                Self::Has { field: at(*field)?, array: at(*array)?, value: *values(*array, &[*value])?.first()? }
            }
            Self::AtMost { field, count, beside } => {
                Self::AtMost { field: at(*field)?, count: *count, beside: at(*beside)? }
            }
            Self::Sum { field, inner, of } => Self::Sum { field: at(*field)?, inner: inner.clone(), of: at(*of)? },
            Self::Sets(sets) => Self::Sets(sets.iter().map(|set| all(set)).collect::<Option<_>>()?),
            Self::Order(from, to) => Self::Order(at(*from)?, at(*to)?),
            Self::Span { from, to, days, months } => {
                Self::Span { from: at(*from)?, to: at(*to)?, days: *days, months: *months }
            }
        })
    }
}
