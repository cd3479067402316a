//! Values that look like a real person's: telephone and document numbers, bank accounts, names with birth dates.
//!
//! Text alone doesn't show whether a person is real. These rules look for what made-up data lacks: numbers without typed runs
//! of digits, outside the ranges reserved for fiction, with a valid checksum if there is one; and names only if something
//! else of the same person looks real, too.

/// What looks real about the person in an object.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Person {
    first: bool,
    last: bool,
    birth: bool,
    /// Evidence of made-up data: a name such as Test, an address at example.com.
    is_made_up: bool,
}

impl Person {
    /// Adds a property.
    pub(super) fn note(&mut self, key: &str, value: &str) {
        match key {
            "FirstName" => self.first = self.is_name(value),
            "LastName" | "SecondLastName" => self.last |= self.is_name(value),
            "BirthDate" => self.birth = is_birth_date(value),
            _ if value.contains('@') => self.is_made_up |= is_example(value),
            _ => {}
        }
    }

    fn is_name(&mut self, value: &str) -> bool {
        let words = value.split(|letter: char| !letter.is_alphabetic()).filter(|word| !word.is_empty());
        self.is_made_up |= words.clone().any(is_placeholder) || value.chars().any(|letter| letter.is_ascii_digit());
        value.chars().count() >= 2 && words.clone().next().is_some_and(|word| !word.starts_with(char::is_lowercase))
    }

    /// Whether the name looks real: first and last name, and a birth date or another real-looking value.
    pub(super) fn looks_real(&self, something_else: bool) -> bool {
        self.first && self.last && !self.is_made_up && (self.birth || something_else)
    }

    /// Merges a nested object about the same person, such as a wrapped value.
    pub(super) fn merge(&mut self, other: Self) {
        self.first |= other.first;
        self.last |= other.last;
        self.birth |= other.birth;
        self.is_made_up |= other.is_made_up;
    }

    /// Whether the birth date counts towards that.
    pub(super) fn has_birth_date(&self) -> bool {
        self.birth
    }
}

/// Placeholder names.
const PLACEHOLDERS: &[&str] = &[
    "test",
    "tester",
    "testing",
    "guest",
    "demo",
    "sample",
    "example",
    "dummy",
    "fake",
    "mock",
    "john",
    "jane",
    "doe",
    "smith",
    "foo",
    "bar",
    "baz",
    "mustermann",
    "musterfrau",
    "customer",
    "user",
    "client",
    "first",
    "last",
    "name",
    "firstname",
    "lastname",
    "surname",
    "unknown",
    "nobody",
    "anonymous",
    "person",
    "traveller",
    "traveler",
    "visitor",
    "kiosk",
    "mews",
    "qa",
    "integration",
    "partner",
    "specimen",
    "xxx",
    "lorem",
    "ipsum",
];

fn is_placeholder(word: &str) -> bool {
    PLACEHOLDERS.iter().any(|own| word.eq_ignore_ascii_case(own))
}

