//! The bundle's own explanation, for somebody who has never heard of nightaudit.

use std::fmt::Write as _;

use super::manifest::Manifest;

/// The text of `README.txt`; `declared` says whether there is a declaration.
pub(super) fn readme(manifest: &Manifest, declared: bool) -> String {
    let mut text = String::from(
        "\
Evidence of an integration's run against the Mews Connector API
===============================================================

Recorded and written by nightaudit, a proxy that stood between the integration and Mews.

",
    );
    for session in &manifest.sessions {
        let name = crate::text::printable(&session.name);
        let _ = writeln!(text, "Session    {name} ({})", session.id);
        let _ =
            writeln!(text, "           {} exchanges, number {} to {}", session.exchanges, session.first, session.last);
        if let Some(outline) = manifest.reviews.iter().find(|outline| outline.session == session.id) {
            let _ = writeln!(text, "           {}", crate::text::printable(&outline.origin));
            let _ = writeln!(text, "           {}", crate::text::printable(&outline.headline));
        }
        if let Some(import) = session.imported {
            let _ = writeln!(text, "           {import}");
        }
        if session.unrecorded > 0 {
            let _ = writeln!(text, "           {} more passed unrecorded", session.unrecorded);
        }
    }
    if let Some(made) = &manifest.made {
        let _ = writeln!(text, "Made       {} by the key {}", made.at, made.key);
    }
    let _ = writeln!(text, "Reviewed   by Mews' documentation of {}", nightaudit_mews::REVISION);
    if let Some(digest) = manifest.openapi {
        let _ = writeln!(text, "OpenAPI    SHA-256 {digest}; nightaudit verify makes the review again with --openapi");
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
What is here
------------

report.html        Begin here. Opens in any browser, on a phone and on paper; loads nothing from anywhere.
session.har        The same exchanges for developers' tools: the network panel of a browser imports it.
exchanges.ndjson   Every exchange, complete, one a line, as JSON.
review.json        What the report says, as data: a list with a review of each session.
",
    );
    if declared {
        text.push_str("declaration.toml   What the integration declares about itself, as the partner wrote it.\n");
    }
    text.push_str(
        "manifest.json      The length and the SHA-256 of each of these files, and where each session's chain ends.
signature.json     The signature over manifest.json, and when it was made.

Access tokens and client tokens were never recorded. In their place stand pseudonyms, REDACTED: and 12 digits; equal
tokens have equal pseudonyms.

How to check it
---------------

With nightaudit:

    nightaudit verify FILE.zip

It recomputes every digest and the chain that leads from each exchange to the next, makes report, review and HAR again
from the exchanges and compares them, checks the signature, and names whatever was changed. It shows the fingerprint of
the key that signed: ask the partner for theirs and compare, or give it with --key.

By hand: compare the SHA-256 of the files with manifest.json (sha256sum on Linux, shasum -a 256 on macOS,
Get-FileHash on Windows). signature.json holds an Ed25519 signature of three lines, each ended by a line feed:
nightaudit evidence 1, the SHA-256 of manifest.json, and signedAt.

What that shows: nothing was changed since the installation that holds the key wrote this file. Of a session that was
recorded there, and not imported, it shows too that no exchange was changed, added or taken out since, unless by somebody
who holds that key. Each exchange names the host that it was sent to, and who vouches for the host's certificate.
",
    );
    text
}
