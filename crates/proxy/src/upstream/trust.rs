//! Trusted certificate authorities, and their classification.

use std::{path::Path, sync::Arc};

use nightaudit_exchange::Authority;
use rustls::{
    ClientConfig, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

use super::config::UpstreamConfigError;

/// Returns a TLS configuration that trusts the system's authorities and those in `ca` and offers HTTP/2 and HTTP/1.1,
/// and a classifier of authorities.
pub(super) fn client_config(
    ca: Option<&Path>,
) -> Result<(Arc<ClientConfig>, AuthorityClassifier), UpstreamConfigError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "can't read a certificate authority of the system");
    }
    roots.add_parsable_certificates(native.certs);
    let system = roots.clone();
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
        tracing::warn!("the system has no certificate authorities: set upstream_ca, or no host can be trusted");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let public = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let classifier = AuthorityClassifier::new(public, system, &provider);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), classifier))
}

/// Classifies the authority of an accepted certificate.
///
/// The system's list proves nothing: the owner of the machine controls it, and `SSL_CERT_FILE` can replace it. So
/// certificates are verified against a built-in list of public authorities.
#[derive(Debug)]
pub(crate) struct AuthorityClassifier {
    public: Option<Arc<WebPkiServerVerifier>>,
    system: Option<Arc<WebPkiServerVerifier>>,
}

impl AuthorityClassifier {
    fn new(public: RootCertStore, system: RootCertStore, provider: &Arc<CryptoProvider>) -> Self {
        // An empty list gives no verifier, and matches nothing.
        let verifier = |roots: RootCertStore| {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build().ok()
        };
        Self { public: verifier(public), system: verifier(system) }
    }

    /// Returns the most public class of authorities for which these certificates, the host's own first, are valid for
    /// this name.
    pub(super) fn classify(&self, certificates: &[CertificateDer<'_>], name: &ServerName<'_>) -> Authority {
        let Some((own, others)) = certificates.split_first() else { return Authority::Configured };
        let verifies = |verifier: &Option<Arc<WebPkiServerVerifier>>| {
            let verify = |verifier: &Arc<WebPkiServerVerifier>| {
                verifier.verify_server_cert(own, others, name, &[], UnixTime::now()).is_ok()
            };
            verifier.as_ref().is_some_and(verify)
        };
        if verifies(&self.public) {
            Authority::Public
        } else if verifies(&self.system) {
            Authority::System
        } else {
            Authority::Configured
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    const HOST: &str = "api.mews-demo.com";

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn roots(issuer: &CertifiedIssuer<'static, KeyPair>) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).unwrap();
        roots
    }

    #[test]
    fn the_most_public_authority_is_reported() {
        let issuers = [authority(), authority(), authority()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let classifier = AuthorityClassifier::new(roots(&issuers[0]), roots(&issuers[1]), &provider);
        let name = |host: &'static str| ServerName::try_from(host).unwrap();
        let classes = issuers.each_ref().map(|issuer| {
            let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
            let certificate = params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap();
            let certificates = [certificate.der().clone()];
            // A public certificate for another host does not count.
            assert_eq!(classifier.classify(&certificates, &name("api.mews.com")), Authority::Configured);
            classifier.classify(&certificates, &name(HOST))
        });
        assert_eq!(classes, [Authority::Public, Authority::System, Authority::Configured]);
        assert_eq!(classifier.classify(&[], &name(HOST)), Authority::Configured);
        let empty = AuthorityClassifier::new(RootCertStore::empty(), RootCertStore::empty(), &provider);
        assert_eq!(empty.classify(&[issuers[0].der().clone()], &name(HOST)), Authority::Configured);
    }

    #[test]
    fn the_public_list_is_built_in_and_configured_authorities_are_not_public() {
        let own = tempfile::NamedTempFile::new().unwrap();
        let issuer = authority();
        std::fs::write(own.path(), issuer.pem()).unwrap();
        let (_, classifier) = client_config(Some(own.path())).unwrap();
        let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let name = ServerName::try_from(HOST).unwrap();
        assert_eq!(classifier.classify(&[certificate.der().clone()], &name), Authority::Configured);
        assert!(classifier.public.is_some());
    }
}
