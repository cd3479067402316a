//! A log for tests of what takes long, and of what is asked of it.

use std::sync::{Arc, Condvar, Mutex};

use nightaudit_exchange::{Exchange, ExchangeId, Filter, Missing};
use nightaudit_log::{
    Check, Exchanges, Fetcher, FindError, Follow, FollowFrom, Info, ManageSessions, Position, Progress, Query,
    ReadError, ReadLog, Session, SessionError, testing::MemoryLog,
};

/// A log whose queries wait until they are let go on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slow {
    pub(crate) log: MemoryLog,
    open: Arc<(Mutex<bool>, Condvar)>,
    last_limit: Arc<Mutex<Option<usize>>>,
}

impl Slow {
    /// Lets all queries go on.
    pub(crate) fn go_on(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }

    /// The limit of the last query.
    pub(crate) fn last_limit(&self) -> Option<usize> {
        *self.last_limit.lock().unwrap()
    }
}

impl ReadLog for Slow {
    fn find(&self, prefix: &str) -> Result<Exchange, FindError> {
        self.log.find(prefix)
    }

    fn position(&self, id: ExchangeId) -> Result<Option<Position>, ReadError> {
        self.log.position(id)
    }

    fn generation(&self) -> u64 {
        self.log.generation()
    }

    fn fetcher(&self) -> Box<dyn Fetcher> {
        self.log.fetcher()
    }

    fn query(&self, query: Query) -> Result<Box<dyn Exchanges>, ReadError> {
        let (open, changed) = &*self.open;
        drop(changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        *self.last_limit.lock().unwrap() = query.limit;
        self.log.query(query)
    }

    fn follow(&self, filter: Filter, from: FollowFrom) -> Result<Box<dyn Follow>, ReadError> {
        self.log.follow(filter, from)
    }

    fn sessions(&self) -> Result<Vec<Session>, ReadError> {
        self.log.sessions()
    }

    fn session(&self, which: &str) -> Result<Session, SessionError> {
        ReadLog::session(&self.log, which)
    }

    fn missing(&self) -> Result<Vec<Missing>, ReadError> {
        self.log.missing()
    }

    fn info(&self) -> Result<Info, ReadError> {
        self.log.info()
    }

    fn check(&self, progress: &mut dyn FnMut(Progress)) -> Result<Check, ReadError> {
        self.log.check(progress)
    }

    fn manage(&self) -> Option<&dyn ManageSessions> {
        self.log.manage()
    }
}
