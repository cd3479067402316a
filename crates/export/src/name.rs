//! Names of exported files.

use nightaudit_exchange::Timestamp;

/// The default name of an export: `nightaudit-certification-20261123T120000Z.zip`. Portable: other letters than those of
/// any alphabet, digits, `-`, `_` and `.` are replaced.
#[must_use]
pub fn default_name(session: Option<&str>, at: Timestamp, extension: &str) -> String {
    let session: String = session
        .unwrap_or("all")
        .chars()
        .map(|letter| if letter.is_alphanumeric() || "-_.".contains(letter) { letter } else { '-' })
        .take(80)
        .collect();
    // RFC 3339 without fractions and punctuation.
    let time = at.to_string();
    let seconds = time.split('.').next().unwrap_or_default();
    let time: String = seconds.chars().filter(|letter| !"-:".contains(*letter)).collect();
    format!("nightaudit-{session}-{time}Z.{extension}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_name_can_stand_anywhere() {
        let at = Timestamp::from_micros(1_795_435_200_999_999);
        assert_eq!(default_name(Some("a/b: c"), at, "har"), "nightaudit-a-b--c-20261123T120000Z.har");
        assert_eq!(default_name(None, at, "csv"), "nightaudit-all-20261123T120000Z.csv");
    }
}