/// Whether a text has an e-mail address at a domain reserved for examples.
fn is_example(value: &str) -> bool {
    let domain = value.rsplit('@').next().unwrap_or_default().trim_end_matches(['>', '.', ' ']).to_ascii_lowercase();
    [".example", ".test", ".invalid", ".localhost"].iter().any(|end| domain.ends_with(end))
        || ["example.com", "example.net", "example.org"]
            .iter()
            .any(|own| domain.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// `1987-04-23`: a date in the last hundred years other than the first of January, a common placeholder.
fn is_birth_date(value: &str) -> bool {
    let mut parts = value.get(..10).unwrap_or_default().split('-').map(|part| part.parse::<u32>().unwrap_or(0));
    let date = (parts.next(), parts.next(), parts.next());
    let (Some(year @ 1900..=2100), Some(month @ 1..=12), Some(day @ 1..=31)) = date else { return false };
    (month, day) != (1, 1) && (month, day) != (12, 31) && year > 1900
}

/// Whether digits look like a placeholder: five in a row that are equal, ascending or descending, or at most three
/// different ones.
fn is_typed(digits: &[u8]) -> bool {
    let steps: Vec<i16> = digits.windows(2).map(|pair| i16::from(pair[1]) - i16::from(pair[0])).collect();
    let has_run = steps.windows(4).any(|run| run[0].abs() <= 1 && run.iter().all(|step| *step == run[0]));
    let mut different = digits.to_vec();
    different.sort_unstable();
    different.dedup();
    has_run || different.len() <= 3
}

/// Telephone numbers reserved for fiction, without the national zero: North America's 555-01xx, and those of the United
/// Kingdom (Ofcom), Australia (ACMA) and France (Arcep).
const FICTION: &[&str] = &[
    "55501", "7700900", "2079460", "1632960", "1134960", "1144960", "1154960", "1164960", "1174960", "1184960",
    "1214960", "1314960", "1414960", "1514960", "1614960", "491570", "255501", "355501", "755501", "855501", "19900",
    "26191", "35301", "46571", "53649", "63998",
];

/// Whether a text looks like a real telephone number.
pub(super) fn is_phone(value: &str) -> bool {
    if !value.chars().all(|letter| letter.is_ascii_digit() || " -+()./\u{a0}".contains(letter)) {
        return false;
    }
    let digits: Vec<u8> = value.bytes().filter(u8::is_ascii_digit).collect();
    let text = std::str::from_utf8(&digits).unwrap_or_default();
    (9..=15).contains(&digits.len()) && !is_typed(&digits) && !FICTION.iter().any(|own| text.contains(own))
}

/// A telephone number in a text, from its `+`.
pub(super) fn phone_in(text: &str) -> Option<&str> {
    text.match_indices('+').take(5).find_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let number = &text[at..];
        let end = number[1..].find(|letter: char| !(letter.is_ascii_digit() || " -()./\u{a0}".contains(letter)));
        let number = number[..end.map_or(number.len(), |end| end + 1)].trim_end_matches([' ', '-', '.', '(', '/']);
        (before.is_none_or(|letter| !letter.is_alphanumeric()) && is_phone(number)).then_some(number)
    })
}

/// Whether a text looks like the number of a real passport or similar document: 6 to 15 letters and digits, at least five
/// of them digits.
pub(super) fn is_document(value: &str) -> bool {
    let letters: Vec<u8> = value.bytes().filter(|letter| !b" -<".contains(letter)).collect();
    let digits: Vec<u8> = letters.iter().copied().filter(u8::is_ascii_digit).collect();
    let upper = value.to_ascii_uppercase();
    let is_made_up = ["TEST", "SAMPLE", "SPECIMEN", "EXAMPLE", "XXX", "ABC", "DEMO", "FAKE", "PASSPORT"];
    (6..=15).contains(&letters.len())
        && letters.iter().all(u8::is_ascii_alphanumeric)
        && digits.len() >= 5
        && !is_typed(&digits)
        && !is_made_up.iter().any(|own| upper.contains(own))
}

/// An IBAN (ISO 13616) in a text, with the country's length and a valid checksum.
pub(super) fn iban_in(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let is_start = |at: usize| {
        bytes[at..].get(..4).is_some_and(|head| {
            head[..2].iter().all(u8::is_ascii_uppercase) && head[2..].iter().all(u8::is_ascii_digit)
        }) && at.checked_sub(1).is_none_or(|before| !bytes[before].is_ascii_alphanumeric())
    };
    (0..bytes.len().saturating_sub(14)).filter(|at| is_start(*at)).find_map(|at| {
        let length = IBAN_LENGTHS.iter().find(|(country, _)| country.as_bytes() == &bytes[at..at + 2])?.1;
        let mut number = Vec::with_capacity(length);
        let mut end = at;
        while number.len() < length {
            match bytes.get(end)? {
                b' ' if bytes.get(end - 1) != Some(&b' ') => {}
                byte if byte.is_ascii_digit() || byte.is_ascii_uppercase() => number.push(*byte),
                _ => return None,
            }
            end += 1;
        }
        let is_whole = bytes.get(end).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        let known = std::str::from_utf8(&number).is_ok_and(|number| EXAMPLE_IBANS.contains(&number));
        (is_whole && !known && has_iban_checksum(&number)).then(|| &text[at..end])
    })
}

/// The check of ISO 7064: the first four characters go to the end, letters become numbers from 10, and the whole modulo 97
/// is 1.
fn has_iban_checksum(number: &[u8]) -> bool {
    let rotated = number[4..].iter().chain(&number[..4]);
    let remainder = rotated.fold(0_u32, |rest, byte| {
        let value = if byte.is_ascii_digit() { u32::from(byte - b'0') } else { u32::from(byte - b'A') + 10 };
        (rest * if value > 9 { 100 } else { 10 } + value) % 97
    });
    remainder == 1
}

