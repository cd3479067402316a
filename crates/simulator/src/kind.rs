//! Kinds of response properties, as written in the data.

use serde_json::Value;
use thiserror::Error;

/// A named property.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    pub(crate) kind: Kind,
}

/// The kind of a property's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A generated value; see [`generator`](crate::generator).
    Generated(Generated),
    /// The id of an item of a collection.
    Reference(Box<str>),
    /// An object of the data.
    Object(Box<str>),
    OneOf(Box<[Box<str>]>),
    Literal(Value),
    Integer(i64, i64),
    Decimal(f64, f64),
    /// Null every other time.
    Optional(Box<Kind>),
    List(Box<Kind>, Length),
    /// One value per time unit between the request's first and last.
    PerUnit(Box<Kind>),
    /// The request's property.
    OfRequest(Box<str>),
    /// The affected item's property.
    OfItem(Box<str>),
    /// The nth value of the request's property, within a list of [`Length::Each`].
    EachOf(Box<str>),
    /// An object per item of the request's property, which acts as the request within it.
    OfEach(Box<str>, Box<str>),
    /// An object per affected item.
    Each(Box<str>),
    /// The given value, or this default.
    GivenOr(Box<str>),
    /// The affected item, its id, all items, all ids; the cursor of the next page.
    Item,
    ItemId,
    Items,
    ItemIds,
    Cursor,
}

/// The length of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// One or two.
    Few,
    Exactly(u8),
    /// As long as the request's property that the items refer to with `each-of`.
    Each,
}

macro_rules! generated {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// Generated values.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Generated {
            $($(#[$doc])* $variant,)+
        }

        impl Generated {
            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

generated! {
    Id = "id",
    New = "new",
    Enterprise = "enterprise",
    Chain = "chain",
    Null = "null",
    True = "true",
    False = "false",
    Boolean = "boolean",
    EmptyObject = "empty",
    EmptyList = "none",
    EmptyText = "text-empty",
    Index = "index",
    NumberText = "number-text",
    Code = "code",
    Now = "now",
    Created = "created",
    Updated = "updated",
    Soon = "soon",
    Day = "day",
    Birthday = "birthday",
    Arrival = "arrival",
    Departure = "departure",
    ActualArrival = "actual-arrival",
    ActualDeparture = "actual-departure",
    StayState = "stay-state",
    TimeUnits = "time-units",
    Duration = "duration",
    Weekdays = "weekdays",
    FirstName = "first-name",
    LastName = "last-name",
    Words = "words",
    Sentence = "sentence",
    Texts = "texts",
    UiTexts = "ui-texts",
    Email = "email",
    Phone = "phone",
    Url = "url",
    Street = "street",
    City = "city",
    Postcode = "postcode",
    Country = "country",
    CountryAt = "country-at",
    Language = "language",
    LanguageAt = "language-at",
    Currency = "currency",
    CurrencyAt = "currency-at",
    TaxCode = "tax-code",
    Floor = "floor",
    Room = "room",
    CardNumber = "card-number",
    CardExpiry = "card-expiry",
    Pdf = "pdf",
    FeeExtents = "fee-extents",
    /// With net and gross values and taxes.
    Amount = "amount",
    /// The same with legacy properties.
    FullAmount = "full-amount",
}

/// An invalid kind.
#[derive(Debug, Error)]
#[error("unknown kind `{0}`; see crates/simulator/README.md")]
pub(crate) struct InvalidKind(String);

impl Kind {
    /// Parses a kind as written in the data.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidKind> {
        let invalid = || InvalidKind(text.to_owned());
        if let Some((argument, name)) = text.split_once(':').map(|(name, argument)| (argument, name)) {
            return Ok(match name {
                "per-unit" => Self::PerUnit(Box::new(Self::parse(argument)?)),
                "of-request" => Self::OfRequest(argument.into()),
                "of-item" => Self::OfItem(argument.into()),
                "each-of" => Self::EachOf(argument.into()),
                "each" => Self::Each(argument.into()),
                "given-or" => Self::GivenOr(argument.into()),
                "of-each" => {
                    let (field, object) = argument.split_once(':').ok_or_else(invalid)?;
                    Self::OfEach(field.into(), object.into())
                }
                _ => return Err(invalid()),
            });
        }
        if let Some(text) = text.strip_suffix('?') {
            return Ok(Self::Optional(Box::new(Self::parse(text)?)));
        }
        if let Some((item, length)) = text.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
            let length = match length {
                "" => Length::Few,
                "each" => Length::Each,
                number => Length::Exactly(number.parse().map_err(|_| invalid())?),
            };
            return Ok(Self::List(Box::new(Self::parse(item)?), length));
        }
        if let Some(collection) = text.strip_prefix('>') {
            return Ok(Self::Reference(collection.into()));
        }
        if let Some(literal) = text.strip_prefix('=') {
            let number = literal.strip_suffix('n').and_then(|number| number.parse::<i64>().ok());
            return Ok(Self::Literal(number.map_or_else(|| literal.into(), Value::from)));
        }
        if text.contains('|') {
            return Ok(Self::OneOf(text.split('|').filter(|value| !value.is_empty()).map(Box::from).collect()));
        }
        if let Some((least, most)) = text.split_once("..") {
            return match (least.parse(), most.parse()) {
                (Ok(least), Ok(most)) => Ok(Self::Integer(least, most)),
                _ => Ok(Self::Decimal(least.parse().map_err(|_| invalid())?, most.parse().map_err(|_| invalid())?)),
            };
        }
        match text {
            "item" => Ok(Self::Item),
            "item-id" => Ok(Self::ItemId),
            "items" => Ok(Self::Items),
            "item-ids" => Ok(Self::ItemIds),
            "cursor" => Ok(Self::Cursor),
            _ if text.starts_with(|first: char| first.is_ascii_uppercase()) => Ok(Self::Object(text.into())),
            _ => Generated::named(text).map(Self::Generated).ok_or_else(invalid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_parsed() {
        let generated = |kind| Box::new(Kind::Generated(kind));
        for (text, kind) in [
            ("id", Kind::Generated(Generated::Id)),
            ("new?", Kind::Optional(generated(Generated::New))),
            (">rates[]", Kind::List(Box::new(Kind::Reference("rates".into())), Length::Few)),
            ("=Spa ce", Kind::Literal("Spa ce".into())),
            ("=2n", Kind::Literal(2.into())),
            ("A|B[1]", Kind::List(Box::new(Kind::OneOf(["A".into(), "B".into()].into())), Length::Exactly(1))),
            ("-1..4", Kind::Integer(-1, 4)),
            ("0.5..4.0", Kind::Decimal(0.5, 4.0)),
            ("per-unit:amount", Kind::PerUnit(generated(Generated::Amount))),
            ("of-each:Reservations:Price", Kind::OfEach("Reservations".into(), "Price".into())),
            ("Address", Kind::Object("Address".into())),
        ] {
            assert_eq!(Kind::parse(text).unwrap(), kind, "{text}");
        }
        for text in ["", "nothing", "1..x", "A[x]", "of:x", "of-each:x"] {
            assert!(Kind::parse(text).is_err(), "{text}");
        }
    }
}
