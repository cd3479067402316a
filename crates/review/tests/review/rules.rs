//! For each rule a session that raises it and nothing else, and the nearest one that raises nothing.

use std::collections::BTreeSet;

use crate::common::{events::*, *};
use nightaudit_exchange::{Alteration, FailureKind, FaultEnding, Outcome, TimesUs, Timestamp};
use nightaudit_mews::Contracts;
use nightaudit_review::{CheckState, Declaration, Rule};

/// A rule, the session that must raise it, and the one that must not.
pub(crate) struct Case {
    pub(crate) rule: Rule,
    pub(crate) declaration: Declaration,
    pub(crate) raises: Vec<Call>,
    pub(crate) near: Vec<Call>,
}

fn case(rule: Rule, raises: Vec<Call>, near: Vec<Call>) -> Case {
    Case { rule, declaration: Declaration::default(), raises, near }
}

fn declared(rule: Rule, declaration: &str, raises: Vec<Call>, near: Vec<Call>) -> Case {
    let declaration = Declaration::read(declaration, &Contracts::built_in()).unwrap();
    Case { declaration, ..case(rule, raises, near) }
}

const HOUR: f64 = 3600.0;

const ID: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

/// Half an hour into a quiet hour.
const AT: f64 = 10.5 * HOUR;

fn customer(at: f64, fields: &str) -> Call {
    call(at, "customers/add", &format!("\"OverwriteExisting\":false,{fields}"))
}

