//! Mews' naming rules.

/// `resources` as `Resources`.
pub(crate) fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `Policies` as `Policy`, `Addresses` as `Address`, `Resources` as `Resource`.
pub(crate) fn singular(name: &str) -> String {
    if let Some(stem) = name.strip_suffix("ies") {
        return format!("{stem}y");
    }
    match name.strip_suffix("es").filter(|stem| stem.ends_with("ss") || stem.ends_with('x')) {
        Some(stem) => stem.to_owned(),
        None => name.strip_suffix('s').unwrap_or(name).to_owned(),
    }
}

/// Whether a name matches a pattern, in which one `*` at either end matches any letters.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    if let Some(end) = pattern.strip_prefix('*') {
        name.ends_with(end)
    } else if let Some(start) = pattern.strip_suffix('*') {
        name.strip_prefix(start).is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_uppercase()))
    } else {
        name == pattern
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_become_singular() {
        for (many, one) in [
            ("Resources", "Resource"),
            ("CancellationPolicies", "CancellationPolicy"),
            ("Addresses", "Address"),
            ("Services", "Service"),
            ("Messages", "Message"),
            ("Taxes", "Tax"),
        ] {
            assert_eq!(singular(many), one);
        }
        assert_eq!(capitalised("rateGroups"), "RateGroups");
    }

    #[test]
    fn a_star_matches_at_either_end() {
        assert!(fits("*Utc", "CreatedUtc") && fits("Is*", "IsActive") && fits("Id", "Id") && fits("*", "Any"));
        assert!(!fits("*Utc", "Utcs") && !fits("Is*", "IssuedUtc") && !fits("Id", "Ids"));
    }
}
