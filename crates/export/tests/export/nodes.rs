//! Reports and bundles of sessions that several nodes recorded.

use nightaudit_exchange::{Exchange, ExchangeId, Import, Missing, SessionId, Timestamp, chain};
use nightaudit_export::{Evidence, FindingKind, Format, Manifest, NodeRecord, Nodes, Verification, verify_exchanges};
use nightaudit_log::{Chain, Session};

use crate::{
    bundles::*,
    samples::{exchange, hostile},
};

/// The session's id on the node with this number.
fn chain_id(node: usize) -> SessionId {
    SessionId::from_parts(1_790_000_000_000 + node as u64, 1)
}

/// The session as an archive has it, of nodes with these names and so many exchanges.
fn session(nodes: &[(&str, u64)]) -> Session {
    let mut session = Session::new(chain_id(0), "certification", "demo", Timestamp::from_micros(0));
    session.chains = nodes
        .iter()
        .enumerate()
        .map(|(number, (node, exchanges))| Chain {
            exchanges: *exchanges,
            last: *exchanges,
            ..Chain::new(chain_id(number), node)
        })
        .collect();
    session
}

/// So many exchanges of each node, interleaved as they were sent, each node's chained.
fn interleaved(nodes: &[u64]) -> Vec<Exchange> {
    let mut before: Vec<_> = (0..nodes.len()).map(|node| chain::genesis(chain_id(node))).collect();
    let mut all = Vec::new();
    for sequence in 1..=nodes.iter().copied().max().unwrap_or(0) {
        for (node, exchanges) in nodes.iter().enumerate() {
            if sequence > *exchanges {
                continue;
            }
            let mut one = exchange(sequence);
            one.session = chain_id(node);
            let at = 10 * sequence + node as u64;
            one.id = ExchangeId::from_parts(1_790_000_000_000 + at, 7);
            one.started_at = Timestamp::from_micros(1_790_000_000_000_000 + at.cast_signed() * 1_000_000);
            rechained(&mut one, &mut before[node]);
            all.push(one);
        }
    }
    all
}

/// Makes the exchange the next one of its chain.
fn rechained(exchange: &mut Exchange, before: &mut nightaudit_exchange::Digest) {
    exchange.previous_hash = Some(*before);
    *before = chain::hash(*before, exchange);
    exchange.hash = Some(*before);
}

fn of(sessions: &[Session]) -> Evidence {
    evidence().with_sessions(sessions)
}

/// Frankfurt and Prague, six exchanges each.
fn two() -> (Evidence, Vec<Exchange>) {
    (of(&[session(&[("frankfurt", 6), ("prague", 6)])]), interleaved(&[6, 6]))
}

fn records(verification: &Verification) -> Vec<(&str, u64, u64, u64)> {
    let mut all = Vec::new();
    for NodeRecord { node, exchanges, missing, problems, .. } in &verification.nodes {
        all.push((&**node, *exchanges, *missing, *problems));
    }
    all
}

