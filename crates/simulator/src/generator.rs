//! Generated values, deterministic by seed.

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::definitions::Definitions;
use crate::kind::{Field, Generated, Kind, Length};

/// Maximum number of time units in a response, the same as Mews'.
const MAX_TIME_UNITS: usize = 100;

/// Maximum length of a list that follows the request.
const MAX_LIST: usize = 1000;

/// The seed of all generated values.
#[derive(Debug, Clone)]
pub(crate) struct Seed {
    pub(crate) seed: u64,
    /// The midnight on which the property's data is centred, in seconds since 1970.
    midnight: i64,
}

/// Seconds per day.
const DAY: i64 = 86_400;

impl Seed {
    /// A seed for data centred on the day of `now`.
    pub(crate) fn new(seed: u64, now: Timestamp) -> Self {
        Self { seed, midnight: now.as_second().div_euclid(DAY) * DAY }
    }

    /// The given hour of the day `days` from today.
    fn at(&self, days: i64, hour: i64) -> Timestamp {
        Timestamp::from_second(self.midnight + days * DAY + hour * 3600).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The id of a collection's nth item.
    pub(crate) fn id(&self, collection: &str, index: usize) -> String {
        guid(self.digest(&[collection, &index.to_string()]))
    }

    /// The id of the only enterprise.
    pub(crate) fn enterprise(&self) -> String {
        self.id("enterprises", 0)
    }

    fn digest(&self, parts: &[&str]) -> [u8; 32] {
        let mut hash = Sha256::new().chain_update(self.seed.to_le_bytes());
        for part in parts {
            hash.update([0]);
            hash.update(part);
        }
        hash.finalize().into()
    }

    fn rng(&self, parts: &[&str]) -> fastrand::Rng {
        let [a, b, c, d, e, f, g, h, ..] = self.digest(parts);
        fastrand::Rng::with_seed(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// What the values of a response or an item may refer to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Context<'a> {
    pub(crate) request: Option<&'a Map<String, Value>>,
    pub(crate) item: Option<&'a Map<String, Value>>,
    /// The affected items, with the parts of the request that affected them.
    pub(crate) items: &'a [(Map<String, Value>, Option<Value>)],
    /// The value's index, if it is in a list.
    pub(crate) nth: Option<usize>,
}

/// Generates the values of one item or response.
pub(crate) struct Generator<'a> {
    seed: &'a Seed,
    definitions: &'static Definitions,
    collection: &'a str,
    index: usize,
    /// The collection's initial number of items.
    of: usize,
    rng: fastrand::Rng,
    now: Timestamp,
    /// The item's creation time, once generated.
    created: Option<Timestamp>,
}

impl<'a> Generator<'a> {
    /// A generator for the nth of `of` items of a collection.
    pub(crate) fn new(seed: &'a Seed, collection: &'a str, index: usize, of: usize, now: Timestamp) -> Self {
        let rng = seed.rng(&["make", collection, &index.to_string()]);
        Self { seed, definitions: Definitions::built_in(), collection, index, of, rng, now, created: None }
    }

    pub(crate) fn object(&mut self, fields: &[Field], context: Context<'_>) -> Map<String, Value> {
        fields.iter().map(|field| (field.name.to_string(), self.value(&field.kind, context))).collect()
    }

    pub(crate) fn value(&mut self, kind: &Kind, context: Context<'_>) -> Value {
        match kind {
            Kind::Generated(generated) => self.generated(*generated, context),
            Kind::Reference(collection) => {
                let items = self.definitions.collections.get(collection).map_or(1, |collection| collection.items);
                // In a list, consecutive items, so that none is repeated.
                let index = context.nth.unwrap_or_else(|| self.rng.usize(..items.max(1)));
                self.seed.id(collection, index % items.max(1)).into()
            }
            Kind::Object(name) => self.named(name, context),
            Kind::OneOf(values) => {
                let values = &values[..];
                values.get(self.rng.usize(..values.len().max(1))).map_or(Value::Null, |value| (**value).into())
            }
            Kind::Literal(value) => value.clone(),
            Kind::Integer(least, most) => self.rng.i64(*least..=*most).into(),
            Kind::Decimal(least, most) => cents(least + self.rng.f64() * (most - least)).into(),
            Kind::Optional(kind) => {
                if self.rng.bool() {
                    self.value(kind, context)
                } else {
                    Value::Null
                }
            }
            Kind::List(kind, length) => {
                let length = match length {
                    Length::Few => self.rng.usize(1..=2),
                    Length::Exactly(length) => usize::from(*length),
                    Length::Each => self.length_of_each(kind, context),
                };
                (0..length).map(|nth| self.value(kind, Context { nth: Some(nth), ..context })).collect()
            }
            Kind::PerUnit(kind) => {
                let units = self.time_units(context.request).len();
                (0..units).map(|_| self.value(kind, context)).collect()
            }
            Kind::OfRequest(field) => field_of(context.request, field),
            Kind::OfItem(field) => field_of(context.item, field),
            Kind::EachOf(field) => {
                let list = context.request.and_then(|request| request.get(&**field)).and_then(Value::as_array);
                list.and_then(|list| list.get(context.nth.unwrap_or_default())).cloned().unwrap_or_default()
            }
            Kind::OfEach(field, object) => {
                let list = context.request.and_then(|request| request.get(&**field)).and_then(Value::as_array);
                let parts = list.into_iter().flatten().take(MAX_LIST);
                parts.map(|part| self.named(object, Context { request: part.as_object(), ..context })).collect()
            }
            Kind::Each(object) => context
                .items
                .iter()
                .map(|(item, part)| {
                    let request = part.as_ref().and_then(Value::as_object);
                    self.named(object, Context { request, item: Some(item), ..context })
                })
                .collect(),
            Kind::GivenOr(value) => (**value).into(),
            Kind::Item => context.item.cloned().map_or(Value::Null, Value::Object),
            Kind::ItemId => field_of(context.item, "Id"),
            Kind::Items => context.items.iter().map(|(item, _)| Value::Object(item.clone())).collect(),
            Kind::ItemIds => context.items.iter().map(|(item, _)| field_of(Some(item), "Id")).collect(),
            Kind::Cursor => Value::Null,
        }
    }

    fn named(&mut self, object: &str, context: Context<'_>) -> Value {
        let definitions = self.definitions;
        definitions.objects.get(object).map_or(Value::Null, |fields| Value::Object(self.object(fields, context)))
    }

    /// The length of the request's property that the list's items refer to.
    fn length_of_each(&self, kind: &Kind, context: Context<'_>) -> usize {
        let Kind::Object(object) = kind else { return 1 };
        let fields = self.definitions.objects.get(object).map_or(&[][..], Vec::as_slice);
        let field = fields.iter().find_map(|field| match &field.kind {
            Kind::EachOf(field) => Some(field),
            _ => None,
        });
        let list = context.request.zip(field).and_then(|(request, field)| request.get(&**field)?.as_array());
        list.map_or(0, |list| list.len().min(MAX_LIST))
    }

    fn generated(&mut self, kind: Generated, context: Context<'_>) -> Value {
        let words = &self.definitions.words;
        match kind {
            Generated::Id => self.seed.id(self.collection, self.index).into(),
            Generated::New => guid(self.rng.u128(..).to_le_bytes()).into(),
            Generated::Enterprise => self.seed.enterprise().into(),
            Generated::Chain => self.seed.id("chains", 0).into(),
            Generated::Null => Value::Null,
            Generated::True => true.into(),
            Generated::False => false.into(),
            Generated::Boolean => self.rng.bool().into(),
            Generated::EmptyObject => json!({}),
            Generated::EmptyList => json!([]),
            Generated::EmptyText => "".into(),
            Generated::Index => self.index.into(),
            Generated::NumberText => (self.index + 1).to_string().into(),
            Generated::Code => self.letters(8).into(),
            Generated::Now => utc(self.now).into(),
            Generated::Created => utc(self.created()).into(),
            Generated::Updated => {
                let created = self.created();
                utc(created.checked_add(SignedDuration::from_secs(self.rng.i64(0..DAY))).unwrap_or(created)).into()
            }
            Generated::Soon => {
                let days = self.rng.i64(2..9);
                utc(self.seed.at(days, 12)).into()
            }
            Generated::Day => day(self.seed.at(-self.rng.i64(0..300), 0)).into(),
            Generated::Birthday => day(self.seed.at(-self.rng.i64(20 * 365..80 * 365), 0)).into(),
            Generated::Arrival => utc(self.seed.at(self.stay().0, 14)).into(),
            Generated::Departure => utc(self.seed.at(self.stay().1, 10)).into(),
            Generated::ActualArrival => match self.stay_state() {
                "Started" | "Processed" => utc(self.seed.at(self.stay().0, 15)).into(),
                _ => Value::Null,
            },
            Generated::ActualDeparture => match self.stay_state() {
                "Processed" => utc(self.seed.at(self.stay().1, 9)).into(),
                _ => Value::Null,
            },
            Generated::StayState => self.stay_state().into(),
            Generated::TimeUnits => {
                self.time_units(context.request).into_iter().map(|unit| Value::from(utc(unit))).collect()
            }
            Generated::Duration => format!("P0M{}DT0H0M0S", self.rng.u8(..15)).into(),
            Generated::Weekdays => json!(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]),
            Generated::FirstName => self.pick(&words.first).into(),
            Generated::LastName => self.pick(&words.last).into(),
            Generated::Words => format!("{} {}", self.pick(&words.adjectives), self.pick(&words.nouns)).into(),
            Generated::Sentence => self.pick(&words.sentences).into(),
            Generated::Texts => {
                json!({ "en-GB": format!("{} {}", self.pick(&words.adjectives), self.pick(&words.nouns)) })
            }
            Generated::UiTexts => json!({ "Address": "Address", "AdultPlural": "Adults", "Apartment": "Apartment" }),
            // Reserved for examples: RFC 2606.
            Generated::Email => {
                let name = format!("{}.{}", self.pick(&words.first), self.pick(&words.last));
                format!("{}{}@example.com", name.to_lowercase(), self.index).into()
            }
            Generated::Phone => format!("+420 600 {:03} {:03}", self.rng.u16(..1000), self.rng.u16(..1000)).into(),
            Generated::Url => format!("https://example.com/{}", self.letters(10).to_lowercase()).into(),
            Generated::Street => format!("{} {}", self.rng.u8(1..100), self.pick(&words.streets)).into(),
            Generated::City => self.pick(&words.cities).into(),
            Generated::Postcode => format!("{:05}", self.rng.u32(10_000..100_000)).into(),
            Generated::Country => self.pick(&words.countries).into(),
            Generated::CountryAt => self.nth(&words.countries).into(),
            Generated::Language => self.pick(&words.languages).into(),
            Generated::LanguageAt => self.nth(&words.languages).into(),
            Generated::Currency => "EUR".into(),
            Generated::CurrencyAt => ["EUR", "GBP", "USD"][self.index % 3].into(),
            Generated::TaxCode => "UK-2022-20%".into(),
            Generated::Floor => (self.index / 10 + 1).to_string().into(),
            Generated::Room => ((self.index / 10 + 1) * 100 + self.index % 10 + 1).to_string().into(),
            Generated::CardNumber => format!("************{:04}", self.rng.u16(..10_000)).into(),
            Generated::CardExpiry => {
                format!("{:02}/{}", self.rng.u8(1..=12), self.seed.at(3 * 365, 0).strftime("%Y")).into()
            }
            Generated::Pdf => {
                let file = "%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n";
                base64::engine::general_purpose::STANDARD.encode(file).into()
            }
            Generated::FeeExtents => json!(["TimeUnits", "Products"]),
            Generated::Amount => {
                let gross = self.rng.i64(500..30_000) as f64 / 100.0;
                amount(gross, "EUR")
            }
            Generated::FullAmount => {
                let gross = self.rng.i64(500..30_000) as f64 / 100.0;
                let mut amount = amount(gross, "EUR");
                let net = amount["NetValue"].clone();
                amount["Value"] = gross.into();
                amount["Tax"] = cents(gross - net.as_f64().unwrap_or(gross)).into();
                amount["Net"] = net;
                amount["TaxRate"] = 20.into();
                amount
            }
        }
    }

    /// More recent for higher indices.
    fn created(&mut self) -> Timestamp {
        if let Some(created) = self.created {
            return created;
        }
        let days = i64::try_from(self.of.saturating_sub(self.index)).unwrap_or(i64::MAX) % 700 + 2;
        let hour = self.rng.i64(6..20);
        let created = self.seed.at(-days, hour);
        self.created = Some(created);
        created
    }

    /// Start and end of a stay, in days from today. Of ten stays, four start today or tomorrow.
    fn stay(&self) -> (i64, i64) {
        let index = i64::try_from(self.index).unwrap_or_default();
        let arrival = [0, -3, 1, -1, 0, 4, -6, 1, 8, -2][(index % 10) as usize];
        (arrival, arrival + 1 + index % 4)
    }

    fn stay_state(&self) -> &'static str {
        match self.stay() {
            _ if self.index % 17 == 16 => "Canceled",
            (_, departure) if departure < 0 => "Processed",
            (arrival, _) if arrival < 0 => "Started",
            _ => "Confirmed",
        }
    }

