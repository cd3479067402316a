//! Values that look like real people's data.

use super::{
    person,
    summary::{BodySummary, Suspicion},
};
use crate::review::DataKind;

/// Domains whose e-mail addresses aren't personal data.
#[derive(Debug, Clone, Default)]
pub(crate) struct MailDomains {
    own: Vec<String>,
}

/// The most of a value that is searched, in bytes; longer ones are files.
const MOST_BYTES: usize = 4096;

/// The most findings of a request.
const MOST: usize = 5;

/// The longest property name shown, in characters.
const LONGEST_NAME: usize = 60;

impl MailDomains {
    /// Adds the integration's own domains.
    pub(crate) fn new(own: &[String]) -> Self {
        Self { own: own.iter().map(|domain| domain.trim_start_matches(['@', '.']).to_ascii_lowercase()).collect() }
    }

    /// Whether an address at this domain may be a person's.
    fn is_suspect(&self, domain: &str) -> bool {
        let domain = domain.to_ascii_lowercase();
        let is_or_below = |of: &str| domain.strip_suffix(of).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        // Reserved for examples and tests by RFC 2606 and RFC 6761.
        let kept = ["example.com", "example.net", "example.org", "example", "test", "invalid", "localhost"];
        // Mews' own, from the documentation's samples.
        let mews = ["mews.com", "mews.li", "mewssystems.com", "mews-demo.com"];
        !kept.into_iter().chain(mews).any(is_or_below) && !self.own.iter().any(|own| is_or_below(own))
    }
}

/// Checks a value and its name.
pub(super) fn look(value: &str, key: &str, mail: &MailDomains, found: &mut Vec<Suspicion>) {
    // Most values are neither, which a quick check shows for most of them.
    let bytes = value.as_bytes();
    if bytes.len() < 6 || found.len() >= MOST {
        return;
    }
    let bytes = bytes.get(..MOST_BYTES).unwrap_or(bytes);
    let mut add = |kind, masked| {
        let field = key.chars().take(LONGEST_NAME).collect();
        let suspicion = Suspicion { kind, field, masked };
        if !found.contains(&suspicion) {
            found.push(suspicion);
        }
    };
    if memchr::memchr(b'@', bytes).is_some() {
        for (local, domain) in addresses(value) {
            if mail.is_suspect(domain) {
                add(DataKind::MailAddress, masked_mail(local, domain));
            }
        }
    }
    if bytes.len() >= 14 && !is_uuid(bytes) {
        for digits in cards(bytes) {
            add(DataKind::CardNumber, masked_card(&digits));
        }
    }
}

/// Objects whose `Number` is a document's.
const DOCUMENTS: &[&str] =
    &["Passport", "IdentityCard", "Visa", "DriversLicense", "ResidencePermit", "IdentityDocument", "IdentityDocuments"];

/// Checks a value by its name: telephone and document numbers, bank accounts, and what identifies a person.
pub(super) fn look_at_property(value: &str, key: &str, parent: &str, asked: &mut BodySummary<'_>) {
    let bytes = value.as_bytes();
    if bytes.len() < 2 || bytes.len() > MOST_BYTES || is_uuid(bytes) {
        return;
    }
    asked.person.note(key, value);
    if bytes.len() < 6 || asked.suspicions.len() >= MOST {
        return;
    }
    let is_phone = ["Phone", "Telephone", "Mobile"].iter().any(|part| key.contains(part));
    let is_document = (key == "Number" && DOCUMENTS.contains(&parent))
        || ["PassportNumber", "DocumentNumber", "IdentityCardNumber"].contains(&key);
    // Times have a plus only in their offset.
    let has_phone = (is_phone && person::is_phone(value))
        || (!key.ends_with("Utc") && memchr::memchr(b'+', bytes).is_some() && person::phone_in(value).is_some());
    let mut add = |kind, masked: String| {
        let field = key.chars().take(LONGEST_NAME).collect();
        let suspicion = Suspicion { kind, field, masked };
        if !asked.suspicions.contains(&suspicion) {
            asked.suspicions.push(suspicion);
        }
    };
    if has_phone {
        add(DataKind::Phone, "a telephone number".to_owned());
    }
    if is_document && person::is_document(value) {
        add(DataKind::IdentityDocument, format!("{} letters and digits", value.trim().chars().count()));
    }
    if let Some(iban) = person::iban_in(value) {
        add(DataKind::BankAccount, format!("a bank account in {}", &iban[..2]));
    }
}