#[test]
fn a_bundle_holds_the_chains_of_two_nodes_and_each_is_verified() {
    let (evidence, exchanges) = two();
    let zip = bundle_of(&evidence, &exchanges);
    let good = check(&zip).unwrap();
    assert_eq!((&good.findings[..], &good.notes[..]), (&[][..], &[][..]));
    assert_eq!((good.exchanges, good.sessions, good.origins.len()), (12, 1, 1));
    assert_eq!(good.origins[0].session, chain_id(0));
    assert!(good.origins[0].headline.is_some());
    assert_eq!(records(&good), [("frankfurt", 6, 0, 0), ("prague", 6, 0, 0)]);

    let files = unpacked(&zip);
    let manifest: Manifest = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!(manifest.format, 2);
    let heads: Vec<_> =
        manifest.sessions.iter().map(|chain| (chain.node.as_deref(), chain.head, chain.part_of)).collect();
    assert_eq!(
        heads,
        [
            (Some("frankfurt"), exchanges[10].hash, Some(chain_id(0))),
            (Some("prague"), exchanges[11].hash, Some(chain_id(0)))
        ]
    );
    // One review of all, which names the nodes.
    let review: serde_json::Value = serde_json::from_slice(&files["review.json"]).unwrap();
    assert_eq!(review.as_array().unwrap().len(), 1);
    assert_eq!((&review[0]["run"]["exchanges"], &review[0]["run"]["missing"]), (&12.into(), &0.into()));
    assert_eq!(review[0]["run"]["session"], chain_id(0).to_string());
    assert_eq!(review[0]["run"]["nodes"][1]["node"], "prague");
    let report = std::str::from_utf8(&files["report.html"]).unwrap();
    let nodes = report.split_once("id=\"nodes\"").unwrap().1.split_once("</section>").unwrap().0;
    insta::assert_snapshot!("nodes", nodes.replace("><", ">\n<"));
    assert_eq!(report.matches("<dt>Node</dt><dd>prague</dd>").count(), 6);
    let readme = std::str::from_utf8(&files["README.txt"]).unwrap().replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!("readme_of_nodes", readme);
    // The same files for whoever exports it again.
    let again = unpacked(&bundle_of(&evidence, &exchanges));
    assert!(again == files);
}

#[test]
fn a_session_of_one_node_gives_the_bundle_that_it_always_gave() {
    let exchanges = interleaved(&[6]);
    let plain = bundle_of(&evidence(), &exchanges);
    assert!(plain == bundle_of(&of(&[session(&[("frankfurt", 6)])]), &exchanges));
    let manifest = String::from_utf8(unpacked(&plain)["manifest.json"].clone()).unwrap();
    assert!(manifest.contains("\"format\": 1") && !manifest.contains("node\""), "{manifest}");
}

#[test]
fn a_hole_in_one_nodes_chain_is_told_with_the_node() {
    let (evidence, exchanges) = two();
    let files = unpacked(&bundle_of(&evidence, &exchanges));
    // The fourth of Prague, the first of Frankfurt, the last of Prague.
    for (place, node, number) in [(7, "prague", 4), (0, "frankfurt", 1), (11, "prague", 6)] {
        let mut holed = lines(&files);
        holed.remove(place);
        let verification = check(&packed(&with_lines(&files, &holed))).unwrap();
        let told = format!("exchange {number} of session certification on {node}");
        assert!(names(&verification.findings, FindingKind::Missing, &told), "{:?}", verification.findings);
        let due = |name: &'static str| if name == node { (name, 5, 1, 0) } else { (name, 6, 0, 0) };
        assert_eq!(records(&verification), [due("frankfurt"), due("prague")]);
    }
    // Exported with the hole, and signed: the record itself has it.
    let mut holed = exchanges;
    holed.remove(7);
    let zip = bundle_of(&evidence, &holed);
    let verification = check(&zip).unwrap();
    assert_eq!(verification.findings.len(), 1, "{:?}", verification.findings);
    assert!(names(&verification.findings, FindingKind::Missing, "exchange 4 of session certification on prague"));
    assert_eq!(records(&verification), [("frankfurt", 6, 0, 0), ("prague", 5, 1, 0)]);
    let report = String::from_utf8(unpacked(&zip)["report.html"].clone()).unwrap();
    assert!(report.contains("1 record lacks exchanges") && report.contains("Not in the record: 1 of prague."));
}

