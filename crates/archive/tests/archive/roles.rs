//! What nodes and readers may do, and what they are told when they may not.

use nightaudit_archive::{Address, Archive, Error};
use nightaudit_exchange::Filter;
use nightaudit_log::{Query, ReadLog, testing::exchanges};
use nightaudit_testkit::{Authority, Postgres};

use crate::support::{Place, count, wait};

#[test]
fn a_node_can_only_append_and_a_reader_only_read() {
    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::new(&postgres);
    let node = place.node("a");
    let all = exchanges(1, "s", 5);
    all.iter().cloned().for_each(|exchange| node.log.record(exchange));
    node.shipped(all[0].session, 5);
    for login in ["node", "reader"] {
        for sql in [
            "DELETE FROM nightaudit.exchanges",
            "UPDATE nightaudit.exchanges SET operation = 'x'",
            "TRUNCATE nightaudit.exchanges",
            "DROP TABLE nightaudit.exchanges",
            "UPDATE nightaudit.chains SET last = 0",
            "DELETE FROM nightaudit.chains",
            "DELETE FROM nightaudit.batches",
            "UPDATE nightaudit.migrations SET version = 9",
            "INSERT INTO nightaudit.batches VALUES (1, '', 1, 1, 1, 1)",
            "SELECT nightaudit.make_partitions(ARRAY[0])",
            "CREATE TABLE nightaudit.mine ()",
        ] {
            let denied = postgres.try_sql(&place.url(login), sql).unwrap_err();
            assert!(
                denied.contains("permission denied") || denied.contains("must be owner"),
                "{login}: {sql}: {denied}"
            );
        }
    }
    let partition = postgres.sql(&place.database, "SELECT inhrelid::regclass FROM pg_inherits LIMIT 1");
    for sql in [format!("DELETE FROM {partition}"), format!("DROP TABLE {partition}")] {
        let denied = postgres.try_sql(&place.url("node"), &sql).unwrap_err();
        assert!(denied.contains("permission denied") || denied.contains("must be owner"), "{denied}");
    }
    // A node doesn't read what others recorded.
    for table in ["exchanges", "chains", "batches"] {
        let denied = postgres.try_sql(&place.url("node"), &format!("SELECT * FROM nightaudit.{table}")).unwrap_err();
        assert!(denied.contains("permission denied"), "{denied}");
    }
    let denied = postgres.try_sql(&place.url("reader"), "SELECT nightaudit.describe('a', '', '{}')").unwrap_err();
    assert!(denied.contains("permission denied"), "{denied}");
    // Nor can it replace what it shipped: what is there already stays, and anything else must follow the chain's end.
    let again = "SELECT nightaudit.ship('a', session, 0, '[]', NULL, ARRAY[3], ARRAY[0], NULL, NULL, NULL, NULL, NULL, NULL, \
                 NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, ARRAY['\\x00'::bytea], ARRAY['\\x00'::bytea]) \
                 FROM (SELECT decode('SESSION', 'hex') AS session) s";
    let hex: String = all[0].session.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let kept = postgres.try_sql(&place.url("node"), &again.replace("SESSION", &hex)).unwrap();
    assert_eq!(kept, "5");
    let beyond = again.replace("SESSION", &hex).replace("ARRAY[3]", "ARRAY[9]");
    assert!(postgres.try_sql(&place.url("node"), &beyond).unwrap_err().contains("the chain ends at 5"));
    let as_other = beyond.replace("ship('a'", "ship('b'");
    assert!(postgres.try_sql(&place.url("node"), &as_other).unwrap_err().contains("belongs to another node"));
    assert_eq!(count(&place.archive()), 5);
    assert!(place.archive().check(&mut |_| {}).unwrap().is_whole());
}