    /// The days from the request's first to its last. Mews' days start at midnight in the property's time zone, which
    /// the request's own times imply.
    fn time_units(&self, request: Option<&Map<String, Value>>) -> Vec<Timestamp> {
        let time = |names: [&str; 2]| {
            let request = request?;
            names.iter().find_map(|name| request.get(*name)?.as_str()?.parse::<Timestamp>().ok())
        };
        let first = time(["FirstTimeUnitStartUtc", "StartUtc"]).unwrap_or_else(|| self.seed.at(0, 0));
        let last = time(["LastTimeUnitStartUtc", "EndUtc"]).unwrap_or(first);
        let day = SignedDuration::from_hours(24);
        std::iter::successors(Some(first), |unit| unit.checked_add(day).ok())
            .take_while(|unit| *unit <= last)
            .take(MAX_TIME_UNITS)
            .collect()
    }

    fn pick<'w>(&mut self, words: &'w [String]) -> &'w str {
        words.get(self.rng.usize(..words.len().max(1))).map_or("", String::as_str)
    }

    fn nth<'w>(&self, words: &'w [String]) -> &'w str {
        words.get(self.index % words.len().max(1)).map_or("", String::as_str)
    }

    fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| self.rng.alphanumeric().to_ascii_uppercase()).collect()
    }
}

/// An amount as in Mews' responses, with 20 % tax.
pub(crate) fn amount(gross: f64, currency: &str) -> Value {
    let net = cents(gross / 1.2);
    let tax = cents(gross - net);
    let code = "UK-2022-20%";
    json!({
        "Currency": currency,
        "NetValue": net,
        "GrossValue": cents(gross),
        "TaxValues": [{ "Code": code, "Value": tax }],
        "Breakdown": { "Items": [{ "TaxRateCode": code, "NetValue": net, "TaxValue": tax }] },
    })
}

/// Rounds to two decimal places.
pub(crate) fn cents(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A time in Mews' format: to the second, in UTC.
pub(crate) fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A day in Mews' format.
fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

/// A GUID from the first 16 of these bytes.
pub(crate) fn guid<const N: usize>(bytes: [u8; N]) -> String {
    let mut id = [0; 16];
    id.iter_mut().zip(bytes).for_each(|(target, byte)| *target = byte);
    // Version 4, variant 1, as parsers expect of a random GUID.
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    let hex = id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn field_of(object: Option<&Map<String, Value>>, field: &str) -> Value {
    object.and_then(|object| object.get(field)).cloned().unwrap_or_default()
}