/// Reports what looks real about the person in an object; findings after the first `known` are the object's.
pub(super) fn look_at_person(asked: &mut BodySummary<'_>, known: usize) {
    let person = asked.person;
    let something_else = asked.suspicions.len() > known;
    if !person.looks_real(something_else) || asked.suspicions.len() >= MOST {
        return;
    }
    let mut add = |kind, field: &str, masked: &str| {
        let suspicion = Suspicion { kind, field: field.to_owned(), masked: masked.to_owned() };
        if !asked.suspicions.contains(&suspicion) {
            asked.suspicions.push(suspicion);
        }
    };
    add(DataKind::Name, "FirstName, LastName", "a first and a last name");
    if person.has_birth_date() {
        add(DataKind::BirthDate, "BirthDate", "a date of birth");
    }
}

/// A message from Mews with addresses, card numbers, telephone numbers and bank accounts masked.
pub(crate) fn mask_text(text: &str) -> String {
    let mut masked = text.to_owned();
    for (local, domain) in addresses(text) {
        masked = masked.replace(&format!("{local}@{domain}"), &masked_mail(local, domain));
    }
    let runs: Vec<(String, String)> = runs(text.as_bytes())
        .map(|run| (run.text.to_owned(), run.digits))
        .filter(|(_, digits)| is_card(digits))
        .collect();
    for (run, digits) in runs {
        masked = masked.replace(&run, &masked_card(&digits));
    }
    for find in [person::phone_in, person::iban_in] {
        // Each replacement removes one, and a message has few.
        for _ in 0..5 {
            let Some(found) = find(&masked).map(str::to_owned) else { break };
            masked = masked.replace(&found, "…");
        }
    }
    masked
}

/// The e-mail addresses in a text, as the parts before and after each `@`.
fn addresses(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.match_indices('@').take(20).filter_map(|(at, _)| {
        let before = text.get(..at)?;
        let is_local = |letter: char| letter.is_alphanumeric() || "._%+-'".contains(letter);
        let from = before
            .rfind(|letter| !is_local(letter))
            .map_or(0, |other| other + before[other..].chars().next().map_or(1, char::len_utf8));
        let after = text.get(at + 1..)?;
        let to = after.find(|letter: char| !(letter.is_alphanumeric() || ".-".contains(letter))).unwrap_or(after.len());
        let (local, domain) = (&before[from..], after[..to].trim_end_matches(['.', '-']));
        let top = domain.rsplit('.').next()?;
        let is_domain = domain.contains('.') && top.len() >= 2 && top.chars().all(char::is_alphabetic);
        (!local.is_empty() && is_domain).then_some((local, domain))
    })
}

fn masked_mail(local: &str, domain: &str) -> String {
    let first = local.chars().next().unwrap_or('…');
    let top = domain.rsplit('.').next().unwrap_or_default();
    let begin = domain.chars().next().unwrap_or('…');
    format!("{first}…@{begin}….{top}")
}

fn masked_card(digits: &str) -> String {
    format!("{} digits ending in {}", digits.len(), &digits[digits.len() - 4..])
}

/// `3fa85f64-5717-4562-b3fc-2c963f66afa6`
fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36 && [8, 13, 18, 23].iter().all(|dash| bytes[*dash] == b'-')
}

/// Digits separated by at most one space or dash.
struct Run<'t> {
    text: &'t str,
    digits: String,
}

/// Runs of digits that are long enough for a card, and not part of a longer word or number.
fn runs(bytes: &[u8]) -> impl Iterator<Item = Run<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|place| at + place) else {
                at = bytes.len();
                return None;
            };
            let (mut end, mut count) = (start, 0);
            while let Some(byte) = bytes.get(end) {
                let is_gap = matches!(byte, b' ' | b'-') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
                match byte {
                    b'0'..=b'9' => count += 1,
                    _ if is_gap => {}
                    _ => break,
                }
                end += 1;
            }
            at = end;
            let before = start.checked_sub(1).map(|before| bytes[before]);
            let is_part = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-._/".contains(&byte))
                || bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_/".contains(byte));
            if (14..=19).contains(&count) && !is_part {
                let text = str::from_utf8(&bytes[start..end]).unwrap_or_default();
                return Some(Run { text, digits: text.chars().filter(char::is_ascii_digit).collect() });
            }
        }
        None
    })
}

fn cards(bytes: &[u8]) -> impl Iterator<Item = String> {
    runs(bytes).map(|run| run.digits).filter(|digits| is_card(digits) && !TEST_CARDS.contains(&&**digits))
}

