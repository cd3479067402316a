//! What holds between the fields of an object: from the lines of the data to positions.

use super::field::InvalidLine;
use super::model::MOST_WATCHED;
use super::source::InvalidData;
use super::{Field, Kind, Object, Rule};

/// Pairs of fields that are the start and the end of something, wherever an object has both.
const PAIRS: [(&str, &str); 4] = [
    ("StartUtc", "EndUtc"),
    ("Start", "End"),
    ("FirstTimeUnitStartUtc", "LastTimeUnitStartUtc"),
    ("ValidityStartUtc", "ValidityEndUtc"),
];

impl Object {
    /// Reads the rules that are written of the object, and adds those that its fields' names tell.
    pub(super) fn with_rules(mut self, lines: &str) -> Result<Self, InvalidData> {
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let rule = self.rule(line).map_err(|error| InvalidData::Line {
                owner: self.name.to_string(),
                line: line.trim().to_owned(),
                error,
            })?;
            match (rule, self.rules.last_mut()) {
                // Sets stand on lines of their own, and are one rule.
                (Rule::Sets(more), Some(Rule::Sets(sets))) => sets.extend(more),
                (rule, _) => self.rules.push(rule),
            }
        }
        self.pair();
        self.watch()?;
        Ok(self)
    }

    /// Adds the order of the times that belong together.
    pub(crate) fn pair(&mut self) {
        for (from, to) in PAIRS {
            let (Some(from), Some(to)) = (self.position(from, 0), self.position(to, 0)) else { continue };
            let rule = Rule::Order(from, to);
            let are_times = [from, to].iter().all(|&at| self.fields.get(at).is_some_and(is_time));
            if are_times && !self.rules.contains(&rule) {
                self.rules.push(rule);
            }
        }
    }

    /// Notes whose values the rules ask for.
    pub(crate) fn watch(&mut self) -> Result<(), InvalidData> {
        let mut watched: Vec<usize> = if self.interval { vec![0, 1] } else { Vec::new() };
        for rule in &self.rules {
            let asked: &[usize] = match rule {
                Rule::When { field, on, .. } => &[*field, *on],
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
            [name, "beside", ref others @ ..] if !others.is_empty() => {
                Ok(Rule::Beside { field: at(name)?, others: all(others)? })
            }
            [name, "when", on, ref values @ ..] if !values.is_empty() => {
                let (field, inner) = match name.split_once('.') {
                    None => (at(name)?, None),
                    Some((outer, inner)) => {
                        let field = at(outer)?;
                        let known = match self.fields.get(field).map(|field| &field.kind) {
                            Some(Kind::Object(object)) => object.position(inner, 0),
                            _ => None,
                        };
                        (field, Some(known.ok_or_else(|| InvalidLine::UnknownField((*name).to_owned()))?))
                    }
                };
                let on = at(on)?;
                let decides = self.fields.get(on).ok_or(InvalidLine::Incomplete)?;
                let position = |value: &&str| {
                    decides.constant(value).ok_or_else(|| InvalidLine::UnknownValue((*value).to_owned()))
                };
                Ok(Rule::When { field, inner, on, values: values.iter().map(position).collect::<Result<_, _>>()? })
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
}

impl Field {
    /// The position of `value` among those of the field's enum, or of its update's; of a boolean 0 and 1.
    pub(crate) fn constant(&self, value: &str) -> Option<usize> {
        match &self.updated().kind {
            Kind::Enum(values) => values.values.iter().position(|known| **known == *value),
            Kind::Boolean => ["false", "true"].iter().position(|known| *known == value),
            _ => None,
        }
    }

    /// The value at a position that [`constant`](Self::constant) gave.
    pub(crate) fn constant_name(&self, position: usize) -> &str {
        match &self.updated().kind {
            Kind::Enum(values) => values.values.get(position).map_or("", |value| value),
            _ => ["false", "true"].get(position).copied().unwrap_or_default(),
        }
    }

    /// The field whose value counts: the `Value` of an update, else the field itself.
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
