//! The log on disk, read through the seam that all engines have.

use nightaudit_exchange::{Exchange, ExchangeId, Filter, Missing};
use nightaudit_log::{
    BoxFuture, Check, Facets, Fetcher, FindError, Follow, FollowFrom, Followed, Histogram, Info, ManageSessions, Place,
    Position, Progress, Query, ReadError, ReadLog, Session, SessionError, Start, Status, by_reading,
};

use crate::{fetcher::OneByOne, follow::Follower, log::Log, matches, query::Exchanges};

impl ReadLog for Log {
    fn find(&self, prefix: &str) -> Result<Exchange, FindError> {
        self.find(prefix)
    }

    fn fetcher(&self) -> Box<dyn Fetcher> {
        Box::new(OneByOne::new(&self.shared))
    }

    fn query(&self, query: Query) -> Result<Box<dyn nightaudit_log::Exchanges>, ReadError> {
        Ok(Box::new(self.query(query)?))
    }

    fn position(&self, id: ExchangeId) -> Result<Option<Position>, ReadError> {
        self.position(id)
    }

    fn generation(&self) -> u64 {
        self.generation()
    }

    fn seek(&self, filter: &Filter, start: Start) -> Result<Place, ReadError> {
        if filter.needs_body() {
            return by_reading::seek(&|query| ReadLog::query(self, query), filter, start, self.generation());
        }
        matches::seek(&self.shared, filter, start)
    }

    fn rank(&self, filter: &Filter, position: Position) -> Result<Option<u64>, ReadError> {
        if filter.needs_body() {
            return by_reading::rank(&|query| ReadLog::query(self, query), filter, position);
        }
        matches::rank(&self.shared, filter, position)
    }

    fn histogram(&self, filter: &Filter, buckets: usize) -> Result<Histogram, ReadError> {
        if filter.needs_body() {
            return by_reading::histogram(&|query| ReadLog::query(self, query), filter, buckets);
        }
        matches::histogram(&self.shared, filter, buckets)
    }

    fn facets(&self, filter: &Filter) -> Result<Facets, ReadError> {
        if filter.needs_body() {
            return by_reading::facets(&|query| ReadLog::query(self, query), filter);
        }
        matches::facets(&self.shared, filter)
    }

    fn follow(&self, filter: Filter, from: FollowFrom) -> Result<Box<dyn Follow>, ReadError> {
        Ok(Box::new(self.follow(filter, from)?))
    }

    fn info(&self) -> Result<Info, ReadError> {
        Ok(self.info())
    }

    fn check(&self, progress: &mut dyn FnMut(Progress)) -> Result<Check, ReadError> {
        self.check(progress)
    }

    fn sessions(&self) -> Result<Vec<Session>, ReadError> {
        Ok(self.sessions())
    }

    fn session(&self, which: &str) -> Result<Session, SessionError> {
        self.session(which)
    }

    fn missing(&self) -> Result<Vec<Missing>, ReadError> {
        Ok(self.missing())
    }

    fn status(&self) -> Status {
        self.status()
    }

    fn manage(&self) -> Option<&dyn ManageSessions> {
        self.is_writable().then_some(self as &dyn ManageSessions)
    }
}

impl nightaudit_log::Exchanges for Exchanges {
    fn last_position(&self) -> Option<Position> {
        self.last_position()
    }
}

impl Follow for Follower {
    fn next(&mut self) -> BoxFuture<'_, Option<Followed>> {
        Box::pin(self.next())
    }

    fn position(&self) -> Option<Position> {
        self.position()
    }
}

impl ManageSessions for Log {
    fn current_session(&self) -> Option<Session> {
        self.current_session()
    }

    fn start_session(&self, name: &str) -> Result<Session, SessionError> {
        self.start_session(name)
    }

    fn end_session(&self, which: &str) -> Result<Session, SessionError> {
        self.end_session(which)
    }

    fn rename_session(&self, which: &str, name: &str) -> Result<Session, SessionError> {
        self.rename_session(which, name)
    }

    fn note_session(&self, which: &str, note: &str) -> Result<Session, SessionError> {
        self.note_session(which, note)
    }

    fn declare_session(&self, which: &str, declaration: &str) -> Result<Session, SessionError> {
        self.declare_session(which, declaration)
    }

    fn delete_session(&self, which: &str) -> Result<Session, SessionError> {
        self.delete_session(which)
    }
}
