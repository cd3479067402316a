//! A bundle's HAR held against its exchanges.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read as _},
};

use nightaudit_exchange::{Digest, Exchange, ExchangeId};

use super::BundleCheck;
use crate::{
    bundle::names,
    verify::{
        VerifyError,
        chain::ChainCheck,
        finding::{FindingKind, Findings, shown},
        har,
        lines::check_lines,
    },
};

/// The most exchanges whose places in the HAR are compared one by one, where the whole is not the same.
const COMPARED: usize = 1_000_000;

impl BundleCheck {
    /// Finds which entries of the HAR are not those that the exchanges give; by their ids and hashes alone where an other
    /// version wrote them.
    pub(super) fn compare_har(&mut self, to_the_letter: bool) -> Result<(), VerifyError> {
        let due = self.due_entries(to_the_letter)?;
        let mut there: Vec<(ExchangeId, Digest)> = Vec::new();
        let mut strangers = 0_u64;
        let reader = BufReader::with_capacity(256 << 10, self.container.read(names::HAR)?);
        let read = if to_the_letter {
            har_lines(reader, &mut |line, id| match id {
                Some(id) if there.len() < COMPARED => there.push((id, Digest::of(line))),
                Some(_) => {}
                None => strangers += 1,
            })
            .map_err(|error| error.to_string())
        } else {
            har::entries(reader, &mut |entry| match entry.nightaudit {
                Some(facts) if there.len() < COMPARED => {
                    there.push((facts.id, facts.hash.unwrap_or(Digest([0; 32]))));
                }
                Some(_) => {}
                None => strangers += 1,
            })
            .map_err(|error| error.to_string())
        };
        let file = Some(names::HAR);
        if let Err(error) = read {
            self.findings.add(FindingKind::Unreadable, file, format_args!("it is no HAR: {}", shown(&error)));
        }
        if strangers > 0 {
            self.findings.add(
                FindingKind::Altered,
                file,
                format_args!("{strangers} lines are not entries of nightaudit"),
            );
        }
        compare(&due, &there, &mut self.findings);
        Ok(())
    }

    fn due_entries(&mut self, to_the_letter: bool) -> Result<Vec<(ExchangeId, Digest)>, VerifyError> {
        let mut reader = BufReader::with_capacity(256 << 10, self.container.read(names::EXCHANGES)?);
        let mut due = Vec::new();
        let mut nothing = Findings::default();
        let mut each = |exchange: &Exchange| {
            if due.len() < COMPARED {
                let digest = if to_the_letter {
                    Digest::of(&crate::har::entry_json(exchange).map_err(io::Error::other)?)
                } else {
                    exchange.hash.unwrap_or(Digest([0; 32]))
                };
                due.push((exchange.id, digest));
            }
            Ok(())
        };
        check_lines(&mut reader, None, &mut ChainCheck::new(None, true), &mut nothing, &mut each)?;
        Ok(due)
    }
}

/// The entries of a HAR as this program writes it, a line each, with the ids that they name.
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

/// Says which entries are altered, missing, inserted or moved.
fn compare(due: &[(ExchangeId, Digest)], there: &[(ExchangeId, Digest)], findings: &mut Findings) {
    let file = Some(names::HAR);
    let before = findings.len();
    let mut places: BTreeMap<ExchangeId, usize> = BTreeMap::new();
    let mut last = None;
    for (place, (id, _)) in due.iter().enumerate() {
        places.entry(*id).or_insert(place);
    }
    let mut seen = vec![false; due.len()];
    for (id, digest) in there {
        let Some(&place) = places.get(id) else {
            findings.add(FindingKind::Inserted, file, format_args!("exchange {id} is not among the exchanges"));
            continue;
        };
        if std::mem::replace(&mut seen[place], true) {
            findings.add(FindingKind::Inserted, file, format_args!("exchange {id} stands there twice"));
        } else if last.is_some_and(|last| place < last) {
            findings.add(FindingKind::Reordered, file, format_args!("exchange {id} stands in another place"));
        } else if *digest != due[place].1 {
            findings.add(FindingKind::Altered, file, format_args!("exchange {id} does not agree with the exchange"));
        }
        last = last.max(Some(place));
    }
    for (place, (id, _)) in due.iter().enumerate() {
        if !seen[place] {
            findings.add(FindingKind::Missing, file, format_args!("exchange {id} is missing"));
        }
    }
    if findings.len() == before {
        let what = "it does not agree with the exchanges, in what stands around the entries";
        findings.add(FindingKind::Altered, file, what);
    }
}
