//! The operations of the Connector API: their requests and their lifecycle.
//!
//! The data is in `data/*.toml` of this crate; the README describes its format.

use std::sync::LazyLock;

mod data;
mod field;
mod model;
mod pattern;
mod rule;
mod source;
mod suggest;
mod types;
mod words;

pub(crate) use data::InvalidData;
pub use model::{
    Delay, DelayUnit, Deprecation, Enum, Field, Kind, Lifecycle, Need, Object, Operation, Rule, Section, UseCase,
};
pub(crate) use model::{MOST_FIELDS, MOST_WATCHED};
pub use pattern::Pattern;
pub(crate) use suggest::nearest;
pub use suggest::{NearMiss, Suggestion};

/// The known operations of the API.
///
/// Mews' documentation contradicts itself in places, and Mews may change its API at any time: a mismatch justifies a warning,
/// never a refused request.
#[derive(Debug)]
pub struct Catalogue {
    /// Sorted by path, for binary search.
    operations: Vec<Operation>,
    use_cases: Vec<UseCase>,
}

impl Catalogue {
    /// The built-in catalogue.
    pub fn built_in() -> &'static Self {
        // The data is a constant that a test reads completely, so this can't fail.
        static BUILT_IN: LazyLock<Catalogue> = LazyLock::new(|| {
            Catalogue::read(source::FILES, source::USE_CASES).expect("the built-in data is read by a test")
        });
        &BUILT_IN
    }

    /// Parses a catalogue from files (name and text) and the text of the use cases.
    pub(crate) fn read(files: &[(&str, &str)], use_cases: &str) -> Result<Self, InvalidData> {
        let (operations, use_cases) = source::read(files, use_cases)?;
        Ok(Self { operations, use_cases })
    }

    /// This catalogue with `operations` added, replacing those with the same paths.
    #[cfg(feature = "openapi")]
    pub(crate) fn with(&self, others: Vec<Operation>) -> Self {
        let mut operations = others;
        let known: std::collections::HashSet<Box<str>> =
            operations.iter().map(|operation| operation.path.clone()).collect();
        operations.extend(self.operations.iter().filter(|operation| !known.contains(&operation.path)).cloned());
        operations.sort_by(|a, b| a.path.cmp(&b.path));
        Self { operations, use_cases: self.use_cases.clone() }
    }

    /// Copies another catalogue's disputes and rules from prose for the properties that this one still has: reading the
    /// documentation again doesn't recover all of them.
    pub(crate) fn keep_words_of(&mut self, other: &Self) {
        for operation in &mut self.operations {
            if let Some(known) = other.operation(&operation.path) {
                std::sync::Arc::make_mut(&mut operation.request).keep_words_of(&known.request);
            }
        }
    }

    /// The envelope's properties that every request may have and no table lists.
    #[cfg(feature = "openapi")]
    pub(crate) fn codes(&self) -> impl Iterator<Item = &Field> {
        let codes = self.operations.first().map(|operation| &operation.request.fields).into_iter().flatten();
        codes.filter(|field| matches!(&*field.name, "LanguageCode" | "CultureCode"))
    }

    /// Parses a catalogue from one text in the data's format, with the built-in use cases.
    pub(crate) fn from_data(data: &str) -> Result<Self, InvalidData> {
        let (operations, use_cases) = source::read_one(data)?;
        Ok(Self { operations, use_cases })
    }

    /// All operations, sorted by path.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation with exactly this `path`, the part after `/api/connector/v1/`.
    pub fn operation(&self, path: &str) -> Option<&Operation> {
        let found = self.operations.binary_search_by(|operation| (*operation.path).cmp(path)).ok()?;
        self.operations.get(found)
    }

    /// The operation most likely meant by the unknown `path`.
    ///
    /// `None` if the path is known, or similar to none.
    pub fn suggest(&self, path: &str) -> Option<Suggestion<'_>> {
        suggest::suggest(&self.operations, path)
    }

    /// The documented use cases, sorted by name.
    pub fn use_cases(&self) -> &[UseCase] {
        &self.use_cases
    }
}

/// The operation with exactly this `path`, the part after `/api/connector/v1/`: see [`operation_of`].
///
/// ```
/// let operation = nightaudit_mews::operation("reservations/getAll/2023-06-06").expect("it is documented");
/// assert!(operation.paginated);
/// assert_eq!(operation.request.field("States").map(|field| field.required), Some(false));
/// assert!(nightaudit_mews::operation("reservations/getAll/2023-06-06/").is_none());
/// ```
///
/// [`operation_of`]: crate::operation_of
pub fn operation(path: &str) -> Option<&'static Operation> {
    Catalogue::built_in().operation(path)
}

/// All operations, sorted by path.
pub fn operations() -> &'static [Operation] {
    Catalogue::built_in().operations()
}

/// The operation most likely meant by the unknown `path`: see [`Catalogue::suggest`].
///
/// ```
/// use nightaudit_mews::{NearMiss, suggest};
///
/// let suggestion = suggest("customers/getall").expect("it is almost right");
/// assert_eq!((&*suggestion.operation.path, suggestion.reason), ("customers/getAll", NearMiss::Case));
/// ```
pub fn suggest(path: &str) -> Option<Suggestion<'static>> {
    Catalogue::built_in().suggest(path)
}

/// The documented use cases, sorted by name.
pub fn use_cases() -> &'static [UseCase] {
    Catalogue::built_in().use_cases()
}
