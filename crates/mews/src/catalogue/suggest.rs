//! Suggestions for mistyped paths.

use super::Operation;

/// Longer names aren't compared, which would be expensive and find nothing.
const LONGEST: usize = 100;

/// An operation similar to a mistyped path.
#[derive(Debug, Clone, Copy)]
pub struct Suggestion<'a> {
    /// The operation probably meant.
    pub operation: &'a Operation,
    /// What is wrong with the path.
    pub reason: NearMiss,
}

/// The mistake in an almost correct path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NearMiss {
    /// One slash too many.
    Slash,
    /// The case differs, which Mews distinguishes.
    Case,
    /// The operation exists, but not in this version.
    Version,
    /// Letters differ.
    Spelling,
}

/// The operation, of those sorted by path, probably meant by the unknown `path`.
pub(super) fn suggest<'a>(all: &'a [Operation], path: &str) -> Option<Suggestion<'a>> {
    let exactly = |path: &str| all.iter().find(|operation| *operation.path == *path);
    if path.len() > LONGEST || exactly(path).is_some() {
        return None;
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let trimmed = segments.join("/");
    let found = |operation, reason| Some(Suggestion { operation, reason });

    if let Some(operation) = exactly(&trimmed) {
        return found(operation, NearMiss::Slash);
    }
    if let Some(operation) = all.iter().find(|operation| operation.path.eq_ignore_ascii_case(&trimmed)) {
        return found(operation, NearMiss::Case);
    }
    if let [resource, action, ..] = segments[..] {
        // Versions are dates and operations are sorted, so the last one is the newest.
        let versions = all.iter().rfind(|operation| {
            let mut known = operation.path.split('/');
            known.next().is_some_and(|known| known.eq_ignore_ascii_case(resource))
                && known.next().is_some_and(|known| known.eq_ignore_ascii_case(action))
        });
        if let Some(operation) = versions {
            return found(operation, NearMiss::Version);
        }
    }
    let operation = nearest(&trimmed, all, |operation| &operation.path)?;
    found(operation, NearMiss::Spelling)
}

/// The candidate most similar to `name`, if any: at most a third of the letters differ, and at most
/// three.
pub(crate) fn nearest<'c, T>(name: &str, candidates: &'c [T], name_of: impl Fn(&T) -> &str) -> Option<&'c T> {
    if name.len() > LONGEST {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let allowed = (name.len() / 3).clamp(1, 3);
    candidates
        .iter()
        .map(|candidate| (strsim::osa_distance(&lower, &name_of(candidate).to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggestion(path: &str) -> Option<(&'static str, NearMiss)> {
        crate::suggest(path).map(|suggestion| (&*suggestion.operation.path, suggestion.reason))
    }

    #[test]
    fn a_near_miss_is_told() {
        for (path, meant, reason) in [
            ("rates/getAll/", "rates/getAll", NearMiss::Slash),
            ("/rates//getAll", "rates/getAll", NearMiss::Slash),
            ("Rates/getall", "rates/getAll", NearMiss::Case),
            ("reservations/getall/2023-06-06/", "reservations/getAll/2023-06-06", NearMiss::Case),
            ("reservations/getAll/2020-01-01", "reservations/getAll/2023-06-06", NearMiss::Version),
            ("rates/getAll/2023-06-06", "rates/getAll", NearMiss::Version),
            ("rate/getAll", "rates/getAll", NearMiss::Spelling),
            ("resorces/getAll", "resources/getAll", NearMiss::Spelling),
            ("accountNotes/detele", "accountNotes/delete", NearMiss::Spelling),
        ] {
            assert_eq!(suggestion(path), Some((meant, reason)), "{path}");
        }
    }

    #[test]
    fn what_is_right_or_like_nothing_gets_no_suggestion() {
        let long = "rates/getAll".repeat(100);
        for path in ["rates/getAll", "", "/", "x", "hotels/frobnicate", "rates", &long] {
            assert_eq!(suggestion(path), None, "{path}");
        }
    }
}
