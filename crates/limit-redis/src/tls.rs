//! TLS to Redis.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// Trusts the system's authorities, and those of a PEM file. Errors name the file.
pub(crate) fn client(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    // What the system has and rustls doesn't read is its own affair, as long as something is left.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        let wrong = |cause: &dyn std::fmt::Display| format!("{}: {cause}", path.display());
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
        let mut found = false;
        for certificate in certificates {
            roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
            found = true;
        }
        if !found {
            return Err(wrong(&"has no certificate in PEM form"));
        }
    }
    if roots.is_empty() {
        return Err("the system has none: name a file in `limit.store_ca`".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Why TLS failed and what helps, if it was TLS that failed and not the network.
pub(crate) fn explained(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let remedy = match error {
        // The signature is bad if an authority of the same name is known.
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its authority isn't known here: name a PEM file that has it in `limit.store_ca`"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "name Redis in `limit.store` as its certificate does",
        Error::InvalidCertificate(_) => "Redis needs another certificate",
        Error::InvalidMessage(_) => "no TLS is spoken there; is it the `tls-port` of Redis?",
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "Redis wants a certificate of its clients, and there is none to give: set `tls-auth-clients optional` there"
        }
        _ => return Some(error.to_string()),
    };
    Some(format!("{error}; {remedy}"))
}
