//! The log on disk passes the conformance tests.

use nightaudit_exchange::Exchange;
use nightaudit_log::{ReadLog, testing::conformance};
use nightaudit_store::{Log, StoreConfig};

use crate::support::ndjson;

struct OnDisk {
    log: Log,
    _folder: tempfile::TempDir,
}

impl conformance::Engine for OnDisk {
    fn log(&self) -> &dyn ReadLog {
        &self.log
    }

    fn add(&self, session: Vec<Exchange>) {
        let lines: Vec<u8> = session
            .iter()
            .flat_map(|exchange| [serde_json::to_vec(exchange).unwrap(), b"\n".to_vec()].concat())
            .collect();
        self.log.import(ndjson(&*lines)).unwrap();
    }
}

#[test]
fn the_log_on_disk_conforms() {
    conformance::run(|| {
        let folder = tempfile::tempdir().unwrap();
        OnDisk { log: Log::open(StoreConfig::new(folder.path(), &nightaudit_mews::API)).unwrap(), _folder: folder }
    });
}