/// A change in which each value is in an object of its own.
fn companion(born: &str) -> Call {
    let guest =
        format!(r#"{{"FirstName":{{"Value":"美咲"}},"LastName":{{"Value":"佐藤"}},"BirthDate":{{"Value":"{born}"}}}}"#);
    let fields = format!(r#""AccountUpdates":[{{"Id":"a","Discriminator":"Customer","Customer":{guest}}}]"#);
    call(AT, "accounts/update", &fields)
}

fn passport(number: &str) -> Call {
    let fields = format!(r#""IdentityDocuments":[{{"CustomerId":"a","Type":"Passport","Number":"{number}"}}]"#);
    call(AT, "identityDocuments/add", &fields)
}

/// A guest who may be real, and one who isn't.
fn personal(real: &str, made_up: &str) -> Case {
    case(Rule::Personal, among([customer(AT, real)]), among([customer(AT, made_up)]))
}

fn cancel(at: f64, id: &str) -> Call {
    call(at, "reservations/cancel", &format!("\"ReservationIds\":[\"{id}\"],\"Notes\":\"as asked\""))
}

/// A page of so many of 100 reservations; `next` is the cursor in the response.
fn page(at: f64, cursor: &str, items: usize, next: &str) -> Call {
    let cursor = if cursor.is_empty() { String::new() } else { format!(",\"Cursor\":\"{cursor}\"") };
    call(at, RESERVATIONS, &format!("\"Numbers\":[\"7\"],\"Limitation\":{{\"Count\":100{cursor}}}"))
        .answer(200, &page_of(items, next))
}

/// What was updated since the last time.
fn updated(n: usize, at: f64) -> Call {
    let interval = format!(r#"{{"StartUtc":"2026-11-20T08:{n:02}:00Z","EndUtc":"2026-11-20T09:00:00Z"}}"#);
    call(at, RESERVATIONS, &format!(r#""UpdatedUtc":{interval},"Limitation":{{"Count":100}}"#))
}

/// What was updated since the last time, a little before or after the time.
fn at_times(n: usize, at: f64, shifts: &[f64]) -> Call {
    updated(n, at + shifts[n % shifts.len()])
}

impl Call {
    /// Left so many seconds after it came.
    fn kept_back(mut self, seconds: f64) -> Self {
        let micros = (seconds * 1e6) as u64;
        let end = Some(micros + 50_000);
        self.0.times_us = TimesUs { forwarded: Some(micros), response_head: end, response_end: end };
        self
    }

    /// With an interval that was over a day before.
    fn past(self) -> Self {
        self.day("2026-11-20T", "2026-11-19T")
    }

    /// With another time in its interval.
    fn day(self, from: &str, to: &str) -> Self {
        let fields = self.fields().replace(from, to);
        self.sender(Some("Acme Kiosk 2.1.0"), "client", Some("hotel"), &fields)
    }
}

/// The same request again and again: each after the pause before it, failing all but the last time.
fn row(failure: fn(Call) -> Call, pauses: &[f64]) -> Vec<Call> {
    let mut at = AT;
    let mut calls = vec![failure(question(at, "row"))];
    for pause in pauses {
        at += 0.05 + pause;
        calls.push(failure(question(at, "row")));
    }
    calls.push(question(at + 100.0, "row"));
    calls
}

/// The same question about what was updated until now, failing all but the last time.
fn moving(pauses: &[f64], failure: fn(Call) -> Call) -> Vec<Call> {
    let ask = |at: f64| {
        let end = Timestamp::from_micros(START + (at * 1e6) as i64);
        let interval = format!(r#"{{"StartUtc":"2026-11-20T17:00:00Z","EndUtc":"{end}"}}"#);
        call(at, RESERVATIONS, &format!(r#""UpdatedUtc":{interval},"Limitation":{{"Count":100}}"#))
    };
    let mut at = AT;
    let mut calls = vec![failure(ask(at))];
    for (place, pause) in pauses.iter().enumerate() {
        at += pause;
        calls.push(if place + 1 == pauses.len() { ask(at) } else { failure(ask(at)) });
    }
    calls
}

/// The configuration, fetched by so many processes at once on each day of the run.
fn daily(processes: usize) -> Vec<Call> {
    (0..2 * processes)
        .map(|n| {
            let (day, process) = (n / processes, n % processes);
            call(AT + day as f64 * 24.0 * HOUR + process as f64 * 90.0, "configuration/get", "")
        })
        .collect()
}

/// So many failures, each followed by the same request after three seconds, with success.
fn heeded(count: usize, failure: fn(Call) -> Call) -> Vec<Call> {
    let pair = |n: usize| {
        let (at, id) = (AT + n as f64 * 60.0, format!("heeded-{n}"));
        [failure(question(at, &id)), question(at + 3.05, &id)]
    };
    (0..count).flat_map(pair).collect()
}

/// Runs that begin after so many hours, of a few questions within 10 minutes each.
fn nightly(hours: &[f64]) -> Vec<Call> {
    let run = |start: f64| {
        (0..6).map(move |n| two(start * HOUR + f64::from(n) * 100.0, (start * 10.0) as usize + n as usize))
    };
    hours.iter().flat_map(|hour| run(*hour)).collect()
}

/// A good question for two reservations.
fn two(at: f64, n: usize) -> Call {
    call(at, RESERVATIONS, &format!(r#""ReservationIds":["two-{n}","two-too-{n}"],"Limitation":{{"Count":100}}"#))
}

fn in_a_row(count: usize, seconds: f64, with: impl Fn(usize, f64) -> Call) -> Vec<Call> {
    (0..count).map(|n| with(n, AT + n as f64 * seconds)).collect()
}

pub(crate) fn cases() -> Vec<Case> {
    // So many good ones that a few refusals are no share of them.
    let others = || in_a_row(70, 30.0, |n, at| two(at + 1000.0, n));
    let server = |call: Call| call.fails(503, "Down.");
    let many = |call: Call| call.too_many(None);
    let burst = |count: usize, seconds: f64| among(in_a_row(count, seconds, |n, at| two(at, n)));
    let one = |call: Call| among([call]);
    vec![
        case(Rule::RunShort, quiet().into_iter().take(48).collect(), quiet().into_iter().take(49).collect()),
        case(
            Rule::RunGap,
            quiet()
                .into_iter()
                .enumerate()
                .filter(|(hour, _)| !(20..29).contains(hour))
                .map(|(_, call)| call)
                .collect(),
            quiet()
                .into_iter()
                .enumerate()
                .filter(|(hour, _)| !(20..27).contains(hour))
                .map(|(_, call)| call)
                .collect(),
        ),
        // What runs at night only, as declared; and once it has left a night out.
        declared(Rule::RunScheduled, "every_hours = 24", nightly(&[0.0, 24.1, 50.0]), quiet()),
        declared(Rule::RunGap, "every_hours = 24", nightly(&[0.0, 48.2]), quiet()),
        declared(
            Rule::RunGap,
            "every_hours = 12",
            nightly(&[0.0, 14.0, 21.0, 28.0, 35.0, 42.0, 49.0]),
            nightly(&[0.0, 7.0, 14.0, 21.0, 28.0, 35.0, 42.0, 49.0]),
        ),
        // Not declared, it is a gap.
        case(Rule::RunGap, nightly(&[0.0, 24.0, 48.0]), nightly(&[0.0, 7.0, 14.0, 21.0, 28.0, 35.0, 42.0, 49.0])),
        case(
            Rule::RunEnvironment,
            quiet()
                .into_iter()
                .map(|mut call| {
                    call.0.destination = Some(host("https://api.mews.com"));
                    call
                })
                .collect(),
            // What it is called is no matter.
            one(question(AT, "x").called("production")),
        ),
        case(Rule::RecordOrigin, one(question(AT, "x").sent_by(None)), one(question(AT, "x").sent_by(Some(demo())))),
        case(
            Rule::RecordAltered,
            one(question(AT, "x").altered(Alteration::Masked)),
            one(question(AT, "x").called("a session that was imported")),
        ),
        case(
            Rule::RecordFaults,
            one(question(AT, "x").faulted(FaultEnding::Status(403))),
            among([question(AT, "x").fails(503, "Unavailable."), question(AT + 60.0, "x")]),
        ),
        case(
            Rule::RecordDates,
            one(question(AT, "x").dated(AT as i64 + 122)),
            among([question(AT, "x").dated(AT as i64 + 119), question(AT + 600.0, "y").dated(AT as i64 + 600 - 119)]),
        ),
        declared(
            Rule::CoverageNotCalled,
            "[operations]\n'reservations/getAll/2023-06-06' = 'arrivals'\n'configuration/get' = 'time zone'",
            quiet(),
            one(call(AT, "configuration/get", "")),
        ),
        declared(
            Rule::CoverageOnlyFailed,
            "[operations]\n'reservations/getAll/2023-06-06' = 'as the test has it'\n'configuration/get' = 'as the test has it'\n\
             [rules]\n'errors/unresolved' = { silence = true, reason = 'the test is about another rule' }",
            one(call(AT, "configuration/get", "").fails(403, "No.")),
            one(call(AT, "configuration/get", "")),
        ),
        declared(
            Rule::CoverageUndeclared,
            "[operations]\n'reservations/getAll/2023-06-06' = 'as the test has it'",
            one(call(AT, "configuration/get", "")),
            quiet(),
        ),
        declared(
            Rule::UseCaseMissing,
            "use_case = 'customer-management'",
            quiet().into_iter().map(|call| call.sent_to("configuration/get")).collect(),
            quiet(),
        ),
        case(Rule::LimitsOver, burst(201, 0.1), burst(200, 0.1)),
        // A 429 that is heeded is as it should be, unless there is one after the other.
        case(
            Rule::LimitsRefusedByUs,
            among(heeded(5, |call| call.refused(2))),
            among(heeded(4, |call| call.refused(2))),
        ),
        case(
            Rule::LimitsRefusedByMews,
            among(heeded(5, |call| call.too_many(Some(2)))),
            among(heeded(4, |call| call.too_many(Some(2)))),
        ),
        case(
            Rule::LimitsRefusedByMews,
            // 5 of 100 requests, and of 101.
            among(heeded(5, |call| call.too_many(Some(2))).into_iter().chain(in_a_row(40, 30.0, |n, at| two(at, n)))),
            among(heeded(5, |call| call.too_many(Some(2))).into_iter().chain(in_a_row(41, 30.0, |n, at| two(at, n)))),
        ),
        case(
            Rule::RetryIgnoredRetryAfter,
            among([question(AT, "x").too_many(Some(20)), question(AT + 10.0, "x")]),
            among([question(AT, "x").too_many(Some(20)), question(AT + 20.05, "x")]),
        ),
        case(
            Rule::RetryIgnoredRetryAfter,
            // Sent once the 429 was there, and before that but kept back until after it.
            among([question(AT, "x").too_many(Some(20)), two(AT + 0.4, 1), question(AT + 21.0, "x")]),
            among([question(AT, "x").too_many(Some(20)), two(AT + 0.04, 1).kept_back(0.36), question(AT + 21.0, "x")]),
        ),
        case(
            Rule::RetryFixedPause,
            // The end of the interval goes on with the time.
            among(moving(&[5.05, 5.05, 5.05, 60.0], |call| call.fails(503, "Down."))),
            among(moving(&[5.05, 10.05, 20.05, 60.0], |call| call.fails(503, "Down."))),
        ),
        case(
            Rule::RetryFixedPause,
            among(row(server, &[40.0, 40.0, 40.0])),
            // A minute is where back-off may end.
            among(row(server, &[60.0, 60.0, 60.0])),
        ),
        case(
            Rule::RetryFixedPause,
            among(row(server, &[5.0, 5.0, 5.0])),
            // Hours apart it is no row, and another operation isn't the same request.
            among(
                [0.0, 1.0, 2.0, 3.0]
                    .into_iter()
                    .flat_map(|hour| {
                        let at = AT + hour * 7200.0;
                        [question(at, "daily").fails(503, "Down."), question(at + 7000.0, "daily")]
                    })
                    .take(7)
                    .chain([cancel(AT + 5.0, "daily").fails(503, "Down."), cancel(AT + 15.0, "daily")])
                    .chain([question(AT + 4.0 * 7200.0, "daily")]),
            ),
        ),
        case(Rule::RetryNoBackoff, among(row(server, &[2.0, 4.0, 1.0])), among(row(server, &[1.0, 2.0, 4.0]))),
        case(Rule::RetryFixedPause, among(row(server, &[5.0, 5.0, 5.1])), among(row(server, &[5.0, 10.0, 20.0]))),
        case(
            Rule::RetryHammering,
            among(row(server, &[0.1, 0.1, 0.1, 0.1, 0.1])),
            among(row(server, &[0.1, 0.2, 0.4, 0.8, 1.6])),
        ),
        case(
            Rule::RetryHammering,
            among(
                (0..6)
                    .map(|n| question(AT + f64::from(n), &n.to_string()))
                    .map(many)
                    .chain((0..6).map(|n| question(AT + 60.0 + f64::from(n), &n.to_string())))
                    .chain(others()),
            ),
            among(
                (0..6)
                    .map(|n| question(AT + 11.0 * f64::from(n), &n.to_string()))
                    .map(many)
                    .chain((0..6).map(|n| question(AT + 90.0 + f64::from(n), &n.to_string())))
                    .chain(others()),
            ),
        ),
        case(
            Rule::ErrorsUnresolved,
            among([cancel(AT, "a").fails(403, "Too late."), cancel(AT + 60.0, "b")]),
            among([cancel(AT, "a").fails(403, "Too late."), cancel(AT + 60.0, "b"), cancel(AT + 90.0, "a")]),
        ),
        case(
            Rule::ErrorsUnresolved,
            among([customer(AT, r#""LastName":"Lee","FirstName":"Ann","Phone":"x""#).fails(400, "Invalid Phone.")]),
            among([
                customer(AT, r#""LastName":"Lee","FirstName":"Ann","Phone":"x""#).fails(400, "Invalid Phone."),
                customer(AT + 9.0, r#""LastName":"Lee","FirstName":"Ann","Phone":"1""#),
            ]),
        ),
        case(
            Rule::ErrorsUnresolved,
            among([question(AT, "x").fails(401, "Invalid AccessToken.").token("old")]),
            among([
                question(AT, "x").fails(401, "Invalid AccessToken.").token("old"),
                question(AT + 60.0, "x").token("new"),
            ]),
        ),
        case(
            Rule::ErrorsUnresolved,
            // The same read for another reservation, and one that was in flight when the failure arrived.
            among([question(AT, "x").fails(400, "Wrong."), question(AT + 9.0, "y"), question(AT + 0.04, "x")]),
            among([question(AT, "x").fails(400, "Wrong."), question(AT + 0.051, "x")]),
        ),
        case(
            Rule::ErrorsUnresolved,
            // What the message blames may be another, as long as it is there.
            among([
                call(AT, RESERVATIONS, r#""Numbers":["x"],"Limitation":{"Count":9}"#).fails(400, "Invalid Numbers."),
                question(AT + 9.0, "x"),
            ]),
            among([
                call(AT, RESERVATIONS, r#""Numbers":["x"],"Limitation":{"Count":9}"#).fails(400, "Invalid Numbers."),
                call(AT + 9.0, RESERVATIONS, r#""Numbers":["7"],"Limitation":{"Count":9}"#),
            ]),
        ),
        case(
            Rule::ErrorsUnresolved,
            // The host was down: the request is right, and has to come again.
            among([question(AT, "x").without_answer(Outcome::Failed, FailureKind::Connect), question(AT + 9.0, "y")]),
            among([question(AT, "x").without_answer(Outcome::Failed, FailureKind::Connect), question(AT + 9.0, "x")]),
        ),
        case(
            Rule::ErrorsServer,
            among([question(AT, "x").fails(500, "Oh."), question(AT + 9.0, "y")]),
            among([question(AT, "x").fails(500, "Oh."), question(AT + 9.0, "x")]),
        ),
        case(
            Rule::ErrorsServer,
            // Too heavy: resolved by a lighter request for the same.
            among([question(AT, "x").fails(408, "Too heavy.")]),
            among([question(AT, "x").fails(408, "Too heavy."), question(AT + 9.0, "x")]),
        ),
        // All of them are mended, and there are too many all the same.
        case(Rule::ErrorsShare, among(mended(5, 5)), among(mended(4, 5))),
        case(Rule::ErrorsShare, among(mended(5, 45)), among(mended(5, 46))),
        case(
            Rule::ErrorsShare,
            // Spread over many operations: 12 of 120 calls in all, and of 121.
            spread(120),
            spread(121),
        ),
        // What Mews can't take just now, or doesn't allow, is met by good integrations, too: half of the calls are too many.
        case(Rule::ErrorsShare, among(conflicts(5, 5)), among(conflicts(5, 6))),
        case(Rule::ErrorsShare, among(conflicts(7, 7)), among(conflicts(4, 4))),
        case(
            Rule::ErrorsNoAnswer,
            among([
                cancel(AT, "x").without_answer(Outcome::Failed, FailureKind::ResponseTimeout),
                cancel(AT + 9.0, "x"),
            ]),
            // Without a connection, or for a question, there is no effect.
            among([
                cancel(AT, "x").without_answer(Outcome::Failed, FailureKind::Connect),
                cancel(AT + 9.0, "x"),
                question(AT + 20.0, "x").without_answer(Outcome::Failed, FailureKind::ResponseTimeout),
                question(AT + 29.0, "x"),
                question(AT + 60.0, "y").took(100_000),
            ]),
        ),
        case(
            Rule::ErrorsRejected,
            among([
                question(AT, "x").without_answer(Outcome::Rejected, FailureKind::Malformed),
                question(AT + 9.0, "x"),
            ]),
            among([question(AT, "x")]),
        ),
        case(
            Rule::ErrorsAbandoned,
            one(question(AT, "x").without_answer(Outcome::Aborted, FailureKind::ClientLeft)),
            one(question(AT, "x").took(30_000)),
        ),
        case(
            Rule::RequestContract,
            one(customer(AT, r#""LastName":"Lee","Nikname":"Ann""#)),
            one(customer(AT, r#""LastName":"Lee","FirstName":"Ann""#)),
        ),
        case(
            Rule::RequestDisputed,
            one(call(
                AT,
                "creditCards/charge",
                &format!(r#""CreditCardId":"{ID}","Amount":{{"Currency":"EUR","GrossValue":1}}"#),
            )),
            one(call(
                AT,
                "creditCards/charge",
                &format!(r#""CreditCardId":"{ID}","Amount":{{"Currency":"EUR","GrossValue":1,"TaxCodes":["UK-S"]}}"#),
            )),
        ),
        case(
            Rule::RequestOtherApi,
            among([call(AT, "/api/distributor/v1/hotels/get", r#""HotelId":"a""#)]),
            among([call(AT, "configuration/get", "")]),
        ),
        case(
            Rule::RequestUnknownOperation,
            among([
                call(AT, "configuration/Get", "").fails(404, "Not found."),
                call(AT + 60.0, "configuration/get", ""),
            ]),
            one(call(AT, "configuration/get", "")),
        ),
        case(
            Rule::RequestMethod,
            one({
                let mut call = call(AT, "configuration/get", "");
                call.0.request.method = "GET".into();
                call
            }),
            one(call(AT, "configuration/get", "")),
        ),
        case(
            Rule::RequestDeprecated,
            one(call(AT, "reservations/cancel", r#""ReservationIds":["a"],"Notes":"n","ReservationId":"a""#)),
            one(cancel(AT, "a")),
        ),
        case(
            Rule::RequestDeprecated,
            one(call(AT, "customers/getOpenItems", r#""CustomerIds":["a"]"#)),
            one(call(AT, "orderItems/getAll", r#""OrderItemIds":["a"],"Limitation":{"Count":1}"#)),
        ),
        case(
            Rule::RequestDiscontinued,
            one(call(AT, "restrictions/delete", r#""RestrictionIds":["a"]"#)),
            one(call(AT, "restrictions/clear", r#""ServiceId":"a","Data":[]"#)),
        ),
        case(
            Rule::RequestRestricted,
            one(call(AT, "tasks/close", r#""TaskIds":["a"]"#)),
            one(call(AT, "tasks/getAll", r#""TaskIds":["a"]"#)),
        ),
        case(Rule::ClientMissing, one(question(AT, "x").client(None)), one(question(AT, "x"))),
        case(
            Rule::ClientChanges,
            one(question(AT, "x").client(Some("Acme Kiosk 2.1.1"))),
            one(question(AT, "x").client(Some("Acme Kiosk 2.1.0 "))),
        ),
        case(
            Rule::ClientVersion,
            quiet().into_iter().map(|call| call.client(Some("Acme Kiosk"))).collect(),
            quiet().into_iter().map(|call| call.client(Some("Acme Kiosk v2"))).collect(),
        ),
        case(
            Rule::ClientTool,
            quiet().into_iter().map(|call| call.client(Some("PostmanRuntime/7.39.0"))).collect(),
            quiet().into_iter().map(|call| call.client(Some("Acme Postman 7.39.0"))).collect(),
        ),
        case(
            Rule::ClientTool,
            quiet().into_iter().map(|call| call.client(Some("curl"))).collect(),
            quiet().into_iter().map(|call| call.client(Some("Curly 1"))).collect(),
        ),
        case(
            Rule::ClientTool,
            quiet().into_iter().map(|call| call.client(Some("insomnia/9.3.2"))).collect(),
            quiet().into_iter().map(|call| call.client(Some("Insomniac Hotels 9.3.2"))).collect(),
        ),
        case(
            Rule::ClientSample,
            quiet().into_iter().map(|call| call.client(Some("Sample Client 1.0.0"))).collect(),
            quiet().into_iter().map(|call| call.client(Some("Sampled Client 1.0.0"))).collect(),
        ),
        declared(Rule::ClientDiffers, "client = 'Acme Kiosk Pro'", quiet(), {
            quiet().into_iter().map(|call| call.client(Some("Acme Kiosk Pro 1"))).collect()
        }),
        case(
            Rule::SeveralClientTokens,
            one(call(AT, "configuration/get", "").sender(Some("Acme Kiosk 2.1.0"), "other", Some("hotel"), "")),
            one(call(AT, "configuration/get", "").sender(Some("Acme Kiosk 2.1.0"), "client", Some("other"), "")),
        ),
        case(
            Rule::SharedDemoToken,
            one(question(AT, "x").token("C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D")),
            one(question(AT, "x").token("C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453E")),
        ),
        case(
            Rule::Unpaged,
            one(call(AT, "rates/getAll", r#""ServiceIds":["a"]"#)),
            one(call(AT, "rates/getAll", r#""ServiceIds":["a"],"Limitation":{"Count":9}"#)),
        ),
        case(
            Rule::UnfinishedPages,
            among([page(AT, "", 100, "c1"), page(AT + 1.0, "c1", 100, "c2")]),
            // The last page has a cursor as every page has.
            among([page(AT, "", 100, "c1"), page(AT + 1.0, "c1", 100, "c2"), page(AT + 500.0, "c2", 99, "c3")]),
        ),
        case(
            Rule::UnfinishedPages,
            among([page(AT, "", 100, "c1")]),
            // A list whose length is a multiple of the page's ends with an empty page.
            among([page(AT, "", 100, "c1"), page(AT + 1.0, "c1", 0, "")]),
        ),
        case(
            Rule::UnfinishedPages,
            one(call(AT, RESERVATIONS, r#""Numbers":["7"],"Limitation":{"Count":2}"#).answer(200, &page_of(2, "c"))),
            // Whoever asks for two ids and gets two has them all.
            one(call(AT, RESERVATIONS, r#""ReservationIds":["0","1"],"Limitation":{"Count":2}"#)
                .answer(200, &page_of(2, "c"))),
        ),
        case(
            Rule::UnfinishedPages,
            // Ids of something else narrow the list and don't number it.
            one(call(AT, RESERVATIONS, r#""AssignedResourceIds":["0"],"Limitation":{"Count":2}"#)
                .answer(200, &page_of(2, "c"))),
            one(call(AT, RESERVATIONS, r#""AssignedResourceIds":["0"],"Limitation":{"Count":2}"#)
                .answer(200, &page_of(1, "c"))),
        ),
        case(
            Rule::RepeatedQuestion,
            among(in_a_row(4, 30.0, |_, at| question(at, "x"))),
            among(in_a_row(4, 61.0, |_, at| question(at, "x"))),
        ),
        case(
            Rule::RepeatedQuestion,
            among(in_a_row(4, 30.0, |_, at| question(at, "x"))),
            // Each time something was changed before.
            among(
                in_a_row(4, 30.0, |n, at| if n % 2 == 0 { question(at, "x") } else { cancel(at, &format!("r-{n}")) })
                    .into_iter()
                    .chain(in_a_row(4, 30.0, |n, at| {
                        if n % 2 == 0 { question(at + 200.0, "x") } else { cancel(at + 200.0, &format!("s-{n}")) }
                    })),
            ),
        ),
        case(
            Rule::RepeatedQuestion,
            // 3 of 60 calls, and of 61.
            among(
                in_a_row(4, 30.0, |_, at| question(at, "x"))
                    .into_iter()
                    .chain(in_a_row(6, 30.0, |n, at| two(at + 1000.0, n))),
            ),
            among(
                in_a_row(4, 30.0, |_, at| question(at, "x"))
                    .into_iter()
                    .chain(in_a_row(7, 30.0, |n, at| two(at + 1000.0, n))),
            ),
        ),
        case(
            Rule::StaticData,
            // Three processes fetch it once a day; six of them are a habit.
            among(daily(6)),
            among(daily(3)),
        ),
        declared(
            Rule::UseCasePartly,
            // Two of three sections, and all of them.
            "use_case = 'guest-technology'",
            among([call(AT, "services/getAll", r#""Limitation":{"Count":9}"#)]),
            among([
                call(AT, "services/getAll", r#""Limitation":{"Count":9}"#),
                call(AT + 60.0, "orders/add", r#""ServiceId":"s","AccountId":"a","ProductOrders":[{"ProductId":"p"}]"#),
            ]),
        ),
        case(
            Rule::Polling,
            among(in_a_row(10, 60.0, updated)),
            among(in_a_row(10, 60.0, |n, at| updated(n, at + (n % 3) as f64 * 15.0))),
        ),
        case(
            Rule::Polling,
            // A chance of 40 % in each interval, the longest and the shortest one after the other.
            among(in_a_row(17, 60.0, |n, at| at_times(n, at, &[-12.0, 12.0]))),
            among(in_a_row(16, 60.0, |n, at| at_times(n, at, &[-12.0, 12.0]))),
        ),
        case(
            Rule::PastInterval,
            among(in_a_row(4, 600.0, |_, at| updated(0, at).past())),
            // Three times in all, and each time another interval.
            among(
                in_a_row(3, 600.0, |_, at| updated(0, at).past())
                    .into_iter()
                    .chain(in_a_row(9, 1800.0, |n, at| updated(n + 1, at + 3000.0).past())),
            ),
        ),
        case(
            Rule::PastInterval,
            among(in_a_row(4, 3600.0, |_, at| updated(0, at).past())),
            // What isn't over yet may change.
            among(in_a_row(4, 3600.0, |_, at| updated(0, at).day("2026-11-20T09", "2026-11-21T09"))),
        ),
        case(
            Rule::OneByOne,
            among(in_a_row(20, 1.5, |n, at| question(at, &format!("one-{n}")))),
            among(in_a_row(20, 1.6, |n, at| question(at, &format!("one-{n}")))),
        ),
        case(
            Rule::OneByOne,
            among(in_a_row(20, 1.0, |n, at| question(at, &format!("one-{n}")))),
            among(in_a_row(60, 0.5, |n, at| two(at, n))),
        ),
        case(
            Rule::SameChange,
            among([cancel(AT, "a"), cancel(AT + 9.9, "a")]),
            among([cancel(AT, "a"), cancel(AT + 10.1, "a")]),
        ),
        case(
            Rule::SameChange,
            among([cancel(AT, "a"), cancel(AT + 0.01, "a")]),
            // Another one, and one that failed before.
            among([
                cancel(AT, "a"),
                cancel(AT + 0.01, "b"),
                cancel(AT + 2.0, "c").fails(503, "Down."),
                cancel(AT + 4.0, "c"),
            ]),
        ),
        case(
            Rule::StaticData,
            among(in_a_row(6, 1800.0, |_, at| call(at, "configuration/get", ""))),
            among(in_a_row(6, 3601.0, |_, at| call(at, "configuration/get", ""))),
        ),
        case(
            Rule::Unfiltered,
            one(call(AT, RESERVATIONS, r#""States":["Started"],"Limitation":{"Count":9}"#)),
            one(call(AT, RESERVATIONS, r#""Numbers":["1"],"Limitation":{"Count":9}"#)),
        ),
        case(Rule::Extents, one(extents(5)), one(extents(4))),
        case(
            Rule::CardNumber,
            one(customer(AT, r#""LastName":"Lee","Notes":"card 4539 5787 6362 1486""#)),
            one(customer(AT, r#""LastName":"Lee","Notes":"card 4111 1111 1111 1111""#)),
        ),
        declared(
            Rule::Personal,
            "domains = ['acme.travel']",
            one(customer(AT, r#""LastName":"Lee","Email":"ann.lee@gmail.com""#)),
            one(customer(AT, r#""LastName":"Lee","Email":"ann.lee@acme.travel""#)),
        ),
        personal(r#""LastName":"Lee","Phone":"+420 731 480 926""#, r#""LastName":"Lee","Phone":"+420 731 000 000""#),
        personal(r#""LastName":"Lee","Notes":"or +420 731 480 926""#, r#""LastName":"Lee","Notes":"or 12+731480926""#),
        case(Rule::Personal, one(passport("C4VK90T27")), one(passport("123456789"))),
        case(Rule::Personal, one(companion("1987-04-23")), one(companion("1987-01-01"))),
        personal(
            r#""LastName":"Lee","Notes":"to DE75 5121 0800 1245 1261 99""#,
            r#""LastName":"Lee","Notes":"to DE75 5121 0800 1245 1261 98""#,
        ),
        personal(
            r#""FirstName":"Ann","LastName":"Lee","BirthDate":"1987-04-23""#,
            r#""FirstName":"Ann","LastName":"Lee","BirthDate":"1987-01-01""#,
        ),
        personal(
            r#""FirstName":"Ann","LastName":"Lee","BirthDate":"1987-04-23""#,
            r#""FirstName":"Ann","LastName":"Lee","BirthDate":"1987-04-23","Email":"ann@example.com""#,
        ),
        case(
            Rule::RecordInterrupted,
            one(question(AT, "x").without_answer(Outcome::Interrupted, FailureKind::Interrupted)),
            one(question(AT, "x")),
        ),
        case(
            Rule::RecordTruncated,
            one({
                let mut call = question(AT, "x");
                call.0.request.body.truncated = true;
                call
            }),
            one(question(AT, "x")),
        ),
    ]
}

/// Guests fetched by their ids.
fn guests(at: f64, ids: &[&str]) -> Call {
    let ids = ids.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(",");
    let extent = r#""Extent":{"Customers":true},"Limitation":{"Count":100}"#;
    call(at, "customers/getAll", &format!(r#""CustomerIds":[{ids}],{extent}"#))
}

/// A webhook about each guest, and the call for it `after` so many seconds; each pair an hour after the one before.
fn handled(guests_: usize, after: f64) -> Vec<Call> {
    let pair = |n: usize| {
        let (at, id) = (AT + n as f64 * HOUR, format!("guest-{n}"));
        [webhook(at, &[("CustomerUpdated", &id)]), guests(at + after, &[&id])]
    };
    (0..guests_).flat_map(pair).collect()
}

/// So many guests' webhooks, each followed by the same call at these seconds.
fn fetched_at(count: usize, times: &[f64]) -> Vec<Call> {
    let each = |n: usize| {
        let (at, id) = (AT + n as f64 * HOUR, format!("guest-{n}"));
        let calls = times.iter().map(|time| guests(at + time, &[&id])).collect::<Vec<_>>();
        [vec![webhook(at, &[("CustomerUpdated", &id)])], calls].concat()
    };
    (0..count).flat_map(each).collect()
}

/// So many guests' webhooks that came again after this time, the guest being fetched each time.
fn came_again(count: usize, after: f64) -> Vec<Call> {
    let each = |n: usize| {
        let (at, id) = (AT + n as f64 * HOUR, format!("guest-{n}"));
        [0.0, after].map(|time| [webhook(at + time, &[("CustomerUpdated", &id)]), guests(at + time + 0.1, &[&id])])
    };
    (0..count).flat_map(each).flatten().collect()
}

pub(crate) fn event_cases() -> Vec<Case> {
    let fetched = |hook: Call| among([hook, guests(AT + 10.0, &["a"])]);
    let hook = |at: f64| webhook(at, &[("CustomerUpdated", "a")]);
    let change = |at: f64| call(at, "customers/update", r#""CustomerId":"b","Email":"b@example.com""#);
    let sockets = |pause: f64, catch_up: f64| {
        let again = 20.0 * HOUR + pause;
        let all = socket(0.0, 20.0 * HOUR).into_iter().chain([handshake(again), question(again + catch_up, "missed")]);
        among(all)
    };
    vec![
        case(Rule::EventsLate, fetched(hook(AT).took(5001)), fetched(hook(AT).took(5000))),
        case(Rule::EventsFailed, fetched(hook(AT).answer(500, "")), fetched(hook(AT).answer(202, ""))),
        case(
            Rule::EventsFailed,
            // Sent again, and rejected again.
            among([hook(AT).answer(500, ""), hook(AT + 200.0).answer(503, "")]),
            fetched(hook(AT).answer(204, ""))
                .into_iter()
                .chain([hook(AT - 200.0).failed(FailureKind::Connect)])
                .collect(),
        ),
        case(Rule::EventsTwice, among(fetched_at(3, &[1.0, 60.9])), among(fetched_at(3, &[1.0, 61.1]))),
        case(Rule::EventsTwice, among(fetched_at(3, &[1.0, 2.0])), among(fetched_at(2, &[1.0, 2.0]))),
        case(
            Rule::EventsTwice,
            // The accepted message came again.
            among(came_again(3, 300.0)),
            // The call came more than 10 minutes after it.
            among(fetched_at(3, &[601.0, 602.0])),
        ),
        case(Rule::EventsNotFetched, among(handled(1, 3601.0)), among(handled(1, 3599.0))),
        case(
            Rule::EventsNotFetched,
            // 1 of 20, and 1 of 21.
            among(handled(19, 1.0).into_iter().chain([webhook(45.5 * HOUR, &[("CustomerUpdated", "z")])])),
            among(handled(20, 1.0).into_iter().chain([webhook(45.5 * HOUR, &[("CustomerUpdated", "z")])])),
        ),
        case(
            Rule::EventsNotFetched,
            // Its own change is announced to it within minutes.
            among([change(AT - 601.0), hook(AT)]),
            among([change(AT - 599.0), hook(AT)]),
        ),
        case(
            Rule::EventsSocketNotFetched,
            among([handshake(0.0), told(AT, &[("DeviceCommand", "c")])]),
            among([
                handshake(0.0),
                told(AT, &[("DeviceCommand", "c")]),
                call(AT + 1.0, "commands/getAllByIds", r#""CommandIds":["c"]"#),
            ]),
        ),
        case(Rule::EventsSocketGap, sockets(61.0, 1.0), sockets(59.0, 1.0)),
        // Closed, and never opened again.
        case(Rule::EventsSocketGap, among(socket(0.0, 20.0 * HOUR)), among(socket(0.0, 48.999 * HOUR))),
        case(Rule::EventsSocketNoCatchUp, sockets(5.0, 601.0), sockets(5.0, 599.0)),
    ]
}

/// Changes of guests of which the first ones are refused and then mended, beside others that are right: of `failed` and
/// `failed + right` calls.
fn mended(failed: usize, right: usize) -> Vec<Call> {
    let update = |n: usize, at: f64, phone: &str| {
        call(at, "customers/update", &format!(r#""CustomerId":"guest-{n}","Phone":"{phone}""#))
    };
    let wrong = (0..failed).map(|n| update(n, AT + n as f64 * 20.0, "x").fails(400, "Invalid Phone."));
    let all = (0..failed.max(5)).chain(100..100 + right.saturating_sub(failed.min(5)));
    let right = all.enumerate().map(|(place, n)| update(n, AT + 200.0 + place as f64 * 20.0, "1"));
    wrong.chain(right).collect()
}

/// Cancellations of which so many are answered 409 and then sent again, in `all` calls that succeed.
fn conflicts(failed: usize, all: usize) -> Vec<Call> {
    let at = |n: usize| AT + n as f64 * 20.0;
    let refused = (0..failed).map(|n| cancel(at(n), &format!("r-{n}")).fails(409, "It was changed meanwhile."));
    refused.chain((0..all).map(|n| cancel(at(n) + 400.0, &format!("r-{n}")))).collect()
}

/// So many calls, twelve of which fail, two of each of six operations, and are mended.
fn spread(calls: usize) -> Vec<Call> {
    let operations = [
        "customers/getAll",
        "bills/getAll",
        "payments/getAll",
        "resources/getAll",
        "companies/getAll",
        "orderItems/getAll",
    ];
    let names = ["CustomerIds", "BillIds", "PaymentIds", "ResourceIds", "Ids", "OrderItemIds"];
    let ask = |n: usize, at: f64, id: &str| {
        let extent = match operations[n] {
            "customers/getAll" => r#","Extent":{"Customers":true}"#,
            "resources/getAll" => r#","Extent":{"Resources":true}"#,
            _ => "",
        };
        call(at, operations[n], &format!(r#""{}":["{id}"],"Limitation":{{"Count":100}}{extent}"#, names[n]))
    };
    let pairs = (0..12).flat_map(|n| {
        let (at, id) = (AT + n as f64 * 60.0, n.to_string());
        [ask(n % 6, at, &id).fails(400, "Wrong."), ask(n % 6, at + 5.0, &id)]
    });
    let mut all = among(pairs);
    let more = calls - all.len();
    all.extend(in_a_row(more, 30.0, |n, at| two(at + 1000.0, n)));
    all
}

fn extents(count: usize) -> Call {
    let names = ["RuleActions", "Rates", "RateGroups", "ResourceCategories", "BusinessSegments"];
    let extent: Vec<String> = names.iter().take(count).map(|name| format!("\"{name}\":true")).collect();
    let fields = format!(r#""ServiceIds":["a"],"Limitation":{{"Count":9}},"Extent":{{{}}}"#, extent.join(","));
    call(AT, "rules/getAll", &fields)
}

impl Call {
    fn sent_to(mut self, operation: &str) -> Self {
        self = call((self.0.started_at.micros() - START) as f64 / 1e6, operation, "");
        self
    }
}

#[test]
fn each_rule_is_raised_by_its_fault_and_by_nothing_near_it() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for case in cases().into_iter().chain(event_cases()) {
        seen.insert(case.rule);
        let raised_by = raised(&session(case.raises), &case.declaration);
        if raised_by != BTreeSet::from([case.rule]) {
            wrong.push(format!("{} must be raised, and was: {raised_by:?}", case.rule));
        }
        let near = raised(&session(case.near), &case.declaration);
        if !near.is_empty() {
            wrong.push(format!("beside {} nothing must be raised, and was: {near:?}", case.rule));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The rest need more than a list of calls.
    let apart = [Rule::RunClock, Rule::RecordImported, Rule::RecordIncomplete, Rule::RecordBounds];
    let missing: Vec<_> = Rule::ALL.iter().filter(|rule| !seen.contains(rule) && !apart.contains(rule)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[test]
fn a_private_integration_is_asked_for_its_operations_and_for_no_48_hours() {
    let declaration = |kind: &str| {
        let text = format!(
            "kind = '{kind}'\n[operations]\n'{RESERVATIONS}' = 'arrivals'\n'configuration/get' = 'the time zone'"
        );
        Declaration::read(&text, &Contracts::built_in()).unwrap()
    };
    let minutes = vec![question(0.0, "a"), question(600.0, "b")];
    let with = |calls: Vec<Call>, kind: &str| raised(&session(calls), &declaration(kind));
    assert_eq!(with(minutes.clone(), "private"), BTreeSet::from([Rule::CoverageNotCalled]));
    assert_eq!(with(minutes.clone(), "public"), BTreeSet::from([Rule::RunShort, Rule::CoverageNotCalled]));
    let all: Vec<Call> = minutes.into_iter().chain([call(900.0, "configuration/get", "")]).collect();
    assert_eq!(with(all.clone(), "private"), BTreeSet::new());
    // Nor for an even activity.
    let gaps = all.into_iter().chain([question(20.0 * HOUR, "c")]).collect();
    assert_eq!(with(gaps, "private"), BTreeSet::new());
}

#[test]
fn the_form_has_filters_and_pages_of_what_asks_and_of_nothing_else() {
    let declaration = Declaration::default();
    let calls = [
        call(AT, "customers/getAll", r#""CustomerIds":["a"],"Extent":{"Customers":true},"Limitation":{"Count":9}"#),
        call(AT + 60.0, "customers/update", r#""CustomerId":"a","Phone":"1""#),
        call(AT + 90.0, "services/getAll", r#""Limitation":{"Count":9}"#),
    ];
    let text = nightaudit_review::form(&review(&session(among(calls)), &declaration), &declaration);
    let of = |operation: &str| {
        let (_, rest) = text.split_once(&format!(". {operation} ")).unwrap();
        rest.split("\n\n").next().unwrap().to_owned()
    };
    assert!(of("customers/getAll").contains("Filters    CustomerIds\n"), "{text}");
    assert!(of("services/getAll").contains("Filters    none\n"), "{text}");
    let change = of("customers/update");
    assert!(change.contains("Frequency") && !change.contains("Filters") && !change.contains("Pages"), "{text}");
}

/// The finding for calls that failed in this way and were never resolved.
fn advice(calls: Vec<Call>) -> String {
    let review = review(&session(among(calls)), &Declaration::default());
    let is_it = |rule: Rule| matches!(rule, Rule::ErrorsUnresolved | Rule::ErrorsServer);
    let found: Vec<_> = review.findings.iter().filter(|finding| is_it(finding.rule)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].advice.clone()
}

#[test]
fn each_reason_has_its_own_advice() {
    let one = |call: Call| advice(vec![call]);
    let down = one(question(AT, "x").without_answer(Outcome::Failed, FailureKind::Connect));
    let reasons = [
        one(question(AT, "x").fails(400, "Wrong.")),
        one(question(AT, "x").fails(401, "Invalid AccessToken.")),
        one(question(AT, "x").fails(403, "No.")),
        one(question(AT, "x").fails(404, "Nothing there.")),
        one(question(AT, "x").fails(408, "Too heavy.")),
        one(question(AT, "x").fails(409, "Changed.")),
        one(question(AT, "x").too_many(Some(1))),
        one(question(AT, "x").fails(502, "Down.")),
        one(question(AT, "x").without_answer(Outcome::Failed, FailureKind::ResponseTimeout)),
        down.clone(),
    ];
    assert_eq!(reasons.iter().collect::<BTreeSet<_>>().len(), reasons.len(), "{reasons:?}");
    // An unreachable host doesn't call for another request; `Request-Id` is only mentioned if there is one.
    assert!(!down.contains("Fix") && !down.contains("Request-Id"), "{down}");
    for (status, speaks) in [(400, true), (502, true)] {
        let with = question(AT, "x").fails(status, "Oh.");
        let mut without = question(AT, "x").answer(status, "{}");
        without.0.response.as_mut().unwrap().request_id = None;
        assert_eq!([with, without].map(|call| one(call).contains("Request-Id")), [speaks, false]);
    }
}

#[test]
fn what_was_heeded_is_no_finding() {
    // Failures of Mews, met with growing pauses; a limit, met as it says.
    let server = row(|call| call.fails(503, "Down."), &[1.0, 2.0, 4.1]);
    assert_eq!(raised(&session(among(server)), &Declaration::default()), BTreeSet::new());
    let limit = heeded(3, |call| call.too_many(Some(2)));
    let review = review(&session(among(limit)), &Declaration::default());
    assert_eq!(review.findings, []);
    // They are counted, and shown as passed.
    assert_eq!((review.retries[0].count, review.retries[0].heeded, review.errors.resolved), (3, 3, 3));
}

#[test]
fn an_error_is_made_good_by_the_same_with_the_mistake_mended() {
    let update =
        |at: f64, id: &str, fields: &str| call(at, "customers/update", &format!(r#""CustomerId":"{id}",{fields}"#));
    let failed = || update(AT, "c", r#""Email":"bad","Phone":"1""#).fails(400, "Invalid Email.");
    let unresolved = |later: Vec<Call>| {
        let calls = std::iter::once(failed()).chain(later);
        review(&session(among(calls)), &Declaration::default()).errors.unresolved
    };
    assert_eq!(unresolved(vec![]), 1);
    assert_eq!(unresolved(vec![update(AT + 9.0, "c", r#""Email":"a@example.com","Phone":"1""#)]), 0);
    for other in [
        // Of another guest, another thing, too early, too late to succeed, by another token.
        update(AT + 9.0, "d", r#""Email":"a@example.com","Phone":"1""#),
        update(AT + 9.0, "c", r#""Notes":"x","FirstName":"Ann""#),
        update(AT + 0.01, "c", r#""Email":"a@example.com","Phone":"1""#),
        update(AT + 9.0, "c", r#""Email":"a@example.com","Phone":"1""#).fails(503, "Down."),
        update(AT + 9.0, "c", r#""Email":"a@example.com","Phone":"1""#).token("other"),
    ] {
        let text = format!("{:?}", other.0.request.body.bytes);
        assert!(unresolved(vec![other]) >= 1, "{text}");
    }
}

/// A request whose client left after so many bytes of its body.
fn cut(length: usize, is_announced: bool) -> Call {
    let mut cut = question(1000.0, "x").without_answer(Outcome::Aborted, FailureKind::ClientLeft);
    let body = &mut cut.0.request.body;
    let announced = body.bytes.len().to_string();
    body.bytes.truncate(length);
    body.length = length as u64;
    if is_announced {
        cut.0.request.headers =
            vec![nightaudit_exchange::Header { name: "Content-Length".into(), value: announced.into() }];
    }
    cut
}

#[test]
fn regression_what_an_aborted_request_had_not_sent_yet_is_no_mistake() {
    for (length, is_announced) in [(20, true), (20, false), (0, true), (0, false)] {
        let review = review(&session(among([cut(length, is_announced)])), &Declaration::default());
        let rules: Vec<_> = review.findings.iter().map(|finding| finding.rule).collect();
        assert!(!rules.contains(&Rule::RequestContract), "{length} {is_announced}: {:?}", review.findings);
        assert!(rules.contains(&Rule::RecordTruncated), "{length} {is_announced}: {rules:?}");
        assert_eq!((review.accuracy.unchecked, review.accuracy.checked), (1, 50));
    }
    // Whole, although nobody waited for the response.
    let whole = question(1000.0, "x").without_answer(Outcome::Aborted, FailureKind::ClientLeft);
    let review = review(&session(among([whole])), &Declaration::default());
    assert_eq!((review.accuracy.unchecked, review.accuracy.checked), (0, 51));
}

#[test]
fn regression_one_value_is_not_told_of_requests_with_others() {
    let page = |at: f64, count: u32| {
        call(at, RESERVATIONS, &format!(r#""States":["Started"],"Limitation":{{"Count":{count}}}"#))
    };
    let told = |counts: [u32; 2]| {
        let calls = counts.iter().zip([1.0, 2.0]).map(|(count, at)| page(at * 4000.0, *count));
        let review = review(&session(among(calls)), &Declaration::default());
        review.findings.iter().find(|finding| finding.rule == Rule::RequestContract).unwrap().message.clone()
    };
    assert!(told([5000, 6000]).ends_with("found 5000, among others, in 2 requests."), "{}", told([5000, 6000]));
    assert!(told([5000, 5000]).ends_with("found 5000 in 2 requests."), "{}", told([5000, 5000]));
}

#[test]
fn regression_what_could_not_be_read_or_was_masked_does_not_pass_as_test_data() {
    let test_data = |calls: Vec<Call>| {
        let review = review(&session(calls), &Declaration::default());
        let check = review.checklist.into_iter().find(|check| check.id == "test-data").unwrap();
        (check.state, check.figure)
    };
    let guest = |email: &str| call(1000.0, "customers/add", &format!(r#""LastName":"Guest","Email":"{email}""#));
    let not_judged = |figure: &str| (CheckState::NotJudged, figure.to_owned());
    let masked = guest("REDACTED:b1946ac92492");
    assert_eq!(
        test_data(among([guest("a@example.com")])),
        (CheckState::Passed, "nothing looks real in 51 requests".to_owned())
    );
    assert_eq!(
        test_data(among([masked.clone()])),
        not_judged("nothing looks real in 50 requests; 1 with masked values")
    );
    let mut withheld = guest("a@example.com");
    withheld.0.request.body = nightaudit_exchange::Body::absent(100);
    assert_eq!(
        test_data(among([masked.clone(), withheld, cut(20, true)])),
        not_judged("nothing looks real in 50 requests; 1 with masked values; 2 could not be read in full")
    );
    // What was rejected was never sent to Mews.
    let rejected = guest("a@example.com").without_answer(Outcome::Rejected, FailureKind::Malformed);
    assert_eq!(test_data(among([rejected])).1, "nothing looks real in 50 requests");
    assert_eq!(test_data(among([masked, guest("ann.lee@gmail.com")])).0, CheckState::Failed);
}