/// Whether a brand issues numbers with this prefix and length, and the check digit is valid.
fn is_card(digits: &str) -> bool {
    let beginning = |length: usize| digits.get(..length).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let is_of_brand = match digits.len() {
        14 => matches!(beginning(3), 300..=305) || matches!(beginning(2), 36 | 38),
        15 => matches!(beginning(2), 34 | 37),
        16 => {
            beginning(1) == 4
                || matches!(beginning(2), 51..=55 | 62 | 65)
                || matches!(beginning(3), 644..=649)
                || matches!(beginning(4), 2221..=2720 | 3528..=3589 | 6011)
        }
        17..=19 => beginning(2) == 62 || (digits.len() == 19 && beginning(1) == 4),
        _ => false,
    };
    is_of_brand && passes_luhn(digits)
}

fn passes_luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0') * if place % 2 == 1 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Test numbers published by card brands and payment providers, and those in Mews' documentation.
const TEST_CARDS: &[&str] = &[
    "4111111111111111",
    "4242424242424242",
    "4012888888881881",
    "4000056655665556",
    "4000000000000002",
    "4000002500003155",
    "4000000000003220",
    "4000000000009995",
    "4000000000000077",
    "4917610000000000",
    "4988438843884305",
    "4166676667666746",
    "4646464646464644",
    "4000620000000007",
    "4000060000000006",
    "4293189100000008",
    "4444333322221111",
    "4263970000005262",
    "5555555555554444",
    "5555444433331111",
    "5105105105105100",
    "5200828282828210",
    "5454545454545454",
    "5500000000000004",
    "5424000000000015",
    "5577000055770004",
    "5136333333333335",
    "5585558555855583",
    "5555341244441115",
    "2222400070000005",
    "2223000048410010",
    "2223003122003222",
    "2222410740360010",
    "378282246310005",
    "371449635398431",
    "378734493671000",
    "370000000000002",
    "343434343434343",
    "374245455400126",
    "30569309025904",
    "38520000023237",
    "36006666333344",
    "36227206271667",
    "6011111111111117",
    "6011000990139424",
    "6011000000000012",
    "6011601160116611",
    "6445644564456445",
    "6011981111111113",
    "3530111333300000",
    "3566002020360505",
    "3569990010095841",
    "6200000000000005",
    "6205500000000000004",
    "6250941006528599",
    "6243030000000001",
    "6250947000000014",
    "4917300800000000",
    "4484070000000000",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn found(value: &str) -> Vec<String> {
        let mut found = Vec::new();
        look(value, "Notes", &MailDomains::new(&["acme.travel".into()]), &mut found);
        found.into_iter().map(|suspicion| suspicion.masked).collect()
    }

    #[test]
    fn a_card_number_is_found_and_never_shown_whole() {
        for text in ["4539578763621486", "card 4539 5787 6362 1486, exp 12/29", "4539-5787-6362-1486"] {
            assert_eq!(found(text), ["16 digits ending in 1486"], "{text}");
        }
        assert_eq!(found("374500261001009"), ["15 digits ending in 1009"]);
    }

    #[test]
    fn what_is_no_card_number_is_not_taken_for_one() {
        for text in [
            "4111111111111111",                     // a test card
            "4539578763621487",                     // a wrong check digit
            "45395787636214860000",                 // too long
            "1234567890123452",                     // no brand's
            "+4539578763621486",                    // a telephone number
            "ref-4539578763621486",                 // part of a reference
            "44535957-8763-6214-8611-453957876362", // a UUID
            "2026-11-23T12:00:00.000000Z",
            "20261123120000",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_mail_address_is_found_unless_it_is_nobodys() {
        assert_eq!(found("write to jane.doe@gmail.com, or not"), ["j…@g….com"]);
        assert_eq!(found("\"Žofie\" <zofie@firma.co.uk>"), ["z…@f….uk"]);
        for text in [
            "a@example.com",
            "a@mail.example.org",
            "b@hotel.test",
            "c@acme.travel",
            "d@eu.ACME.travel",
            "@twitter.com",
            "room@2.50",
            "a@b",
            "info@mews.li",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
        assert_eq!(found("x@notexample.com").len(), 1);
    }

    #[test]
    fn a_message_is_masked() {
        let text = "Email jane.doe@gmail.com or card 4539 5787 6362 1486 is taken.";
        assert_eq!(mask_text(text), "Email j…@g….com or card 16 digits ending in 1486 is taken.");
    }

    #[test]
    fn every_test_card_looks_like_a_card() {
        // Numbers that no brand issues needn't be listed.
        let odd: Vec<_> = TEST_CARDS.iter().filter(|card| !is_card(card)).collect();
        assert_eq!(odd, [""; 0].iter().collect::<Vec<_>>());
    }
}
