//! The signature of a bundle.

use crate::{
    Signature,
    bundle::{names, signature_json},
    verify::{
        SignedBy, VerifyOptions,
        container::Container,
        finding::{FindingKind, Findings, shown},
    },
};

/// Checks the manifest's signature; `None`, with a finding, if it is missing or invalid.
pub(super) fn signature(
    container: &mut Container,
    manifest: &[u8],
    options: &VerifyOptions,
    findings: &mut Findings,
) -> Option<SignedBy> {
    let file = Some(names::SIGNATURE);
    let mut unsigned = |what: String| findings.add(FindingKind::Unsigned, file, what);
    if !container.has(names::SIGNATURE) {
        unsigned("missing".to_owned());
        return None;
    }
    let bytes = match container.small(names::SIGNATURE) {
        Ok(bytes) => bytes,
        Err(error) => {
            unsigned(format!("can't be read: {error}"));
            return None;
        }
    };
    let signature: Signature = match serde_json::from_slice(&bytes) {
        Ok(signature) => signature,
        Err(error) => {
            unsigned(format!("not a signature: {}", shown(&error.to_string())));
            return None;
        }
    };
    match signature.check(manifest) {
        Ok(key) => {
            if signature_json(&signature) != bytes {
                unsigned("its JSON was reformatted".to_owned());
            }
            if let Some(wanted) = options.key.as_ref().filter(|wanted| **wanted != key) {
                unsigned(format!("signed by {key}, not by {wanted}"));
            }
            Some(SignedBy { key, at: signature.signed_at })
        }
        Err(error) => {
            unsigned(error.to_string());
            None
        }
    }
}
