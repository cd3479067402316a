//! A certificate of its own, for an authority that exists for one run only.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;

/// A certificate could not be made.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// By the library that makes it.
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// By the library that uses it.
    #[error("can't use the certificate that was made: {0}")]
    Use(#[from] rustls::Error),
}

/// A server's TLS, and the authority that a client has to trust for it.
#[derive(Debug)]
pub struct SelfSigned {
    /// For the server.
    pub tls: Arc<rustls::ServerConfig>,
    /// The authority's certificate, as PEM. Its key is forgotten.
    pub authority: String,
}

/// Makes a certificate for `localhost`, the addresses of loopback and `address`, and an authority for it.
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
