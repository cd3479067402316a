//! What all hosts share.

use std::sync::Arc;

use nightaudit_exchange::Api;

use super::{
    bound::ConnectionLimit,
    config::{UpstreamConfig, UpstreamConfigError},
    corporate::{CorporateProxies, variable},
    trust::{self, AuthorityClassifier},
};
use crate::Origin;

/// Shared by all hosts: trust, corporate proxies, connection limit.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) api: &'static Api,
    /// Offers HTTP/2 and HTTP/1.1.
    pub(crate) tls: Arc<rustls::ClientConfig>,
    /// Offers HTTP/1.1 alone.
    pub(crate) tls_http1: Arc<rustls::ClientConfig>,
    pub(crate) authority_classifier: Arc<AuthorityClassifier>,
    pub(crate) proxies: Arc<CorporateProxies>,
    pub(crate) limit: Arc<ConnectionLimit>,
}

impl Route {
    /// Creates a route with at most this many concurrent `connections`.
    pub(crate) fn new(
        config: &UpstreamConfig,
        hosts: [&Origin; 2],
        connections: usize,
        api: &'static Api,
    ) -> Result<Self, UpstreamConfigError> {
        let proxies = Arc::new(CorporateProxies::new(&config.proxy, hosts, variable)?);
        let (tls, authority_classifier) = trust::client_config(config.ca.as_deref())?;
        let mut tls_http1 = rustls::ClientConfig::clone(&tls);
        tls_http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (tls_http1, authority_classifier) = (Arc::new(tls_http1), Arc::new(authority_classifier));
        Ok(Self { api, tls, tls_http1, authority_classifier, proxies, limit: ConnectionLimit::new(connections, api) })
    }

    /// Creates a route to other hosts with the same trust.
    pub(crate) fn to(
        &self,
        config: &UpstreamConfig,
        hosts: [&Origin; 2],
        connections: usize,
    ) -> Result<Self, UpstreamConfigError> {
        let proxies = Arc::new(CorporateProxies::new(&config.proxy, hosts, variable)?);
        Ok(Self { proxies, limit: ConnectionLimit::new(connections, self.api), ..self.clone() })
    }
}
