//! The archive passes the conformance tests of every log.

use nightaudit_archive::Archive;
use nightaudit_exchange::Exchange;
use nightaudit_log::{ReadLog, testing::conformance};
use nightaudit_testkit::Postgres;

use crate::support::{Node, Place};

struct Engine {
    archive: Archive,
    node: Node,
}

impl conformance::Engine for Engine {
    fn log(&self) -> &dyn ReadLog {
        &self.archive
    }

    fn add(&self, session: Vec<Exchange>) {
        let (id, count) = (session[0].session, session.len() as u64);
        session.into_iter().for_each(|exchange| self.node.log.record(exchange));
        self.node.shipped(id, count);
    }
}

#[test]
fn the_archive_conforms() {
    let Some(postgres) = Postgres::shared() else { return };
    conformance::run(|| {
        let place = Place::new(&postgres);
        Engine { archive: place.archive(), node: place.node("a") }
    });
}