/// The length of IBANs by country.
const IBAN_LENGTHS: &[(&str, usize)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BR", 29),
    ("CH", 21),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MT", 31),
    ("MU", 30),
    ("NL", 18),
    ("NO", 15),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("SA", 24),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("XK", 20),
];

/// IBANs that the standard's registry and banks print as examples.
const EXAMPLE_IBANS: &[&str] = &[
    "GB29NWBK60161331926819",
    "GB82WEST12345698765432",
    "GB33BUKB20201555555555",
    "DE89370400440532013000",
    "FR1420041010050500013M02606",
    "NL91ABNA0417164300",
    "ES9121000418450200051332",
    "IT60X0542811101000000123456",
    "BE68539007547034",
    "AT611904300234573201",
    "CH9300762011623852957",
    "PL61109010140000071219812874",
    "SE4550000000058398257466",
    "DK5000400440116243",
    "NO9386011117947",
    "FI2112345600000785",
    "CZ6508000000192000145399",
    "PT50000201231234567890154",
    "IE29AIBK93115212345678",
    "HU42117730161111101800000000",
    "LU280019400644750000",
    "SK3112000000198742637541",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_telephone_number_may_be_somebodys_unless_it_was_typed_or_is_kept_for_fiction() {
        for real in ["+420 731 480 926", "0041 79 638 27 51", "(030) 2905 7314", "+1 (415) 803-2967"] {
            assert!(is_phone(real), "{real}");
        }
        for nobodys in [
            "+420123456789",
            "+420 600 000 000",
            "+1 202-555-0143",
            "+44 7700 900461",
            "+44 20 7946 0958",
            "+61 491 570 156",
            "731",
            "extension 7314802",
            "98765432100",
        ] {
            assert!(!is_phone(nobodys), "{nobodys}");
        }
        assert_eq!(phone_in("call +420 731 480 926, please"), Some("+420 731 480 926"));
        assert_eq!(phone_in("5+420731480926 or 2026-11-23T12:00:00+01:00"), None);
    }

    #[test]
    fn a_document_number_may_be_somebodys_unless_it_is_made_up() {
        assert!(is_document("C4VK90T27") && is_document("39 4826170"));
        for nobodys in ["123456789", "TEST48261", "AB000000", "X1", "ABC482617", "N/A", "Novák 482617"] {
            assert!(!is_document(nobodys), "{nobodys}");
        }
    }

    #[test]
    fn an_account_number_has_its_countrys_length_and_a_right_checksum() {
        for text in ["DE75512108001245126199", "to DE75 5121 0800 1245 1261 99.", "IBAN:CZ5508000000001234567899"] {
            assert!(iban_in(text).is_some(), "{text}");
        }
        for text in
            ["DE75512108001245126198", "DE7551210800124512619", "DE755121080012451261990", "XX75512108001245126199"]
        {
            assert_eq!(iban_in(text), None, "{text}");
        }
    }

    #[test]
    fn every_example_of_an_account_number_is_a_right_one() {
        for example in EXAMPLE_IBANS {
            let length =
                IBAN_LENGTHS.iter().find(|(country, _)| example.starts_with(country)).map(|(_, length)| *length);
            assert!(length == Some(example.len()) && has_iban_checksum(example.as_bytes()), "{example}");
            assert_eq!(iban_in(example), None);
        }
    }

    #[test]
    fn a_name_looks_real_with_something_real_beside_it() {
        let person = |properties: &[(&str, &str)]| {
            let mut person = Person::default();
            properties.iter().for_each(|(key, value)| person.note(key, value));
            person
        };
        let name = [("FirstName", "Katarzyna"), ("LastName", "Zielińska")];
        let born = ("BirthDate", "1987-04-23");
        assert!(person(&[name[0], name[1], born]).looks_real(false));
        assert!(person(&name).looks_real(true) && !person(&name).looks_real(false));
        for nobody in [
            [name[0], ("LastName", "Test"), born],
            [name[0], ("LastName", "Guest 12"), born],
            [name[0], name[1], ("BirthDate", "1990-01-01")],
            [("FirstName", "Jane"), ("LastName", "Doe"), born],
            [name[0], ("Email", "k@example.com"), born],
        ] {
            assert!(!person(&nobody).looks_real(false), "{nobody:?}");
        }
        assert!(!person(&[name[0], name[1], born, ("Email", "k.z@mail.example.com")]).looks_real(true));
    }
}
