//! Checks a request's body against its operation's contract.
//!
//! One pass of a serde visitor over the bytes, driven by the contract: no value of the body is built, and unknown properties
//! are skipped. The contract bounds the recursion depth, not the body.

mod finding;
mod location;
mod object;
mod partners;
mod rules;
mod shape;
mod summary;
mod time;
mod value;

use jiff::civil::DateTime;
use serde::de::DeserializeSeed;

use crate::catalogue::Operation;
pub(crate) use finding::Report;
pub use finding::{Finding, FindingKind};
use location::Location;
use shape::Shape;
use summary::Summary;
use value::Value;

/// Every mismatch between `body` and the contract of `operation`, in document order.
///
/// `null` equals absence, so it is fine for optional properties. Broken JSON ends the check; findings before it are kept.
/// At most 100 findings are returned, with a last one of kind [`FindingKind::More`] that counts the rest. Findings never
/// contain tokens; of the body they quote only names, times, numbers and enum values, each truncated to a readable length.
///
/// The contracts come from Mews' documentation, which contradicts itself in places: a finding is a hint, not proof of a
/// mistake.
///
/// ```
/// use nightaudit_mews::{FindingKind, check_request, operation};
///
/// let operation = operation("accountNotes/delete").expect("it is documented");
/// let body = br#"{"ClientToken": "C", "AccessToken": "A", "Client": "Acme Kiosk 2.1.0", "AccountNoteIds": "1"}"#;
/// let findings = check_request(operation, body);
/// assert_eq!(findings[0].kind, FindingKind::WrongType);
/// assert_eq!(findings[0].to_string(), "/AccountNoteIds: expected an array of GUIDs, found a string");
/// ```
pub fn check_request(operation: &Operation, body: &[u8]) -> Vec<Finding> {
    check_sent(operation, body, None)
}

/// Like [`check_request`], for a request sent at `sent` (UTC), relative to which some times are limited.
pub fn check_sent(operation: &Operation, body: &[u8], sent: Option<DateTime>) -> Vec<Finding> {
    let body = without_mark(body);
    let mut report = Report::default();
    report.sent = sent;
    let mut json = serde_json::Deserializer::from_slice(body);
    let request = Value { report: &mut report, shape: Shape::Object(&operation.request), location: &Location::Root };
    let read = request.deserialize(&mut json).and_then(|summary| json.end().map(|()| summary));
    match read {
        Ok(Summary::Null) => report.wrong_type(&Location::Root, Shape::Object(&operation.request), "null"),
        Ok(_) => {}
        Err(error) => report.broken(&error),
    }
    report.into_findings()
}

