//! Rules by which the presence or value of one property constrains others.

use super::finding::{FindingKind, Report};
use super::location::Location;
use super::summary::{Seen, Summary, names};
use crate::catalogue::{Field, Kind, Object, Rule};

/// Checks that all of `others` are present if the property (or the inner one) is.
pub(super) fn check_with(
    object: &Object,
    seen: &Seen,
    (position, inner, others): (usize, Option<usize>, &[usize]),
    report: &mut Report,
    location: &Location<'_>,
) {
    let Some(field) = object.fields.get(position).filter(|_| seen.has(position)) else { return };
    let location = Location::Field(location, &field.name);
    let mut name = field.name.to_string();
    if let Some(inner) = inner {
        let (Some(Summary::Fields(bits) | Summary::Items(_, bits)), Kind::Object(within)) =
            (seen.summary(object, position), &field.kind)
        else {
            return;
        };
        let Some(known) = within.fields.get(inner).filter(|_| bits & (1 << inner) != 0) else { return };
        name = format!("{name}.{}", known.name);
    }
    let missing: Vec<usize> = others.iter().copied().filter(|&other| !seen.has(other)).collect();
    if !missing.is_empty() {
        let expected = || format!("{} as well", names(object, &missing, " and "));
        report.add(FindingKind::MissingPartner, &location, expected, || format!("`{name}` alone"));
    }
}

/// Checks that the property is present only if another has one of the given values.
pub(super) fn check_only(
    object: &Object,
    seen: &Seen,
    (position, on, values): (usize, usize, &[usize]),
    report: &mut Report,
    location: &Location<'_>,
) {
    let (Some(field), Some(decides)) = (object.fields.get(position), object.fields.get(on)) else { return };
    let Some(Summary::Constant(value)) = seen.summary(object, on).filter(|_| seen.has(position)) else { return };
    if !values.contains(&value) {
        let location = Location::Field(location, &field.name);
        let texts = || {
            let expected = format!("`{}` only if `{}` is {}", field.name, decides.name, constants(decides, values));
            (expected, format!("it although that is {}", decides.constant_name(value)))
        };
        report.add_disputed(FindingKind::Conflict, &location, texts, field.disputed.as_deref());
    }
}

/// Checks that the property has one of the given values if another has one of its given values.
pub(super) fn check_value(object: &Object, seen: &Seen, rule: &Rule, report: &mut Report, location: &Location<'_>) {
    let Rule::Value { field: position, allowed, on, values } = rule else { return };
    let (Some(field), Some(decides)) = (object.fields.get(*position), object.fields.get(*on)) else { return };
    let (Some(Summary::Constant(value)), Some(Summary::Constant(deciding))) =
        (seen.summary(object, *position), seen.summary(object, *on))
    else {
        return;
    };
    if values.contains(&deciding) && !allowed.contains(&value) {
        let location = Location::Field(location, &field.name);
        let because = || format!("as `{}` is {}", decides.name, decides.constant_name(deciding));
        let expected = || format!("{}, {}", constants(field, allowed), because());
        report.add(FindingKind::Conflict, &location, expected, || field.constant_name(value).to_owned());
    }
}

/// Checks that an array contains a value if the property is present.
pub(super) fn check_has(
    object: &Object,
    seen: &Seen,
    (position, array, value): (usize, usize, usize),
    report: &mut Report,
    location: &Location<'_>,
) {
    let (Some(field), Some(list)) = (object.fields.get(position), object.fields.get(array)) else { return };
    let is_among =
        matches!(seen.summary(object, array), Some(Summary::Items(_, bits)) if value < 128 && bits & (1 << value) != 0);
    if seen.has(position) && !is_among {
        let location = Location::Field(location, &field.name);
        let expected = || format!("`{}` with {} as well", list.name, list.constant_name(value));
        report.add(FindingKind::MissingPartner, &location, expected, || format!("`{}` without", field.name));
    }
}

/// Checks the maximum length of an array if another property is present.
pub(super) fn check_at_most(
    object: &Object,
    seen: &Seen,
    (position, most, beside): (usize, u32, usize),
    report: &mut Report,
    location: &Location<'_>,
) {
    let (Some(field), Some(other)) = (object.fields.get(position), object.fields.get(beside)) else { return };
    let Some(Summary::Items(count, _)) = seen.summary(object, position).filter(|_| seen.has(beside)) else { return };
    if count > most {
        let location = Location::Field(location, &field.name);
        let expected =
            || format!("at most {most} item{} together with `{}`", if most == 1 { "" } else { "s" }, other.name);
        report.add(FindingKind::TooManyItems, &location, expected, || format!("{count} items"));
    }
}

/// Checks that a number in an array's items adds up to the absolute value of another.
pub(super) fn check_sum(
    object: &Object,
    seen: &Seen,
    (position, inner, of): (usize, &str, usize),
    report: &mut Report,
    location: &Location<'_>,
) {
    let (Some(field), Some(other)) = (object.fields.get(position), object.fields.get(of)) else { return };
    let (Some(Summary::Number(sum)), Some(Summary::Number(asked))) =
        (seen.summary(object, position), seen.summary(object, of))
    else {
        return;
    };
    if (sum - asked.abs()).abs() > 1e-6 {
        let location = Location::Field(location, &field.name);
        let expected = || format!("`{inner}` that adds up to {}, as required by `{}`", asked.abs(), other.name);
        report.add(FindingKind::Conflict, &location, expected, || sum.to_string());
    }
}

/// The given values of an enum property, joined by "or".
fn constants(field: &Field, values: &[usize]) -> String {
    values.iter().map(|&at| field.constant_name(at)).collect::<Vec<_>>().join(" or ")
}
