//! What the presence or the value of a field asks of others beside it.

use super::finding::{FindingKind, Report};
use super::place::Place;
use super::rules::{Seen, names};
use super::value::Met;
use crate::catalogue::{Field, Kind, Object, Rule};

/// Checks that all of `others` are there where the field is, or the one in its object or its items.
pub(super) fn check_with(
    object: &Object,
    seen: &Seen,
    (position, inner, others): (usize, Option<usize>, &[usize]),
    report: &mut Report,
    place: &Place<'_>,
) {
    let Some(field) = object.fields.get(position).filter(|_| seen.has(position)) else { return };
    let place = Place::Field(place, &field.name);
    let mut name = field.name.to_string();
    if let Some(inner) = inner {
        let (Some(Met::Fields(bits) | Met::Items(_, bits)), Kind::Object(within)) =
            (seen.met(object, position), &field.kind)
        else {
            return;
        };
        let Some(known) = within.fields.get(inner).filter(|_| bits & (1 << inner) != 0) else { return };
        name = format!("{name}.{}", known.name);
    }
    let missing: Vec<usize> = others.iter().copied().filter(|&other| !seen.has(other)).collect();
    if !missing.is_empty() {
        let expected = || format!("{} beside it", names(object, &missing, " and "));
        report.add(FindingKind::MissingPartner, &place, expected, || format!("`{name}` alone"));
    }
}

/// Checks that the field is there only where another has one of some values.
pub(super) fn check_only(
    object: &Object,
    seen: &Seen,
    (position, on, values): (usize, usize, &[usize]),
    report: &mut Report,
    place: &Place<'_>,
) {
    let (Some(field), Some(decides)) = (object.fields.get(position), object.fields.get(on)) else { return };
    let Some(Met::Constant(value)) = seen.met(object, on).filter(|_| seen.has(position)) else { return };
    if !values.contains(&value) {
        let place = Place::Field(place, &field.name);
        let texts = || {
            let expected = format!("`{}` only where `{}` is {}", field.name, decides.name, constants(decides, values));
            (expected, format!("it where that is {}", decides.constant_name(value)))
        };
        report.add_disputed(FindingKind::Conflict, &place, texts, field.disputed.as_deref());
    }
}

/// Checks that the field has one of some values where another has one of some values.
pub(super) fn check_value(object: &Object, seen: &Seen, rule: &Rule, report: &mut Report, place: &Place<'_>) {
    let Rule::Value { field: position, allowed, on, values } = rule else { return };
    let (Some(field), Some(decides)) = (object.fields.get(*position), object.fields.get(*on)) else { return };
    let (Some(Met::Constant(value)), Some(Met::Constant(deciding))) =
        (seen.met(object, *position), seen.met(object, *on))
    else {
        return;
    };
    if values.contains(&deciding) && !allowed.contains(&value) {
        let place = Place::Field(place, &field.name);
        let because = || format!("as `{}` is {}", decides.name, decides.constant_name(deciding));
        let expected = || format!("{}, {}", constants(field, allowed), because());
        report.add(FindingKind::Conflict, &place, expected, || field.constant_name(value).to_owned());
    }
}

/// Checks that an array has a value among its items where the field is.
pub(super) fn check_has(
    object: &Object,
    seen: &Seen,
    (position, array, value): (usize, usize, usize),
    report: &mut Report,
    place: &Place<'_>,
) {
    let (Some(field), Some(list)) = (object.fields.get(position), object.fields.get(array)) else { return };
    let is_among =
        matches!(seen.met(object, array), Some(Met::Items(_, bits)) if value < 128 && bits & (1 << value) != 0);
    if seen.has(position) && !is_among {
        let place = Place::Field(place, &field.name);
        let expected = || format!("`{}` with {} beside it", list.name, list.constant_name(value));
        report.add(FindingKind::MissingPartner, &place, expected, || format!("`{}` without", field.name));
    }
}

/// Checks how many items an array has where another field is.
pub(super) fn check_at_most(
    object: &Object,
    seen: &Seen,
    (position, most, beside): (usize, u32, usize),
    report: &mut Report,
    place: &Place<'_>,
) {
    let (Some(field), Some(other)) = (object.fields.get(position), object.fields.get(beside)) else { return };
    let Some(Met::Items(count, _)) = seen.met(object, position).filter(|_| seen.has(beside)) else { return };
    if count > most {
        let place = Place::Field(place, &field.name);
        let expected = || format!("at most {most} item{} beside `{}`", if most == 1 { "" } else { "s" }, other.name);
        report.add(FindingKind::TooManyItems, &place, expected, || format!("{count} items"));
    }
}

/// Checks that a number of an array's items adds up to another, whatever the sign of that.
pub(super) fn check_sum(
    object: &Object,
    seen: &Seen,
    (position, inner, of): (usize, &str, usize),
    report: &mut Report,
    place: &Place<'_>,
) {
    let (Some(field), Some(other)) = (object.fields.get(position), object.fields.get(of)) else { return };
    let (Some(Met::Number(sum)), Some(Met::Number(asked))) = (seen.met(object, position), seen.met(object, of)) else {
        return;
    };
    if (sum - asked.abs()).abs() > 1e-6 {
        let place = Place::Field(place, &field.name);
        let expected = || format!("`{inner}` that adds up to {}, as `{}` asks", asked.abs(), other.name);
        report.add(FindingKind::Conflict, &place, expected, || sum.to_string());
    }
}

/// Values of a field, in words.
fn constants(field: &Field, values: &[usize]) -> String {
    values.iter().map(|&at| field.constant_name(at)).collect::<Vec<_>>().join(" or ")
}
