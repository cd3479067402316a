//! Server-side TLS.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// A certificate or key that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file can't be read as PEM.
    #[error("can't read {what} from {}: {reason}", path.display())]
    Read {
        /// `a certificate` or `a private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// Certificate and key don't match, or rustls does not support them.
    #[error("the certificate in {} and the key in {} can't be used: {source}", certificate.display(), key.display())]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

/// Returns a TLS configuration with a certificate chain and key from PEM files, offering HTTP/2 and HTTP/1.1 by ALPN.
///
/// # Errors
///
/// [`TlsError`] if a file can't be read, contains no certificate or key, or the two don't match.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let unreadable = |what, path: &Path, reason: &dyn ToString| TlsError::Read {
        what,
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable("a certificate", certificate, &error))?;
    if chain.is_empty() {
        return Err(unreadable("a certificate", certificate, &"the file contains none"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("a private key", key, &error))?;
    server_config_from(chain, private).map_err(|source| TlsError::Mismatch {
        certificate: certificate.into(),
        key: key.into(),
        source,
    })
}

/// Like [`server_config`], with a chain and key in memory.
///
/// # Errors
///
/// The rustls error if chain and key don't match.
pub fn server_config_from(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_certificate_is_named() {
        let error = server_config(Path::new("/nowhere/cert.pem"), Path::new("/nowhere/key.pem")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/cert.pem"), "{error}");
    }
}
