//! Databases with archives, and nodes that ship into them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use nightaudit_archive::{Address, Archive, Shipper, ShipperConfig, ShippingStatus, setup};
use nightaudit_exchange::SessionId;
use nightaudit_log::{ReadLog, testing::MemoryLog};
use nightaudit_testkit::Postgres;

/// Runs a future to its end.
pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// An archive in a database of its own, with a login for nodes and one for readers.
pub(crate) struct Place<'p> {
    pub(crate) postgres: &'p Postgres,
    pub(crate) database: String,
}

impl<'p> Place<'p> {
    pub(crate) fn new(postgres: &'p Postgres) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let database = format!("archive_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        postgres.create(&database);
        let place = Self { postgres, database };
        wait(setup(&place.owner())).unwrap();
        // Those of the server, which other tests may share.
        let logins = "DO $$ BEGIN CREATE ROLE node LOGIN PASSWORD 'p' IN ROLE nightaudit_node; CREATE ROLE reader LOGIN \
                      PASSWORD 'p' IN ROLE nightaudit_reader; EXCEPTION WHEN duplicate_object OR unique_violation THEN \
                      NULL; END $$";
        postgres.sql("postgres", logins);
        place
    }

    pub(crate) fn owner(&self) -> Address {
        self.postgres.owner(&self.database).parse().unwrap()
    }

    pub(crate) fn url(&self, login: &str) -> String {
        self.postgres.url(login, "p", &self.database)
    }

    pub(crate) fn archive(&self) -> Archive {
        Archive::open(self.url("reader").parse().unwrap()).unwrap()
    }

    pub(crate) fn node(&self, name: &str) -> Node {
        Node::start(&self.url("node"), name, Arc::new(MemoryLog::default()))
    }
}

/// A node with a log in memory.
pub(crate) struct Node {
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) status: ShippingStatus,
    shipper: Option<Shipper>,
}

impl Node {
    pub(crate) fn start(url: &str, name: &str, log: Arc<MemoryLog>) -> Self {
        let status = ShippingStatus::default();
        let shipper = Shipper::start(ShipperConfig {
            address: url.parse().unwrap(),
            node: name.to_owned(),
            log: log.clone(),
            status: status.clone(),
        });
        Self { log, status, shipper: Some(shipper.unwrap()) }
    }

    /// Waits until the archive has so many exchanges of a session.
    pub(crate) fn shipped(&self, session: SessionId, exchanges: u64) {
        until(|| self.status.has(session, exchanges), || format!("{:?}", self.status.state()));
    }

    /// Leaves it as a killed process would: in the middle, with the log going on.
    pub(crate) fn abandon(mut self) {
        if let Some(shipper) = self.shipper.take() {
            shipper.abandon();
        }
    }

    /// Waits until it fails, and returns why.
    pub(crate) fn failure(&self) -> String {
        until(|| self.status.state().failing.is_some(), || "it goes well".to_owned());
        self.status.state().failing.unwrap().to_string()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(shipper) = self.shipper.take() {
            self.log.close();
            shipper.stop();
        }
    }
}

/// Waits for something, with a timeout that only a failure reaches.
pub(crate) fn until(mut holds: impl FnMut() -> bool, state: impl Fn() -> String) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", state());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How many exchanges a log has.
pub(crate) fn count(log: &dyn ReadLog) -> u64 {
    log.info().unwrap().exchanges
}