#[test]
fn what_is_wrong_with_an_archive_is_said() {
    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::new(&postgres);
    let open = |url: &str| Archive::open(url.parse::<Address>().unwrap()).unwrap_err();
    let wrong = open(&place.url("reader").replace(":p@", ":s3cret@"));
    assert!(matches!(wrong, Error::Password { .. }) && !format!("{wrong} {wrong:?}").contains("s3cret"), "{wrong}");
    let none = open(&format!("postgres://reader@127.0.0.1:{}/{}", postgres.port(), place.database));
    assert!(matches!(none, Error::Password { .. }), "{none}");
    let database = open(&postgres.url("reader", "p", "nowhere"));
    assert!(database.to_string().contains("nowhere"), "{database}");
    postgres.create("empty");
    let empty = open(&postgres.url("reader", "p", "empty"));
    assert!(matches!(empty, Error::Missing(_)) && empty.to_string().contains("nightaudit archive setup"), "{empty}");
    let gone = open("postgres://reader:s3cret@127.0.0.1:1/audit");
    assert!(matches!(gone, Error::Unreachable { .. }) && !gone.to_string().contains("s3cret"), "{gone}");
    let rights = wait(nightaudit_archive::setup(&postgres.url("reader", "p", "empty").parse().unwrap())).unwrap_err();
    assert!(matches!(rights, Error::Rights { .. }), "{rights}");

    // A role that may read the version and nothing else.
    postgres.sql(&place.database, "CREATE ROLE nobody LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA nightaudit TO nobody");
    let denied = open(&postgres.url("nobody", "p", &place.database));
    assert!(matches!(denied, Error::Rights { .. }) && denied.to_string().contains("nightaudit_reader"), "{denied}");
    // A node that reads, and a reader that ships.
    let reading = open(&place.url("node"));
    assert!(matches!(reading, Error::Rights { .. }), "{reading}");
    let log = std::sync::Arc::new(nightaudit_log::testing::MemoryLog::default());
    exchanges(1, "s", 2).into_iter().for_each(|exchange| log.record(exchange));
    let failed = crate::support::Node::start(&place.url("reader"), "a", log).failure();
    assert!(failed.contains("nightaudit_node"), "{failed}");

    postgres.sql(&place.database, "INSERT INTO nightaudit.migrations (version) VALUES (2)");
    let newer = open(&place.url("reader"));
    assert!(
        matches!(newer, Error::Newer { found: 2, .. }) && newer.to_string().contains("update nightaudit"),
        "{newer}"
    );
    let failed = place.node("a").failure();
    assert!(failed.contains("schema 2"), "{failed}");
    let setup = wait(nightaudit_archive::setup(&place.owner())).unwrap_err();
    assert!(matches!(setup, Error::Newer { .. }), "{setup}");
}

#[test]
fn tls_is_verified_as_the_address_says() {
    let Some(postgres) = Postgres::start() else { return };
    let place = Place::new(&postgres);
    let (authority, other) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.certificate_files();
    postgres.demand_tls(&certificate, &key);
    let url = place.url("reader");
    let open = |parameters: &str| Archive::open(format!("{url}?{parameters}").parse().unwrap());
    let root = format!("sslrootcert={}", authority.ca_file().display());
    let wrong_root = format!("sslrootcert={}", other.ca_file().display());
    for parameters in ["", "sslmode=prefer", "sslmode=require", &root, &format!("sslmode=verify-full&{root}")] {
        assert!(open(parameters).is_ok(), "{parameters}: {:?}", open(parameters).err());
    }
    for (parameters, why) in [
        ("sslmode=disable", "pg_hba.conf"),
        ("sslmode=verify-full", "certificate"),
        (&*format!("sslmode=verify-full&{wrong_root}"), "certificate"),
        (&*format!("sslmode=require&{wrong_root}"), "certificate"),
        ("sslmode=verify-full&sslrootcert=/nowhere.pem", "/nowhere.pem"),
    ] {
        let error = open(parameters).err().unwrap_or_else(|| panic!("{parameters} was let in")).to_string();
        assert!(error.contains(why), "{parameters}: {error}");
    }
    // It ships over TLS, too.
    let node = place.node("a");
    exchanges(1, "s", 2).into_iter().for_each(|exchange| node.log.record(exchange));
    node.shipped(nightaudit_log::testing::session_id(1), 2);
    assert_eq!(count(&place.archive()), 2);
}

#[test]
fn a_full_archive_is_said_and_shipping_goes_on_when_there_is_space() {
    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::new(&postgres);
    // What PostgreSQL raises when a table can't be extended.
    let full = "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION \
                'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$; \
                CREATE TRIGGER no_space BEFORE INSERT ON nightaudit.batches EXECUTE FUNCTION no_space()";
    postgres.sql(&place.database, full);
    let node = place.node("a");
    let all = exchanges(1, "s", 3);
    all.iter().cloned().for_each(|exchange| node.log.record(exchange));
    let failed = node.failure();
    assert!(failed.contains("is full") && failed.contains("No space left"), "{failed}");
    assert_eq!(count(&place.archive()), 0);
    assert!(!node.status.has(all[0].session, 3), "nothing local may be deleted");
    postgres.sql(&place.database, "DROP TRIGGER no_space ON nightaudit.batches");
    node.shipped(all[0].session, 3);
    assert_eq!((count(&place.archive()), node.status.state().failing), (3, None));
}

#[test]
fn a_session_of_another_node_is_not_taken_over() {
    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::new(&postgres);
    let all = exchanges(1, "s", 3);
    let first = place.node("a");
    all.iter().cloned().for_each(|exchange| first.log.record(exchange));
    first.shipped(all[0].session, 3);
    // A copy of the data folder on another machine.
    let second = place.node("b");
    all.into_iter().for_each(|exchange| second.log.record(exchange));
    let failed = second.failure();
    assert!(failed.contains("another node's") && failed.contains("archive_node"), "{failed}");
    let archive = place.archive();
    assert_eq!(archive.query(Query { filter: Filter::default(), ..Query::default() }).unwrap().count(), 3);
}
