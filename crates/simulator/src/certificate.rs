//! A certificate from an authority that exists for one run only.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;

/// Creating the certificate failed.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// While generating it.
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// While loading it.
    #[error("can't use the certificate that was made: {0}")]
    Use(#[from] rustls::Error),
}

/// TLS configuration for the server, and the authority that clients must trust.
#[derive(Debug)]
pub struct SelfSigned {
    /// The server's configuration.
    pub tls: Arc<rustls::ServerConfig>,
    /// The authority's certificate as PEM. Its key is discarded.
    pub authority: String,
}

/// Creates a certificate for `localhost`, the loopback addresses and `address`, and an authority for it.
///
/// # Errors
///
/// See [`CertificateError`].
pub fn self_signed(address: IpAddr) -> Result<SelfSigned, CertificateError> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.distinguished_name.push(DnType::CommonName, "nightaudit simulator, made for one run");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let mut own = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])?;
    own.distinguished_name.push(DnType::CommonName, "nightaudit simulator");
    if !address.is_unspecified() {
        own.subject_alt_names.push(SanType::IpAddress(address));
    }
    let key = KeyPair::generate()?;
    let certificate = own.signed_by(&key, &authority)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let tls = nightaudit_listen::server_config_from(vec![certificate.der().clone()], key)?;
    Ok(SelfSigned { tls, authority: authority.pem() })
}
