//! Comparison of a bundle's HAR with its exchanges.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read as _},
};

use nightaudit_exchange::{Digest, Exchange, ExchangeId};

use super::BundleCheck;
use crate::{
    Nodes,
    bundle::names,
    verify::{
        VerifyError,
        chain::ChainCheck,
        finding::{FindingKind, Findings, shown},
        har,
        lines::check_lines,
    },
};

/// Maximum exchanges compared one by one when the HAR as a whole differs.
const MAX_COMPARED: usize = 1_000_000;

impl BundleCheck {
    /// Finds the entries of the HAR that differ from the exchanges; compares only ids and hashes unless `byte_for_byte`.
    pub(super) fn compare_har(&mut self, byte_for_byte: bool) -> Result<(), VerifyError> {
        let expected = self.expected_entries(byte_for_byte)?;
        let mut actual: Vec<(ExchangeId, Digest)> = Vec::new();
        let mut foreign = 0_u64;
        let reader = BufReader::with_capacity(256 << 10, self.container.read(names::HAR)?);
        let read = if byte_for_byte {
            har_lines(reader, &mut |line, id| match id {
                Some(id) if actual.len() < MAX_COMPARED => actual.push((id, Digest::of(line))),
                Some(_) => {}
                None => foreign += 1,
            })
            .map_err(|error| error.to_string())
        } else {
            let mut each = |entry: har::Entry| match entry.nightaudit {
                Some(facts) if actual.len() < MAX_COMPARED => {
                    actual.push((facts.id, facts.hash.unwrap_or(Digest([0; 32]))));
                }
                Some(_) => {}
                None => foreign += 1,
            };
            // What is missing is reported by the manifest.
            har::entries(reader, &mut each, &mut |_| {}).map_err(|error| error.to_string())
        };
        let file = Some(names::HAR);
        if let Err(error) = read {
            self.findings.add(FindingKind::Unreadable, file, format_args!("not a HAR: {}", shown(&error)));
        }
        if foreign > 0 {
            self.findings.add(
                FindingKind::Altered,
                file,
                format_args!("{foreign} entries were not written by nightaudit"),
            );
        }
        compare(&expected, &actual, &mut self.findings);
        Ok(())
    }

    fn expected_entries(&mut self, byte_for_byte: bool) -> Result<Vec<(ExchangeId, Digest)>, VerifyError> {
        let mut reader = BufReader::with_capacity(256 << 10, self.container.read(names::EXCHANGES)?);
        let mut expected = Vec::new();
        let mut ignored = Findings::default();
        let mut each = |exchange: &Exchange| {
            if expected.len() < MAX_COMPARED {
                let digest = if byte_for_byte {
                    Digest::of(&crate::har::entry_json(exchange).map_err(io::Error::other)?)
                } else {
                    exchange.hash.unwrap_or(Digest([0; 32]))
                };
                expected.push((exchange.id, digest));
            }
            Ok(())
        };
        check_lines(&mut reader, None, &mut ChainCheck::new(None, true, Nodes::default()), &mut ignored, &mut each)?;
        Ok(expected)
    }
}

/// Reads the entries of a HAR as nightaudit writes it, one per line, with their ids.
fn har_lines(mut reader: impl BufRead, each: &mut dyn FnMut(&[u8], Option<ExchangeId>)) -> io::Result<()> {
    #[derive(serde::Deserialize)]
    struct Line {
        #[serde(rename = "_nightaudit")]
        nightaudit: Id,
    }
    #[derive(serde::Deserialize)]
    struct Id {
        id: ExchangeId,
    }

    const LONGEST: u64 = 512 << 20;
    let mut line = Vec::new();
    for number in 0_u64.. {
        line.clear();
        (&mut reader).take(LONGEST).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        let entry = line.trim_ascii_end();
        if number == 0 || entry == b"]}}" || entry.starts_with(b"],\"_missing\":") {
            continue;
        }
        let entry = entry.strip_suffix(b",").unwrap_or(entry);
        let id = serde_json::from_slice::<Line>(entry).ok().map(|line| line.nightaudit.id);
        each(entry, id);
    }
    Ok(())
}

/// Reports altered, missing, inserted and moved entries.
fn compare(expected: &[(ExchangeId, Digest)], actual: &[(ExchangeId, Digest)], findings: &mut Findings) {
    let file = Some(names::HAR);
    let before = findings.len();
    let mut positions: BTreeMap<ExchangeId, usize> = BTreeMap::new();
    let mut last = None;
    for (position, (id, _)) in expected.iter().enumerate() {
        positions.entry(*id).or_insert(position);
    }
    let mut seen = vec![false; expected.len()];
    for (id, digest) in actual {
        let Some(&position) = positions.get(id) else {
            findings.add(FindingKind::Inserted, file, format_args!("exchange {id} is not in exchanges.ndjson"));
            continue;
        };
        if std::mem::replace(&mut seen[position], true) {
            findings.add(FindingKind::Inserted, file, format_args!("exchange {id} appears twice"));
        } else if last.is_some_and(|last| position < last) {
            findings.add(FindingKind::Reordered, file, format_args!("exchange {id} is in a different position"));
        } else if *digest != expected[position].1 {
            findings.add(FindingKind::Altered, file, format_args!("exchange {id} doesn't match exchanges.ndjson"));
        }
        last = last.max(Some(position));
    }
    for (position, (id, _)) in expected.iter().enumerate() {
        if !seen[position] {
            findings.add(FindingKind::Missing, file, format_args!("exchange {id} is missing"));
        }
    }
    if findings.len() == before {
        let what = "doesn't match the exchanges outside its entries";
        findings.add(FindingKind::Altered, file, what);
    }
}