#[test]
fn an_exchange_moved_to_the_other_nodes_chain_is_told_of_both() {
    let (evidence, exchanges) = two();
    let files = unpacked(&bundle_of(&evidence, &exchanges));
    let (frankfurt, prague) = (chain_id(0).to_string(), chain_id(1).to_string());
    for fit in [false, true] {
        // The third of Prague says it is Frankfurt's.
        let mut moved = lines(&files);
        assert!(moved[5].contains(&prague));
        moved[5] = moved[5].replace(&prague, &frankfurt);
        let changed = with_lines(&files, &moved);
        let changed = if fit { resigned(changed, &key()) } else { changed };
        let verification = check(&packed(&changed)).unwrap();
        let found = &verification.findings;
        let id = exchanges[5].id.to_string();
        assert!(names(found, FindingKind::Altered, &format!("{id} (3 of certification on frankfurt)")), "{found:?}");
        assert!(names(found, FindingKind::Inserted, &id), "{found:?}");
        assert!(names(found, FindingKind::Missing, "exchange 3 of session certification on prague"), "{found:?}");
        let [of_frankfurt, of_prague] = &verification.nodes[..] else { panic!() };
        assert!(of_frankfurt.problems > 0 && of_frankfurt.missing == 0, "{of_frankfurt:?}");
        assert_eq!((of_prague.problems, of_prague.missing), (0, 1));
    }
    // Hashed anew, it still isn't in the chain.
    let mut own = exchanges[5].clone();
    own.session = chain_id(0);
    let mut before = exchanges[2].hash.unwrap();
    rechained(&mut own, &mut before);
    let mut moved = lines(&files);
    moved[5] = serde_json::to_string(&own).unwrap() + "\n";
    let verification = check(&packed(&resigned(with_lines(&files, &moved), &key()))).unwrap();
    assert!(names(&verification.findings, FindingKind::Inserted, &own.id.to_string()), "{:?}", verification.findings);
    assert!(!verification.nodes[0].is_intact() && verification.nodes[1].missing == 1);
}

#[test]
fn the_order_between_nodes_is_what_was_signed() {
    let (evidence, exchanges) = two();
    let files = unpacked(&bundle_of(&evidence, &exchanges));
    let mut moved = lines(&files);
    // Neither chain is touched.
    moved.swap(4, 5);
    let found = findings(&with_lines(&files, &moved));
    assert!(names(&found, FindingKind::Altered, "SHA-256"), "{found:?}");
    assert!(!findings(&resigned(with_lines(&files, &moved), &key())).is_empty());
}

#[test]
fn a_chain_removed_whole_is_told_with_its_node() {
    let (evidence, exchanges) = two();
    let zip = bundle_of(&evidence, &exchanges);
    let files = unpacked(&zip);
    let prague = chain_id(1).to_string();
    let mut without = lines(&files);
    without.retain(|line| !line.contains(&prague));
    let changed = with_lines(&files, &without);
    for changed in [changed.clone(), resigned(changed, &key())] {
        let verification = check(&packed(&changed)).unwrap();
        let told = format!("session {prague} (certification on prague) is missing entirely");
        assert!(names(&verification.findings, FindingKind::Missing, &told), "{:?}", verification.findings);
        assert_eq!(records(&verification), [("frankfurt", 6, 0, 0), ("prague", 0, 6, 0)]);
    }
    // Gone from the archive before: the log knows that there was one.
    let frankfurt: Vec<_> = exchanges.iter().filter(|one| one.session == chain_id(0)).cloned().collect();
    let session_name = "certification on prague".to_owned();
    let lost = Missing { session: chain_id(1), session_name, count: 6, ranges: vec![(1, 6)], whole_session: false };
    let zip = bundle_of(&Evidence { missing: vec![lost], ..evidence }, &frankfurt);
    let verification = check(&zip).unwrap();
    assert_eq!(verification.findings.len(), 1, "{:?}", verification.findings);
    assert!(verification.findings[0].what.contains("exchanges 1 to 6 of session certification on prague"));
    assert_eq!(records(&verification), [("frankfurt", 6, 0, 0), ("prague", 0, 6, 0)]);
    let readme = String::from_utf8(unpacked(&zip)["README.txt"].clone()).unwrap();
    assert!(readme.contains(&format!("Node       prague ({prague})\n           no exchange\n")), "{readme}");
}

