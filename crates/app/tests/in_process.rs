//! The program started, used and stopped inside this process.

use std::path::Path;

use nightaudit_app::{
    Service, StartError,
    config::{ConfigError, Layers, Settings},
};
use nightaudit_exchange::Outcome;
use nightaudit_store::{Log, Query};
use nightaudit_testkit::{Upstream, post, send};
use tokio_util::sync::CancellationToken;

/// Settings of a file with these lines, over free ports and a data folder.
fn settings(data: &Path, lines: &str) -> Result<Settings, ConfigError> {
    let mut layers = Layers::new();
    let file = format!("listen = '127.0.0.1:0'\nconsole = '127.0.0.1:0'\nupstream_proxy = 'none'\n{lines}");
    layers.file(Path::new("na.toml"), &file)?;
    Settings::new(&layers, Some(data))
}

async fn start(data: &Path, lines: &str) -> Result<Service, StartError> {
    Service::start(settings(data, lines).expect("the lines are good")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_is_recorded_without_a_process() {
    let mews = Upstream::responding(200, r#"{"Enterprise": {}}"#).await;
    let folder = tempfile::tempdir().unwrap();
    let service = start(folder.path(), &format!("upstream = '{}'\nsession = 'alone'", mews.url())).await.unwrap();
    let proxy = service.proxy_address();
    assert_eq!(service.proxy_urls().collect::<Vec<_>>(), [format!("http://{proxy}")]);
    assert!(service.console_url().starts_with("http://127.0.0.1:"));
    let stop = CancellationToken::new();
    let running = tokio::spawn(service.run(stop.clone().cancelled_owned()));

    let response = send(proxy, &post("configuration/get", r#"{"AccessToken": "T"}"#)).await;
    assert_eq!((response.status, &response.body[..]), (200, &br#"{"Enterprise": {}}"#[..]));

    stop.cancel();
    let closed = running.await.unwrap().unwrap();
    assert_eq!((closed.recorded, closed.unrecorded, closed.lost), (1, 0, 0));
    let log = Log::open_read_only(folder.path(), &nightaudit_mews::API).unwrap();
    let exchanges: Vec<_> = log.query(Query::default()).unwrap().map(Result::unwrap).collect();
    let [exchange] = &exchanges[..] else { panic!("{} exchanges", exchanges.len()) };
    assert_eq!((&*exchange.operation, exchange.outcome), ("configuration/get", Outcome::Answered));
    assert_eq!(&*exchange.session_name, "alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_run_beside_each_other_in_one_process() {
    let mews = Upstream::responding(200, "{}").await;
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let upstream = format!("upstream = '{}'", mews.url());
    let stop = CancellationToken::new();
    let mut running = Vec::new();
    for (folder, requests) in [(&one, 1), (&other, 2)] {
        let service = start(folder.path(), &upstream).await.unwrap();
        let proxy = service.proxy_address();
        running.push((tokio::spawn(service.run(stop.clone().cancelled_owned())), requests));
        for _ in 0..requests {
            assert_eq!(send(proxy, &post("rates/getAll", r#"{"AccessToken": "T"}"#)).await.status, 200);
        }
    }
    stop.cancel();
    for (service, requests) in running {
        assert_eq!(service.await.unwrap().unwrap().recorded, requests);
    }
}

#[tokio::test]
async fn a_log_that_is_in_use_is_told_from_one_that_cant_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), "").await.unwrap();
    let error = start(folder.path(), "").await.err().unwrap();
    assert!(matches!(error, StartError::Locked(_)) && !error.is_configuration(), "{error:?}");
    drop(first);

    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = start(&file.join("data"), "").await.err().unwrap();
    assert!(matches!(error, StartError::Folder(_)), "{error:?}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for key in ["listen", "console"] {
        let mut settings = settings(&folder.path().join(key), "").unwrap();
        match key {
            "listen" => settings.listen = vec![address],
            _ => settings.console.address = address,
        }
        let Err(StartError::Bind(error)) = Service::start(settings).await else { panic!("{key} is taken") };
        assert_eq!((error.key, error.address), (key, address));
    }
}

#[tokio::test]
async fn files_that_cant_be_used_are_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.pem");
    let missing = missing.display();
    let error = start(folder.path(), &format!("tls_cert = '{missing}'\ntls_key = '{missing}'")).await.err().unwrap();
    assert!(matches!(error, StartError::Tls(_)) && error.is_configuration(), "{error:?}");
    let error = start(folder.path(), &format!("upstream_ca = '{missing}'")).await.err().unwrap();
    assert!(matches!(error, StartError::Upstream(_)) && error.is_configuration(), "{error:?}");
}

#[test]
fn a_wrong_configuration_is_told_by_kind() {
    let wrong = |lines: &str| settings(Path::new("/data"), lines).unwrap_err();
    let ConfigError::Unknown { key, neighbours, .. } = wrong("lisen = ''") else { panic!("it is no key") };
    assert_eq!((&*key, &neighbours[..]), ("lisen", &["listen".to_owned()][..]));
    let ConfigError::Value { key, .. } = wrong("queue = 0") else { panic!("it is no queue") };
    assert_eq!(key, "queue");
    assert!(matches!(wrong("queue ="), ConfigError::Syntax { .. }));
    let missing = nightaudit_app::config::load(Some(Path::new("/missing/na.toml")), []).unwrap_err();
    assert!(matches!(missing, ConfigError::Unreadable { .. }), "{missing:?}");
}
