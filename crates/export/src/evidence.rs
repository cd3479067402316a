//! The content of a report or bundle, collected in one pass over the exchanges.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
};

use nightaudit_exchange::{Exchange, Filter, Import, Missing, SessionId};
use nightaudit_log::Session;
use nightaudit_review::{Basis, Declaration, DeclarationError, NodeFacts, Review, Reviewer, SessionFacts};

use crate::{
    ExchangeWriter, ExportError, NodeChain, Nodes,
    bundle::Made,
    nodes::by_chain,
    report::{About, Excerpt},
};

/// Maximum sessions per report or bundle.
const MAX_SESSIONS: usize = 50;
/// Maximum nodes' records of sessions that several nodes recorded.
const MAX_NODES: usize = 10_000;

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
    /// The number of requests known to have been forwarded but not recorded, by the session's id that exchanges have.
    pub unrecorded: BTreeMap<SessionId, u64>,
    /// Recorded exchanges no longer in the log, in addition to [`ExchangeWriter::missing`].
    pub missing: Vec<Missing>,
    /// What was found when sessions were imported, by the session's id that exchanges have.
    pub imported: BTreeMap<SessionId, Import>,
    /// The nodes, of sessions that several nodes recorded.
    pub nodes: Nodes,
    /// When and by which key it is written, for the report's header; makes the output depend on the time.
    pub made: Option<Made>,
    /// The folder for temporary files, which are unnamed and vanish with the writer.
    pub scratch: PathBuf,
}

impl Evidence {
    /// The same with what the log knows of these sessions.
    #[must_use]
    pub fn with_sessions(mut self, sessions: &[Session]) -> Self {
        let some = |count: u64| (count > 0).then_some(count);
        self.unrecorded = by_chain(sessions, |session| some(session.unrecorded), |chain| some(chain.unrecorded));
        self.imported = by_chain(sessions, |session| session.imported, |chain| chain.imported);
        self.nodes = Nodes::of_sessions(sessions);
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

    /// Whether the filter selects among the exchanges of a session, rather than whole sessions.
    fn filters_exchanges(&self) -> bool {
        self.filter.to_query().iter().any(|(flag, _)| flag.trim_end_matches('!') != "session")
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
    /// Whether exchanges of the sessions were left out by a filter.
    filtered: bool,
    imported: BTreeMap<SessionId, Import>,
    nodes: Nodes,
    about: About,
    reviewers: Vec<(SessionId, Reviewer)>,
    excerpt: Excerpt,
}

impl Gathered {
    pub(crate) fn new(evidence: &Evidence) -> Result<Self, ExportError> {
        if evidence.nodes.chains().len() > MAX_NODES {
            return Err(ExportError::TooManyNodes(MAX_NODES));
        }
        let declaration = evidence.declaration.as_deref();
        let declaration = declaration.map(|text| Declaration::read(text, &evidence.basis.contracts)).transpose();
        Ok(Self {
            declaration: declaration.map_err(invalid_declaration)?.unwrap_or_default(),
            basis: evidence.basis.clone(),
            unrecorded: evidence.unrecorded.clone(),
            missing: evidence.missing.clone(),
            filtered: evidence.filters_exchanges(),
            imported: evidence.imported.clone(),
            nodes: evidence.nodes.clone(),
            about: evidence.about(),
            reviewers: Vec::new(),
            excerpt: Excerpt::new(&evidence.scratch, evidence.basis.contracts.clone())?,
        })
    }

    pub(crate) fn add(&mut self, exchange: &Exchange) -> Result<(), ExportError> {
        let node = self.nodes.get(exchange.session);
        let session = node.map_or(exchange.session, |node| node.session);
        let known = self.reviewers.iter().rposition(|(known, _)| *known == session);
        let index = match known {
            Some(index) => index,
            None if self.reviewers.len() >= MAX_SESSIONS => return Err(ExportError::TooManySessions(MAX_SESSIONS)),
            None => {
                let reviewer = self.basis.reviewer(self.declaration.clone(), &self.facts(session));
                self.reviewers.push((session, reviewer));
                self.reviewers.len() - 1
            }
        };
        self.reviewers[index].1.push(exchange);
        Ok(self.excerpt.add(exchange, node.map(|node| &*node.node))?)
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
        let nodes = self.nodes.of(session);
        if nodes.is_empty() {
            return SessionFacts {
                unrecorded: self.unrecorded.get(&session).copied().unwrap_or(0),
                imported: self.imported.get(&session).copied(),
                missing: self.missing.iter().find(|missing| missing.session == session).cloned(),
                filtered: self.filtered,
                ..SessionFacts::default()
            };
        }
        let facts = |of: &NodeChain| NodeFacts { node: of.node.clone(), session: of.chain, missing: None };
        let mut all = SessionFacts {
            unrecorded: nodes
                .iter()
                .filter_map(|of| self.unrecorded.get(&of.chain))
                .fold(0, |sum, count| sum.saturating_add(*count)),
            imported: nodes.iter().filter_map(|of| self.imported.get(&of.chain).copied()).reduce(Import::and),
            missing: None,
            filtered: self.filtered,
            id: Some(session),
            nodes: nodes.iter().map(facts).collect(),
        };
        let missing = self.missing.iter().filter(|missing| self.nodes.session_of(missing.session) == session);
        all.set_missing(&missing.cloned().collect::<Vec<_>>());
        all
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
