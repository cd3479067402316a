//! Where an operation is described in Mews' public documentation.

/// The folder of the operations' pages.
const PAGES: &str = "https://docs.mews.com/connector-api/operations";

/// The anchor of a heading, as the documentation makes it.
pub(crate) fn slug(title: &str) -> String {
    let title = title.to_ascii_lowercase();
    let words: Vec<&str> = title.split_whitespace().collect();
    words.join("-").chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect()
}

/// The page of an operation, unless its data names another one: that of its resource.
pub(crate) fn page_of(path: &str) -> String {
    path.split('/').next().unwrap_or_default().to_ascii_lowercase()
}

/// The address of a heading on a page.
pub(crate) fn address(page: &str, title: &str) -> String {
    format!("{PAGES}/{page}#{}", slug(title))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_the_heading_in_lower_case_with_hyphens() {
        for (title, anchor) in [
            ("Get all reservations (ver 2023-06-06)", "get-all-reservations-ver-2023-06-06"),
            ("Get resources' occupancy state", "get-resources-occupancy-state"),
            ("Get image URLs", "get-image-urls"),
        ] {
            assert_eq!(slug(title), anchor);
        }
    }
}