#[test]
fn a_manifest_that_forgets_a_node_or_renames_one_doesnt_fit() {
    let (evidence, exchanges) = two();
    let files = unpacked(&bundle_of(&evidence, &exchanges));
    let change = |with: &dyn Fn(&mut Manifest)| {
        let mut manifest: Manifest = serde_json::from_slice(&files["manifest.json"]).unwrap();
        with(&mut manifest);
        let mut changed = files.clone();
        changed.insert("manifest.json".to_owned(), serde_json::to_vec_pretty(&manifest).unwrap());
        check(&packed(&resigned(changed, &key()))).unwrap()
    };
    assert!(change(&|_| {}).is_good());
    let same = change(&|manifest| manifest.sessions[1].node = Some("frankfurt".to_owned()));
    assert!(same.findings.iter().any(|found| found.what.contains("two records of node frankfurt")), "{same:?}");
    let both = same.nodes.iter().map(|node| node.chain).collect::<Vec<_>>();
    assert_eq!(both, [chain_id(0), chain_id(1)]);
    for changed in [
        change(&|manifest| drop(manifest.sessions.pop())),
        change(&|manifest| manifest.sessions[1].node = Some("vienna".to_owned())),
        change(&|manifest| manifest.sessions[1].part_of = Some(chain_id(7))),
        change(&|manifest| manifest.sessions.push(manifest.sessions[0].clone())),
        change(&|manifest| manifest.format = 1),
        change(&|manifest| manifest.sessions.iter_mut().for_each(|chain| (chain.node, chain.part_of) = (None, None))),
    ] {
        assert!(!changed.is_good(), "{changed:?}");
    }
    let mut later = files.clone();
    let newer = r#"{"format": 3, "nightaudit": "9.9.9", "what": "ever"}"#;
    later.insert("manifest.json".to_owned(), newer.as_bytes().to_vec());
    assert!(check(&packed(&later)).unwrap_err().to_string().contains("9.9.9"));
}

#[test]
fn hostile_names_of_nodes_break_out_of_nothing() {
    const NAMES: [&str; 6] =
        ["../../etc/passwd", "C:\\con\0", "</script><script>alert(1)</script>", "a\u{202e}b\r\n", "a\u{200b}b\r\n", ""];
    let sessions = [session(&NAMES.map(|name| (name, 1)))];
    let mut exchanges = interleaved(&[1; 6]);
    let mut evil = hostile();
    (evil.session, evil.sequence, evil.id) = (chain_id(2), 2, ExchangeId::from_parts(1_790_000_900_000, 7));
    rechained(&mut evil, &mut exchanges[2].hash.unwrap());
    exchanges.push(evil);
    let zip = bundle_of(&of(&sessions), &exchanges);
    let verification = check(&zip).unwrap();
    assert_eq!(verification.findings, []);
    let labels: std::collections::BTreeSet<_> =
        verification.nodes.iter().map(|node| (node.node.clone(), node.chain)).collect();
    assert_eq!(labels.len(), 6);
    assert!(verification.nodes.iter().all(|node| !node.node.contains(['\0', '\u{202e}', '\r', '\u{200b}'])));
    let files = unpacked(&zip);
    let due = ["README.txt", "declaration.toml", "exchanges.ndjson", "manifest.json", "report.html", "review.json"];
    assert!(files.keys().all(|name| due.contains(&&**name) || ["session.har", "signature.json"].contains(&&**name)));
    let page = std::str::from_utf8(&files["report.html"]).unwrap();
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (1, 1));
    assert!(!page.contains(['\0', '\u{202e}', '\u{200b}', '\r']));
    assert!(!std::str::from_utf8(&files["README.txt"]).unwrap().contains(['\0', '\u{202e}', '\u{200b}', '\r']));
    // Two names that look alike are told apart by the chain, also where one of them has a hole.
    let mut holed = lines(&files);
    holed.remove(3);
    let found = findings(&with_lines(&files, &holed));
    assert!(names(&found, FindingKind::Missing, &chain_id(3).to_string()), "{found:?}");
}

