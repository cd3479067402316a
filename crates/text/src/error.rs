//! Errors as text.

use std::error::Error;

/// The error and its causes on one line, without causes whose text the message already ends with.
///
/// ```
/// let cause = std::io::Error::other("no space left");
/// assert_eq!(nightaudit_text::one_line(&cause), "no space left");
/// ```
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    line.replace('\n', " ")
}
