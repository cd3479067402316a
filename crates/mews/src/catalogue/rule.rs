//! Rules between the properties of an object: from the data's lines to positions.

use super::data::InvalidData;
use super::field::InvalidLine;
use super::model::MOST_WATCHED;
use super::{Field, Kind, Need, Object, Rule};

/// Words that distinguish a start from an end in the names of two properties.
const ENDS: [(&str, &str); 2] = [("Start", "End"), ("First", "Last")];

impl Object {
    /// Parses the object's rules, and adds those implied by its properties' names.
    pub(super) fn with_rules(mut self, lines: &str) -> Result<Self, InvalidData> {
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let rule = self.rule(line).map_err(|error| InvalidData::Line {
                owner: self.name.to_string(),
                line: line.trim().to_owned(),
                error,
            })?;
            match (rule, self.rules.last_mut()) {
                // Sets are on separate lines and form one rule.
                (Rule::Sets(more), Some(Rule::Sets(sets))) => sets.extend(more),
                (rule, _) => self.rules.push(rule),
            }
        }
        self.pair();
        self.watch()?;
        Ok(self)
    }

    /// Adds the order of start and end times.
    pub(crate) fn pair(&mut self) {
        for from in 0..self.fields.len() {
            for (start, end) in ENDS {
                let name = &self.fields[from].name;
                if !name.contains(start) {
                    continue;
                }
                let Some(to) = self.position(&name.replacen(start, end, 1), from) else { continue };
                let rule = Rule::Order(from, to);
                let are_times = [from, to].iter().all(|&at| self.fields.get(at).is_some_and(is_time));
                if are_times && !self.rules.contains(&rule) {
                    self.rules.push(rule);
                }
            }
        }
    }

    /// Notes which properties' values rules refer to.
    pub(crate) fn watch(&mut self) -> Result<(), InvalidData> {
        let mut watched: Vec<usize> = if self.interval { vec![0, 1] } else { Vec::new() };
        for rule in &self.rules {
            let asked: &[usize] = match rule {
                Rule::When { field, on, .. } | Rule::Value { field, on, .. } => &[*field, *on],
                Rule::With { field, inner: Some(_), .. } | Rule::AtMost { field, .. } => &[*field],
                Rule::Only { on, .. } => &[*on],
                Rule::Has { array, .. } => &[*array],
                Rule::Sum { field, of, .. } => &[*field, *of],
                Rule::Order(from, to) | Rule::Span { from, to, .. } => &[*from, *to],
                _ => &[],
            };
            asked.iter().for_each(|at| {
                if !watched.contains(at) {
                    watched.push(*at);
                }
            });
        }
        if watched.len() > MOST_WATCHED {
            return Err(InvalidData::TooManyRules(self.name.to_string()));
        }
        self.watched = watched;
        for rule in &self.rules {
            if let Rule::Sum { field, inner, .. } = rule
                && let Some(field) = self.fields.get_mut(*field)
            {
                field.total = Some(inner.clone());
            }
        }
        Ok(())
    }

    fn rule(&self, line: &str) -> Result<Rule, InvalidLine> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = |name: &str| self.position(name, 0).ok_or_else(|| InvalidLine::UnknownField(name.to_owned()));
        let all = |names: &[&str]| names.iter().map(|name| at(name)).collect::<Result<Vec<_>, _>>();
        match words[..] {
            ["any", "of", ref names @ ..] if names.len() > 1 => Ok(Rule::AnyOf(all(names)?)),
            ["one", "of", ref names @ ..] if names.len() > 1 => Ok(Rule::OneOf(all(names)?)),
            ["set", ref names @ ..] if !names.is_empty() => Ok(Rule::Sets(vec![all(names)?])),
            ["some", "of", ref names @ ..] if names.len() > 1 => Ok(Rule::SomeOf(all(names)?)),
            ["sum", "of", name, "is", of] => {
                let (field, inner) = self.path(name)?;
                let inner = inner.ok_or(InvalidLine::NoRule)?;
                let inner = match self.fields.get(field).map(|field| &field.kind) {
                    Some(Kind::Object(object)) => object.fields.get(inner).map(|field| field.name.clone()),
                    _ => None,
                };
                Ok(Rule::Sum { field, inner: inner.ok_or(InvalidLine::NoRule)?, of: at(of)? })
            }
            [name, "with", ref others @ ..] if !others.is_empty() => {
                let (field, inner) = self.path(name)?;
                Ok(Rule::With { field, inner, others: all(others)? })
            }
            [name, "has", value, "with", field] => {
                let array = at(name)?;
                Ok(Rule::Has { field: at(field)?, array, value: self.constants(array, &[value])?[0] })
            }
            [name, "at", "most", count, "with", beside] => {
                let count = count.parse().map_err(|_| InvalidLine::Argument("at most"))?;
                Ok(Rule::AtMost { field: at(name)?, count, beside: at(beside)? })
            }
            [name, "only", "when", on, ref values @ ..] if !values.is_empty() => {
                let on = at(on)?;
                Ok(Rule::Only { field: at(name)?, on, values: self.constants(on, values)? })
            }
            [name, "is", ref rest @ ..] if rest.iter().skip(1).any(|word| *word == "when") => {
                let middle = rest.iter().position(|word| *word == "when").unwrap_or_default();
                let (allowed, deciding) = rest.split_at(middle);
                let ["when", on, values @ ..] = deciding else { return Err(InvalidLine::NoRule) };
                let (field, on) = (at(name)?, at(on)?);
                let (allowed, values) = (self.constants(field, allowed)?, self.constants(on, values)?);
                if values.is_empty() {
                    Err(InvalidLine::NoRule)
                } else {
                    Ok(Rule::Value { field, allowed, on, values })
                }
            }
            [name, "filled", "when", on, ref values @ ..] if !values.is_empty() => {
                let on = at(on)?;
                let values = self.constants(on, values)?;
                Ok(Rule::When { field: at(name)?, inner: None, on, values, need: Need::Filled })
            }
            [name, "filled", "if", "there", "when", on, ref values @ ..] if !values.is_empty() => {
                let on = at(on)?;
                let values = self.constants(on, values)?;
                Ok(Rule::When { field: at(name)?, inner: None, on, values, need: Need::FilledIfPresent })
            }
            [name, "beside", ref others @ ..] if !others.is_empty() => {
                Ok(Rule::Beside { field: at(name)?, others: all(others)? })
            }
            [name, "when", on, ref values @ ..] if !values.is_empty() => {
                let (field, inner) = self.path(name)?;
                let on = at(on)?;
                Ok(Rule::When { field, inner, on, values: self.constants(on, values)?, need: Need::Present })
            }
            [from, "before", to] => Ok(Rule::Order(at(from)?, at(to)?)),
            [from, "to", to, "within", days, "days", ref more @ ..] => {
                let number = |text: &str| text.parse().map_err(|_| InvalidLine::Argument("within"));
                let months = match more {
                    [] => 0,
                    ["or", months, "months"] => number(months)?,
                    _ => return Err(InvalidLine::Argument("within")),
                };
                let days = days.parse().map_err(|_| InvalidLine::Argument("within"))?;
                Ok(Rule::Span { from: at(from)?, to: at(to)?, days, months })
            }
            _ => Err(InvalidLine::NoRule),
        }
    }

    /// The positions of a property and, after a dot, of one in its object.
    fn path(&self, name: &str) -> Result<(usize, Option<usize>), InvalidLine> {
        let unknown = || InvalidLine::UnknownField(name.to_owned());
        let (outer, inner) = name.split_once('.').map_or((name, None), |(outer, inner)| (outer, Some(inner)));
        let field = self.position(outer, 0).ok_or_else(unknown)?;
        let Some(inner) = inner else { return Ok((field, None)) };
        let known = match self.fields.get(field).map(|field| &field.kind) {
            Some(Kind::Object(object)) => object.position(inner, 0),
            _ => None,
        };
        Ok((field, Some(known.ok_or_else(unknown)?)))
    }

    /// The positions of values in a property's enum.
    fn constants(&self, field: usize, values: &[&str]) -> Result<Vec<usize>, InvalidLine> {
        let field = self.fields.get(field).ok_or(InvalidLine::Incomplete)?;
        let position =
            |value: &&str| field.constant(value).ok_or_else(|| InvalidLine::UnknownValue((*value).to_owned()));
        values.iter().map(position).collect()
    }
}

impl Field {
    /// The position of `value` in the enum of the property, or of its update; for a boolean, 0 and 1.
    pub(crate) fn constant(&self, value: &str) -> Option<usize> {
        match &self.updated().kind {
            Kind::Enum(values) => values.values.iter().position(|known| **known == *value),
            Kind::Boolean => ["false", "true"].iter().position(|known| *known == value),
            _ => None,
        }
    }

    /// The value at a position from [`constant`](Self::constant).
    pub(crate) fn constant_name(&self, position: usize) -> &str {
        match &self.updated().kind {
            Kind::Enum(values) => values.values.get(position).map_or("", |value| value),
            _ => ["false", "true"].get(position).copied().unwrap_or_default(),
        }
    }

    /// The property whose value counts: an update's `Value`, else the property itself.
    pub(crate) fn updated(&self) -> &Self {
        match &self.kind {
            Kind::Object(object) if self.array == 0 => match &object.fields[..] {
                [value] if *value.name == *"Value" => value,
                _ => self,
            },
            _ => self,
        }
    }
}

fn is_time(field: &Field) -> bool {
    let field = field.updated();
    field.array == 0 && matches!(field.kind, Kind::Utc | Kind::Date)
}
