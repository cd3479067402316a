//! What the evidence of a session is made of, gathered in one pass over its exchanges.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
};

use nightaudit_exchange::{Digest, Exchange, Filter, Import, Missing, SessionId};
use nightaudit_mews::Contracts;
use nightaudit_review::{Declaration, DeclarationError, Review, Reviewer};

use crate::{
    ExchangeWriter, ExportError,
    bundle::Made,
    report::{About, Excerpt},
};

/// The most sessions that one report or bundle reviews.
const SESSIONS: usize = 50;

/// What a report or a bundle says beside the exchanges.
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
    /// The integration's declaration, as its file has it; none where there isn't one.
    pub declaration: Option<String>,
    /// What the exchanges had to match; the whole log where it is empty.
    pub filter: Filter,
    /// The JSON fields whose values were masked before the exchanges came here.
    pub masked_fields: Vec<String>,
    /// What requests are held against; the built-in contracts by default.
    pub contracts: Contracts,
    /// The SHA-256 of the OpenAPI document that `contracts` were read from; none for the built-in ones.
    pub openapi: Option<Digest>,
    /// How many exchanges of each session are known to have passed unrecorded.
    pub unrecorded: BTreeMap<SessionId, u64>,
    /// What was recorded and is not in the log any more, beside what [`ExchangeWriter::missing`] names.
    pub missing: Vec<Missing>,
    /// What was found when sessions were imported.
    pub imported: BTreeMap<SessionId, Import>,
    /// When and by whose key it is made, for the report's head; the same exchanges give other bytes then.
    pub made: Option<Made>,
    /// The folder for temporary files; they have no names, and are gone when the writer is.
    pub scratch: PathBuf,
}

impl Evidence {
    /// A writer of the report alone.
    ///
    /// # Errors
    ///
    /// [`ExportError`] where the declaration can't be read or there is no room for temporary files.
    pub fn report<'w>(&self, out: impl Write + Send + 'w) -> Result<Box<dyn ExchangeWriter + Send + 'w>, ExportError> {
        Ok(Box::new(ReportWriter { gathered: Gathered::new(self)?, out }))
    }

    pub(crate) fn about(&self) -> About {
        About {
            filter: self.filter.to_query().into_iter().collect(),
            masked_fields: self.masked_fields.clone(),
            openapi: self.openapi,
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

/// The reviews and the report's exchanges while they are gathered.
pub(crate) struct Gathered {
    declaration: Declaration,
    contracts: Contracts,
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
        let declaration = declaration.map(|text| Declaration::read(text, &evidence.contracts)).transpose();
        Ok(Self {
            declaration: declaration.map_err(wrong)?.unwrap_or_default(),
            contracts: evidence.contracts.clone(),
            unrecorded: evidence.unrecorded.clone(),
            missing: evidence.missing.clone(),
            imported: evidence.imported.clone(),
            about: evidence.about(),
            reviewers: Vec::new(),
            excerpt: Excerpt::new(&evidence.scratch, evidence.contracts.clone())?,
        })
    }

    pub(crate) fn add(&mut self, exchange: &Exchange) -> Result<(), ExportError> {
        let known = self.reviewers.iter().rposition(|(session, _)| *session == exchange.session);
        let place = match known {
            Some(place) => place,
            None if self.reviewers.len() >= SESSIONS => return Err(ExportError::TooManySessions(SESSIONS)),
            None => {
                let declaration = self.declaration.clone();
                let mut reviewer = Reviewer::new(declaration).with_contracts(self.contracts.clone());
                reviewer.set_unrecorded(self.unrecorded.get(&exchange.session).copied().unwrap_or(0));
                if let Some(import) = self.imported.get(&exchange.session) {
                    reviewer.set_imported(*import);
                }
                self.reviewers.push((exchange.session, reviewer));
                self.reviewers.len() - 1
            }
        };
        self.reviewers[place].1.push(exchange);
        Ok(self.excerpt.add(exchange)?)
    }

    /// A review of each session, in the order in which they first appeared.
    pub(crate) fn reviews(&self) -> Vec<Review> {
        let review = |(session, reviewer): &(SessionId, Reviewer)| match self
            .missing
            .iter()
            .find(|missing| missing.session == *session)
        {
            Some(missing) => {
                let mut reviewer = reviewer.clone();
                reviewer.set_missing(missing);
                reviewer.into_review()
            }
            None => reviewer.review(),
        };
        self.reviewers.iter().map(review).collect()
    }

    /// Notes what is missing in the place of what was known before.
    pub(crate) fn set_missing(&mut self, missing: &[Missing]) {
        self.missing = missing.to_vec();
    }

    pub(crate) fn write_report(self, reviews: &[Review], out: &mut dyn Write) -> io::Result<()> {
        self.excerpt.write(reviews, &self.about, out)
    }
}

/// The reviews as they stand in `review.json`: a list, with one for each session.
pub(crate) fn to_json(reviews: &[Review]) -> Vec<u8> {
    // Strings, numbers, lists and maps of them: there is nothing that JSON can't hold.
    let mut json = serde_json::to_vec_pretty(reviews).unwrap_or_default();
    json.push(b'\n');
    json
}

fn wrong(error: DeclarationError) -> ExportError {
    ExportError::Declaration(error.into())
}
