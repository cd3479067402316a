//! Reading exchanges one by one.

use std::sync::Arc;

use nightaudit_exchange::{Exchange, ExchangeId};
use nightaudit_log::{Fetcher, ReadError};

use crate::{query::Fetch, shared::Shared};

/// Finds exchanges by their ids in the index, and keeps the blocks that it unpacked last.
#[derive(Debug)]
pub(crate) struct OneByOne {
    shared: Arc<Shared>,
    fetch: Fetch,
}

impl OneByOne {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), fetch: Fetch::new(Arc::clone(shared)) }
    }
}

impl Fetcher for OneByOne {
    fn fetch(&mut self, id: ExchangeId) -> Result<Option<Exchange>, ReadError> {
        let Some(found) = self.shared.with_id(id)? else { return Ok(None) };
        self.fetch.exchange(found.position.session, found.position.sequence, found.at)
    }
}