#[test]
fn thousands_of_chains_are_one_session() {
    let names: Vec<String> = (0..1_500).map(|number| format!("shard-{number:04}")).collect();
    let nodes: Vec<_> = names.iter().map(|name| (&**name, 2)).collect();
    let sessions = [session(&nodes)];
    let exchanges = interleaved(&vec![2; nodes.len()]);
    let zip = bundle_of(&of(&sessions), &exchanges);
    let verification = check(&zip).unwrap();
    assert_eq!(verification.findings, []);
    assert_eq!((verification.sessions, verification.exchanges, verification.nodes.len()), (1, 3_000, 1_500));
    let files = unpacked(&zip);
    assert!(std::str::from_utf8(&files["report.html"]).unwrap().contains("1,000 more rows"));
    assert!(std::str::from_utf8(&files["README.txt"]).unwrap().contains("and 1450 more nodes"));
    let mut holed = lines(&files);
    holed.remove(1_017);
    let verification = check(&packed(&with_lines(&files, &holed))).unwrap();
    let broken: Vec<_> = verification.nodes.iter().filter(|node| !node.is_intact()).collect();
    assert!(broken.len() == 1 && broken[0].node == "shard-1017" && broken[0].missing == 1, "{broken:?}");

    let too_many: Vec<_> = (0..10_001).map(|number| (if number % 2 == 0 { "a" } else { "b" }, 1)).collect();
    let error = of(&[session(&too_many)]).report(Vec::new()).err().unwrap().to_string();
    assert!(error.contains("10000 nodes") && error.contains("NAME@NODE"), "{error}");
}

#[test]
fn what_each_node_knows_of_its_record_is_added_up_and_rebuilt() {
    let mut sessions = [session(&[("frankfurt", 6), ("prague", 6), ("vienna", 0)])];
    sessions[0].chains[0].unrecorded = 2;
    sessions[0].chains[1].unrecorded = 3;
    sessions[0].chains[1].imported = Some(Import { exchanges: 6, ..Import::default() });
    let (_, exchanges) = two();
    let zip = bundle_of(&of(&sessions), &exchanges);
    let verification = check(&zip).unwrap();
    assert_eq!(verification.findings, []);
    assert_eq!(verification.origins[0].provenance.imported.unwrap().exchanges, 6);
    assert_eq!(records(&verification)[2], ("vienna", 0, 0, 0));
    let review: serde_json::Value = serde_json::from_slice(&unpacked(&zip)["review.json"]).unwrap();
    assert_eq!(review[0]["run"]["missing"], 5);
    let manifest: Manifest = serde_json::from_slice(&unpacked(&zip)["manifest.json"]).unwrap();
    assert_eq!((manifest.sessions[0].unrecorded, manifest.sessions[1].unrecorded), (2, 3));
}

#[test]
fn other_exports_of_interleaved_chains_are_verified_too() {
    let (_, exchanges) = two();
    for format in [Format::Ndjson, Format::Har] {
        let mut out = Vec::new();
        let mut writer = format.writer(&mut out);
        exchanges.iter().for_each(|exchange| writer.write(exchange).unwrap());
        writer.finish().unwrap();
        let good = check(&out).unwrap();
        assert_eq!((&good.findings[..], good.exchanges, good.sessions), (&[][..], 12, 2), "{format}");
        let text = String::from_utf8(out).unwrap();
        let mut without: Vec<&str> = text.split_inclusive('\n').collect();
        without.remove(5);
        let found = check(without.concat().as_bytes()).unwrap().findings;
        assert!(found.len() == 1 && found[0].kind == FindingKind::Missing, "{format}: {found:?}");
    }
}

#[test]
fn a_log_of_several_nodes_names_the_one_whose_record_has_a_hole() {
    let sessions = [session(&[("frankfurt", 6), ("prague", 6)])];
    let mut exchanges = interleaved(&[6, 6]);
    exchanges.remove(7);
    exchanges[4].operation = "else".to_owned();
    let exchanges = exchanges.into_iter().map(Ok::<_, std::convert::Infallible>);
    let Ok(verification) = verify_exchanges(exchanges, &sessions, &mut |_| {});
    assert_eq!((verification.sessions, records(&verification)), (1, vec![("frankfurt", 6, 0, 1), ("prague", 5, 1, 0)]));
    assert!(verification.findings.iter().any(|found| found.what.contains("of session certification on prague")));
    assert!(Nodes::of_sessions(&[session(&[("alone", 1)])]).chains().is_empty());
}
