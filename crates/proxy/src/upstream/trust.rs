//! Which certificates are trusted.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::UpstreamConfigError;

/// A client's TLS that trusts the system's authorities and those in `ca`, and offers HTTP/2 and HTTP/1.1.
pub(super) fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, UpstreamConfigError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "a certificate authority of the system can't be read");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = ca {
        let unreadable =
            |reason: &dyn ToString| UpstreamConfigError::Ca { path: path.to_owned(), reason: reason.to_string() };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unreadable(&error))?;
        if certificates.is_empty() {
            return Err(unreadable(&"the file has no certificate in PEM form"));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
    }
    if roots.is_empty() {
        tracing::warn!("the system has no certificate authorities: no host can be trusted without upstream_ca");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
