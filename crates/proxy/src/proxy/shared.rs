//! What a proxy and its siblings share.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ProxyConfig,
    budget::{self, Budget},
    ids::IdGenerator,
    shares::Shares,
    upstream::Route,
};

/// State shared by a proxy and its [`sibling`](super::Proxy::sibling)s.
pub(super) struct Shared<A> {
    pub(super) config: ProxyConfig,
    pub(super) route: Route,
    pub(super) limiter: A,
    pub(super) ids: Arc<IdGenerator>,
    pub(super) tunnels: TaskTracker,
    pub(super) closing: CancellationToken,
    pub(super) budget: Arc<Budget>,
    pub(super) request_budget: Arc<Budget>,
    pub(super) shares: Arc<Shares>,
}

impl<A> Shared<A> {
    pub(super) fn new(config: ProxyConfig, route: Route, limiter: A) -> Arc<Self> {
        let budget = Budget::new(config.keep_total.max(budget::MIN_BUDGET));
        Arc::new(Self {
            request_budget: budget.half(),
            budget,
            shares: Shares::new(config.queue),
            route,
            limiter,
            ids: Arc::new(IdGenerator::new()),
            config,
            tunnels: TaskTracker::new(),
            closing: CancellationToken::new(),
        })
    }
}