/// Strips the UTF-8 byte order mark that some editors add.
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    const DATA: &str = r#"
        [operation."orders/add"]
        title = "Add order"
        fields = """
        States    State[]     max 2
        Interval  Interval    within 1 month
        Matrix    integer[][] max 2
        Names     texts
        Extent    Extent
        """
        [object.Envelope]
        fields = """
        AccessToken   string
        LanguageCode  string  with CultureCode
        CultureCode   string  with LanguageCode
        """
        [object.Interval]
        interval = true
        fields = """
        StartUtc  utc  required
        EndUtc    utc  required
        """
        [object.Extent]
        fields = """
        Orders    boolean
        Products  boolean  deprecated
        """
        [enum.State]
        values = ["Open", "Closed", "Shut"]
        deprecated = ["Shut"]
    "#;

    fn findings(body: impl AsRef<[u8]>) -> Vec<String> {
        let catalogue = Catalogue::read(&[("test.toml", DATA)], "[use-case]").unwrap();
        let findings = check_request(catalogue.operation("orders/add").unwrap(), body.as_ref());
        findings.iter().map(|finding| format!("{:?} {finding}", finding.kind)).collect()
    }

    #[test]
    fn regression_a_redacted_value_of_another_type_was_called_a_mismatch() {
        let redacted = r#"{"States":"REDACTED:0123456789ab","Interval":{"StartUtc":"REDACTED:0123456789ab",
            "EndUtc":"2026-01-31T00:00:00Z"},"Matrix":[["REDACTED:0123456789ab"]],"Extent":{"Orders":"REDACTED:0123456789ab"}}"#;
        assert_eq!(findings(redacted), [""; 0]);
        let sent = r#"{"Extent":{"Orders":"REDACTED:no pseudonym"}}"#;
        assert_eq!(findings(sent), ["WrongType /Extent/Orders: expected a boolean, found a string"]);
    }

    #[test]
    fn nulls_are_as_good_as_nothing() {
        let nulls = r#"{"AccessToken":null,"LanguageCode":null,"States":null,"Interval":null,"Matrix":null,"Names":null,
            "Extent":{"Products":null}}"#;
        for body in [nulls, "{}", "\u{feff}{}", " {} \n"] {
            assert_eq!(findings(body), [""; 0], "{body}");
        }
        assert_eq!(
            findings(r#"{"Interval":{"StartUtc":null,"EndUtc":"2026-01-31T00:00:00Z"}}"#),
            ["MissingField /Interval/StartUtc: expected a time in UTC, such as 2026-01-31T13:00:00Z, found null"]
        );
        assert_eq!(
            findings(r#"{"States":["Open",null],"Matrix":[[1],null]}"#),
            [
                "WrongType /States/1: expected a string, found null",
                "WrongType /Matrix/1: expected an array of integers, found null",
            ]
        );
    }

    #[test]
    fn a_body_that_is_no_object_is_told() {
        for (body, found) in
            [("null", "null"), ("[]", "an array"), ("\"x\"", "a string"), ("1", "a number"), ("true", "a boolean")]
        {
            assert_eq!(findings(body), [format!("WrongType body: expected an object, found {found}")]);
        }
    }

    #[test]
    fn broken_json_is_told_with_its_place_and_what_stands_before_it() {
        for (body, finding) in [
            ("", "body: expected JSON, found EOF while parsing a value at line 1 column 0"),
            ("<html>", "body: expected JSON, found expected value at line 1 column 1"),
            ("{} x", "body: expected JSON, found trailing characters at line 1 column 4"),
            (r#"{"States":["Open",]}"#, "/States: expected JSON, found trailing comma at line 1 column 19"),
            (
                r#"{"Extent":{"Orders":tru"#,
                "/Extent/Orders: expected JSON, found EOF while parsing a value at line 1 column 23",
            ),
        ] {
            assert_eq!(findings(body), [format!("BrokenJson {finding}")], "{body}");
        }
        let both = findings(r#"{"Extent":1,"States":["#);
        assert_eq!(both[0], "WrongType /Extent: expected an object, found a number");
        assert!(both[1].starts_with("BrokenJson /States") && both.len() == 2, "{both:?}");
        assert!(findings(b"{\"AccessToken\":\"\xff\"}")[0].starts_with("BrokenJson /AccessToken"));
    }

    #[test]
    fn values_out_of_an_enum_are_told_from_others() {
        assert_eq!(
            findings(r#"{"States":["open","Shut"]}"#),
            [
                r#"UnknownValue /States/0: expected `Open`, the nearest known value, found "open""#,
                r#"DeprecatedValue /States/1: expected a value that is not deprecated, found "Shut""#,
            ]
        );
        assert_eq!(
            findings(r#"{"States":["Zzyzx"]}"#),
            [r#"UnknownValue /States/0: expected one of Open, Closed, Shut, found "Zzyzx""#]
        );
    }

    #[test]
    fn an_unknown_field_is_told_with_the_nearest_known_one() {
        assert_eq!(
            findings(r#"{"states":["x"],"Whatever":{"States":1},"a/b":1}"#),
            [
                r#"UnknownField /states: expected `States`, the nearest known name, found the property "states""#,
                r#"UnknownField /Whatever: expected no property of this name, found the property "Whatever""#,
                r#"UnknownField /a~1b: expected no property of this name, found the property "a/b""#,
            ]
        );
    }

    #[test]
    fn languages_and_cultures_go_together() {
        let missing = |name, with| format!("MissingPartner /{name}: expected `{with}` as well, found `{name}` alone");
        assert_eq!(findings(r#"{"LanguageCode":"en-GB"}"#), [missing("LanguageCode", "CultureCode")]);
        assert_eq!(findings(r#"{"CultureCode":"en","LanguageCode":null}"#), [missing("CultureCode", "LanguageCode")]);
        assert_eq!(findings(r#"{"CultureCode":"en-GB","LanguageCode":"en-GB"}"#), [""; 0]);
    }

    #[test]
    fn arrays_in_arrays_are_followed_and_the_outer_one_is_counted() {
        assert_eq!(findings(r#"{"Matrix":[[1,2,3],[]]}"#), [""; 0]);
        assert_eq!(
            findings(r#"{"Matrix":[1,[1.5],[[2]]]}"#),
            [
                "WrongType /Matrix/0: expected an array of integers, found a number",
                "WrongType /Matrix/1/0: expected an integer, found a number with a fraction",
                "WrongType /Matrix/2/0: expected an integer, found an array",
                "TooManyItems /Matrix: expected at most 2 items, found 3 items",
            ]
        );
    }

    #[test]
    fn an_interval_is_measured_in_whatever_order_its_ends_come() {
        let too_long =
            ["IntervalTooLong /Interval: expected at most 1 month, found 2026-01-31T00:00:00 to 2026-02-28T00:00:01"];
        assert_eq!(
            findings(r#"{"Interval":{"EndUtc":"2026-02-28T00:00:01Z","StartUtc":"2026-01-31T00:00:00Z"}}"#),
            too_long
        );
        assert_eq!(
            findings(r#"{"Interval":{"StartUtc":"2026-01-31T00:00:00Z","EndUtc":"2026-02-28T00:00:00Z"}}"#),
            [""; 0]
        );
    }

    #[test]
    fn no_token_is_in_a_finding() {
        let token = "C66EF7B239D24632943D115EDE9CB810-EA00F8FD8294692C940F6B5A8F9453D";
        let body = format!(
            r#"{{"AccessToken":["{token}"],"States":["{token}"],"Interval":{{"StartUtc":"{token}","EndUtc":"{token}"}}}}"#
        );
        let findings = findings(body);
        assert_eq!(findings.len(), 4);
        assert!(!findings.concat().contains(&token[..8]), "{findings:?}");
    }

    #[test]
    fn a_flood_of_findings_is_counted() {
        let names: Vec<_> = (0..100_000).map(|count| format!(r#""State{count}":1"#)).collect();
        let findings = findings(format!("{{{}}}", names.join(",")));
        assert_eq!(findings.len(), 101);
        assert_eq!(findings[100], "More body: expected at most 100 findings, found 99900 more");
    }

    #[test]
    fn what_is_long_or_deep_is_told_shortly() {
        let deep = format!(r#"{{"Extent":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(findings(deep), ["WrongType /Extent: expected an object, found an array"]);
        let long = format!(r#"{{"{}":1,"States":["{0}"]}}"#, "é".repeat(1_000_000));
        assert!(findings(long).concat().len() < 1000);
    }
}
