//! `README.txt`, for readers who don't know nightaudit.

use std::{collections::BTreeSet, fmt::Write as _};

use super::manifest::{Chain, Manifest};

/// Maximum nodes listed of a session.
const NODES: usize = 50;

/// The text of `README.txt`; `declared` if the bundle has a declaration.
pub(super) fn readme(manifest: &Manifest, revision: &str, declared: bool) -> String {
    let mut text = String::from(
        "\
Evidence of an integration's session with the Mews Connector API
================================================================

Recorded by nightaudit, a proxy between the integration and Mews.

",
    );
    let nodes = manifest.nodes();
    let mut told = BTreeSet::new();
    for session in &manifest.sessions {
        let id = nodes.session_of(session.id);
        if !told.insert(id) {
            continue;
        }
        let _ = writeln!(text, "Session    {} ({id})", crate::text::printable(&session.name));
        let chains: Vec<&Chain> = match session.part_of {
            None => vec![session],
            Some(_) => manifest.sessions.iter().filter(|chain| nodes.session_of(chain.id) == id).collect(),
        };
        if session.part_of.is_some() {
            let exchanges: u64 = chains.iter().map(|chain| chain.exchanges).sum();
            let _ = writeln!(text, "           {exchanges} exchanges, recorded by {} nodes", chains.len());
        } else {
            let _ = writeln!(text, "           {}", span(session));
        }
        if let Some(outline) = manifest.reviews.iter().find(|outline| outline.session == id) {
            let _ = writeln!(text, "           {}", crate::text::printable(&outline.origin));
            let _ = writeln!(text, "           {}", crate::text::printable(&outline.headline));
        }
        for chain in chains.iter().take(NODES) {
            if let Some(node) = &chain.node {
                let _ = writeln!(text, "Node       {} ({})", crate::text::printable(node), chain.id);
                let _ = writeln!(text, "           {}", span(chain));
            }
            if let Some(import) = chain.imported {
                let _ = writeln!(text, "           {import}");
            }
            if chain.unrecorded > 0 {
                let _ = writeln!(text, "           {} more were forwarded but not recorded", chain.unrecorded);
            }
        }
        if chains.len() > NODES {
            let _ = writeln!(text, "           and {} more nodes, which manifest.json has", chains.len() - NODES);
        }
    }
    if let Some(made) = &manifest.made {
        let _ = writeln!(text, "Written    {}, key fingerprint {}", made.at, made.key);
    }
    let _ = writeln!(text, "Reviewed   against Mews' documentation, revision {}", crate::text::printable(revision));
    if let Some(digest) = manifest.documentation {
        let _ = writeln!(text, "           SHA-256 {digest}; nightaudit mews update reads it");
    }
    if let Some(digest) = manifest.openapi {
        let _ = writeln!(text, "OpenAPI    SHA-256 {digest}; pass it to nightaudit verify with --openapi");
    }
    if !manifest.filter.is_empty() {
        let filter: Vec<_> = manifest.filter.iter().map(|(name, value)| format!("--{name} {value}")).collect();
        let _ = writeln!(text, "Filter     {}", crate::text::printable(&filter.join(" ")));
    }
    if !manifest.masked_fields.is_empty() {
        let fields = crate::text::printable(&manifest.masked_fields.join(", "));
        let _ = writeln!(text, "Masked     {fields} (in {} bodies)", manifest.masked_bodies);
    }
    text.push_str(
        "
Contents
--------

report.html        Start here. Opens in any browser, prints well, loads nothing from the network.
session.har        The same exchanges for developer tools, such as a browser's network panel.
exchanges.ndjson   Every exchange in full, one JSON object per line.
review.json        The content of the report as data: a list with one review per session.
",
    );
    if declared {
        text.push_str("declaration.toml   The partner's declaration of the integration, unchanged.\n");
    }
    text.push_str(match nodes.is_empty() {
        true => {
            "manifest.json      Length and SHA-256 of each file above, and the head of each session's hash chain.\n"
        }
        false => "manifest.json      Length and SHA-256 of each file above, and the head of each node's hash chain.\n",
    });
    text.push_str(
        "signature.json     The signature over manifest.json, and its time.

Access tokens and client tokens are never recorded. They are replaced by pseudonyms (REDACTED: and 12 hex digits); the
same token always has the same pseudonym.

How to verify it
----------------

With nightaudit:

    nightaudit verify FILE.zip

This recomputes every digest and the hash chain, rebuilds the report, the review and the HAR from the exchanges and
compares them, checks the signature, and names anything that was changed. It prints the fingerprint of the signing key:
ask the partner for theirs over another channel and compare, or pass it with --key.

By hand: compare the SHA-256 of each file with manifest.json (sha256sum on Linux, shasum -a 256 on macOS,
Get-FileHash on Windows). signature.json holds an Ed25519 signature over three lines, each terminated by a line feed:
nightaudit evidence 1, the SHA-256 of manifest.json, and signedAt.

",
    );
    text.push_str(match nodes.is_empty() {
        true => {
            "\
What this proves: nothing has changed since the installation with this key wrote the file. For a session recorded there
(not imported), it also proves that no exchange has been changed, added or removed since it was recorded, except by a
holder of the key. Each exchange names the host it was sent to and the authority behind the host's certificate.
"
        }
        false => {
            "\
What this proves: nothing has changed since the installation with this key wrote the file. Each node recorded into a hash
chain of its own and shipped it to the archive from which the file was written. An exchange that was changed, added or
removed on the way breaks its node's chain, unless the rest of that chain was written anew. Each exchange names the host
it was sent to and the authority behind the host's certificate.
"
        }
    });
    text
}

/// How many exchanges of a chain there are, and their numbers.
fn span(chain: &Chain) -> String {
    match (chain.node.is_some(), chain.exchanges) {
        (true, 0) => "no exchange".to_owned(),
        (true, 1) => format!("1 exchange, number {}", chain.first),
        (_, exchanges) => format!("{exchanges} exchanges, numbers {} to {}", chain.first, chain.last),
    }
}
