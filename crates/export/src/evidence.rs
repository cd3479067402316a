//! The content of a report or bundle, collected in one pass over the exchanges.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
};

use nightaudit_exchange::{Exchange, Filter, Import, Missing, SessionId};
use nightaudit_log::Session;
use nightaudit_review::{Basis, Declaration, DeclarationError, Review, Reviewer, SessionFacts};

use crate::{
    ExchangeWriter, ExportError,
    bundle::Made,
    report::{About, Excerpt},
};

/// Maximum sessions per report or bundle.
const MAX_SESSIONS: usize = 50;

/// The inputs of a report or bundle other than the exchanges.
///
/// ```
/// use nightaudit_export::Evidence;
///
/// let evidence = Evidence { scratch: std::env::temp_dir(), ..Evidence::default() };
/// let mut page = Vec::new();
/// evidence.report(&mut page)?.finish()?;
/// assert!(page.starts_with(b"<!DOCTYPE html>"));
/// # Ok::<(), nightaudit_export::ExportError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The integration's declaration, as TOML; `None` if there isn't one.
    pub declaration: Option<String>,
    /// The filter that selected the exchanges; empty for the whole log.
    pub filter: Filter,
    /// The JSON properties whose values were masked beforehand.
    pub masked_fields: Vec<String>,
    /// What sessions are reviewed against; the built-in documentation by default.
    pub basis: Basis,
    /// The number of requests per session known to have been forwarded but not recorded.
    pub unrecorded: BTreeMap<SessionId, u64>,
    /// Recorded exchanges no longer in the log, in addition to [`ExchangeWriter::missing`].
    pub missing: Vec<Missing>,
    /// What was found when sessions were imported.
    pub imported: BTreeMap<SessionId, Import>,
    /// When and by which key it is written, for the report's header; makes the output depend on the time.
    pub made: Option<Made>,
    /// The folder for temporary files, which are unnamed and vanish with the writer.
    pub scratch: PathBuf,
}

impl Evidence {
    /// The same with what the log knows of these sessions.
    #[must_use]
    pub fn with_sessions(mut self, sessions: &[Session]) -> Self {
        let marked = sessions.iter().filter(|session| session.unrecorded > 0);
        self.unrecorded = marked.map(|session| (session.id, session.unrecorded)).collect();
        self.imported = sessions.iter().filter_map(|session| Some((session.id, session.imported?))).collect();
        self
    }

    /// A writer of the report alone.
    ///
    /// # Errors
    ///
    /// [`ExportError`] if the declaration is invalid or temporary files can't be written.
    pub fn report<'w>(&self, out: impl Write + Send + 'w) -> Result<Box<dyn ExchangeWriter + Send + 'w>, ExportError> {
        Ok(Box::new(ReportWriter { gathered: Gathered::new(self)?, out }))
    }

    pub(crate) fn about(&self) -> About {
        About {
            filter: self.filter.to_query().into_iter().collect(),
            masked_fields: self.masked_fields.clone(),
            revision: self.basis.contracts.revision().to_owned(),
            updated: self.basis.updated,
            openapi: self.basis.openapi,
            made: self.made.clone(),
        }
    }
}

struct ReportWriter<W> {
    gathered: Gathered,
    out: W,
}

impl<W: Write + Send> ExchangeWriter for ReportWriter<W> {
    fn write(&mut self, exchange: &Exchange) -> Result<(), ExportError> {
        self.gathered.add(exchange)
    }

    fn missing(&mut self, missing: &[Missing]) -> Result<(), ExportError> {
        self.gathered.set_missing(missing);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        let Self { gathered, mut out } = *self;
        let reviews = gathered.reviews();
        Ok(gathered.write_report(&reviews, &mut out)?)
    }
}

/// Collects reviews and the report's exchanges.
pub(crate) struct Gathered {
    declaration: Declaration,
    basis: Basis,
    unrecorded: BTreeMap<SessionId, u64>,
    missing: Vec<Missing>,
    imported: BTreeMap<SessionId, Import>,
    about: About,
    reviewers: Vec<(SessionId, Reviewer)>,
    excerpt: Excerpt,
}

impl Gathered {
    pub(crate) fn new(evidence: &Evidence) -> Result<Self, ExportError> {
        let declaration = evidence.declaration.as_deref();
        let declaration = declaration.map(|text| Declaration::read(text, &evidence.basis.contracts)).transpose();
        Ok(Self {
            declaration: declaration.map_err(invalid_declaration)?.unwrap_or_default(),
            basis: evidence.basis.clone(),
            unrecorded: evidence.unrecorded.clone(),
            missing: evidence.missing.clone(),
            imported: evidence.imported.clone(),
            about: evidence.about(),
            reviewers: Vec::new(),
            excerpt: Excerpt::new(&evidence.scratch, evidence.basis.contracts.clone())?,
        })
    }

    pub(crate) fn add(&mut self, exchange: &Exchange) -> Result<(), ExportError> {
        let known = self.reviewers.iter().rposition(|(session, _)| *session == exchange.session);
        let index = match known {
            Some(index) => index,
            None if self.reviewers.len() >= MAX_SESSIONS => return Err(ExportError::TooManySessions(MAX_SESSIONS)),
            None => {
                let reviewer = self.basis.reviewer(self.declaration.clone(), &self.facts(exchange.session));
                self.reviewers.push((exchange.session, reviewer));
                self.reviewers.len() - 1
            }
        };
        self.reviewers[index].1.push(exchange);
        Ok(self.excerpt.add(exchange)?)
    }

    /// A review of each session, in the order in which they first appeared.
    pub(crate) fn reviews(&self) -> Vec<Review> {
        let review = |(session, reviewer): &(SessionId, Reviewer)| {
            let mut reviewer = reviewer.clone();
            // What is missing is known last.
            reviewer.set_facts(&self.facts(*session));
            reviewer.into_review()
        };
        self.reviewers.iter().map(review).collect()
    }

    fn facts(&self, session: SessionId) -> SessionFacts {
        SessionFacts {
            unrecorded: self.unrecorded.get(&session).copied().unwrap_or(0),
            imported: self.imported.get(&session).copied(),
            missing: self.missing.iter().find(|missing| missing.session == session).cloned(),
        }
    }

    /// Replaces the missing exchanges.
    pub(crate) fn set_missing(&mut self, missing: &[Missing]) {
        self.missing = missing.to_vec();
    }

    pub(crate) fn write_report(self, reviews: &[Review], out: &mut dyn Write) -> io::Result<()> {
        self.excerpt.write(reviews, &self.about, out)
    }
}

/// The content of `review.json`: a list with one review per session.
pub(crate) fn to_json(reviews: &[Review]) -> Vec<u8> {
    // Strings, numbers, lists and maps of them: there is nothing that JSON can't hold.
    let mut json = serde_json::to_vec_pretty(reviews).unwrap_or_default();
    json.push(b'\n');
    json
}

fn invalid_declaration(error: DeclarationError) -> ExportError {
    ExportError::Declaration(error.into())
}
