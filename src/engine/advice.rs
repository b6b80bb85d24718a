//! What to tell whoever waits for a cluster that does not come (BOOT-16, CS-29, TLS-11).

use super::hunt::{REPORT_MAX, Target};
use super::link::{App, Failure, Link, Phase, Role};
use super::report::{AttemptReport, BootstrapReport};
use super::scope::ScopeId;
use super::{Engine, Stage};
use crate::auth::Authenticator;
use crate::error::ErrorKind;
use crate::map::{Service, canonical_host_eq};

impl Engine {
    /// What became of the attempts to get a scope's map; `None` when it is there (BOOT-16).
    pub(super) fn report(&self, scope: ScopeId) -> Option<BootstrapReport> {
        let now = self.now;
        let Some(hunt) = self.scope(scope).hunt.as_ref() else {
            // Before the seeds are known nothing is dialled.
            let asked = self.srv.pending().filter(|_| self.scope(scope).map.is_none())?;
            return Some(BootstrapReport {
                kind: ErrorKind::UnambiguousTimeout,
                elapsed: now.saturating_duration_since(asked),
                attempts: Vec::new(),
                omitted: 0,
                srv: self.srv.describe(),
                hints: Vec::new(),
            });
        };
        let mut attempts: Vec<AttemptReport> = Vec::new();
        for (number, target) in hunt.targets.iter().enumerate() {
            let running = hunt.running.iter().find_map(|&index| {
                let link = self.link(index)?;
                (link.role == Role::Seed { scope, target: number }).then(|| AttemptReport {
                    seed: target.endpoint.to_string(),
                    address: link.address.map(|address| address.to_string()),
                    stage: link.stage(),
                    error: if target.is_mapless() {
                        Some("the node has no map of this bucket: it starts up, or only a manager gives the map, as for memcached buckets".to_owned())
                    } else {
                        link.config_retry
                            .map(|_| "the node has no cluster map yet: it may be starting up".to_owned())
                    },
                    kind: None,
                    elapsed: now.saturating_duration_since(link.started),
                })
            });
            // A failure says more than an attempt that is under way. A manager says nothing new where the data service of
            // its host failed in the same way.
            let Some(attempt) = target.last.clone().or(running) else { continue };
            // What comes behind the first colon is advice.
            let cause = |told: &AttemptReport| {
                told.error.as_deref().and_then(|it| it.split(':').next()).map(str::to_owned)
            };
            let same = |(other, told): (&Target, &AttemptReport)| {
                other.endpoint.host == target.endpoint.host
                    && (told.stage, cause(told)) == (attempt.stage, cause(&attempt))
            };
            let is_known = target.over_http
                && attempt.stage <= Stage::Tcp
                && hunt
                    .targets
                    .iter()
                    .filter(|other| !other.over_http)
                    .any(|other| other.last.as_ref().is_some_and(|told| same((other, told))));
            if !is_known {
                attempts.push(attempt);
            }
        }
        // The same place by another name says nothing new.
        for past in hunt.past.iter().rev() {
            if !attempts.iter().any(|told| told.seed == past.seed || told.address == past.address) {
                attempts.push(past.clone());
            }
        }
        let kinds = |wanted: ErrorKind| attempts.iter().any(|attempt| attempt.kind == Some(wanted));
        let kind = [
            ErrorKind::InvalidArgument,
            ErrorKind::NetworkNotFound,
            ErrorKind::FeatureNotAvailable,
            ErrorKind::AuthenticationFailure,
            ErrorKind::TlsFailure,
            ErrorKind::BucketNotFound,
        ]
        .into_iter()
        .find(|&kind| kinds(kind))
        .unwrap_or(ErrorKind::UnambiguousTimeout);
        let omitted = attempts.len().saturating_sub(REPORT_MAX);
        attempts.truncate(REPORT_MAX);
        let reached = |over_http: bool| {
            let mut last =
                hunt.targets.iter().filter(|it| it.over_http == over_http).filter_map(|it| it.last.as_ref());
            last.any(|attempt| attempt.stage > Stage::Tcp)
        };
        let only_managers = reached(true)
            && !reached(false)
            && hunt.targets.iter().any(|target| !target.over_http && target.last.is_some());
        let mut hints = self.hints(kind, &attempts, only_managers);
        let mapless = hunt.targets.iter().any(Target::is_mapless);
        if mapless && !hunt.targets.iter().any(|target| target.over_http) {
            hints.push(
                "no manager may be asked for the map: leave bootstrap_on at auto, and the port out or add `:8091=manager`".into(),
            );
        }
        let elapsed = now.saturating_duration_since(hunt.started);
        Some(BootstrapReport { kind, elapsed, attempts, omitted, srv: self.srv.describe(), hints })
    }

    /// What to do about it. `only_managers`: they answer, and no data node can be reached.
    fn hints(&self, kind: ErrorKind, attempts: &[AttemptReport], only_managers: bool) -> Vec<String> {
        let mut hints: Vec<String> = Vec::new();
        let all = |test: &dyn Fn(&AttemptReport) -> bool| !attempts.is_empty() && attempts.iter().all(test);
        // H10: connected, and then nothing.
        let silent = all(&|attempt| attempt.stage > Stage::Tcp && attempt.error.is_none());
        let unreachable = all(&|attempt| attempt.stage <= Stage::Tcp);
        if self.config.capella && !self.config.tls() {
            hints.push(
                "this is a Capella host, which takes connections with TLS only: use couchbases://".into(),
            );
        } else if self.srv.only_with_tls == Some(true) {
            hints.push("DNS has an SRV record of this name for TLS only: use couchbases://".into());
        }
        let hint = match kind {
            ErrorKind::AuthenticationFailure => match &self.config.authenticator {
                Authenticator::Password(_) => "check user name and password",
                Authenticator::Bearer(_) => "check the token, and that it has not expired",
                Authenticator::Certificate(_) => {
                    "check which user the client certificate stands for, and that the cluster takes certificates"
                }
            },
            _ if attempts.is_empty() && self.seeds_are_known() => {
                "no node has a port that bootstrap_on allows to be asked"
            }
            ErrorKind::BucketNotFound => "create the bucket, or grant this user access to it",
            // Said already: by the first hint, or by what the look-up of the SRV record has come to.
            _ if self.config.capella && !self.config.tls() => "",
            _ if self.srv.has_failed() && all(&|attempt| attempt.stage == Stage::Resolve) => "",
            _ if all(&|attempt| attempt.stage == Stage::Resolve) => {
                "check the host names, and the name server of this machine"
            }
            _ if attempts.iter().any(|attempt| attempt.kind == Some(ErrorKind::TemporaryFailure)) => {
                "the bucket is there and not ready: wait while it warms up, or resume it if it hibernates"
            }
            _ if only_managers => "",
            _ if unreachable && self.config.capella => {
                "add the address of this machine to the cluster's allowed IP addresses, and check that the cluster is on"
            }
            _ if unreachable => "check that the data service runs there and that no firewall blocks its port",
            _ if silent => {
                "what listens there does not answer: check that it is the data service, and that it is well"
            }
            _ => "",
        };
        if !hint.is_empty() {
            hints.push(hint.to_owned());
        }
        if only_managers {
            hints.push(
                "a manager answers and no data node can be reached: check that the data service runs there and that no firewall blocks its port"
                    .into(),
            );
        }
        hints
    }

    /// What may be behind a node of the map that cannot be reached: its port may be blocked, or its address be for
    /// others (5.1).
    pub(super) fn address_advice(&self, link: &Link, failure: &Failure) -> Option<String> {
        if failure.stage > Stage::Tcp || link.role != Role::Member {
            return None;
        }
        if self.manager_answers(link) {
            return Some(
                "the manager on that host answers: check that the data service runs there and that no firewall blocks its port"
                    .to_owned(),
            );
        }
        let network = self.network.as_deref()?;
        let map = self.cluster.map.as_ref()?;
        let others: Vec<&str> = map
            .nodes
            .iter()
            .flat_map(|node| node.alternates.iter().map(|other| other.network.as_str()))
            .collect();
        let advice = match others.iter().find(|other| **other != network) {
            Some(other) => format!("from outside of it, try network={other}"),
            None if network == "default" => {
                "from outside of it, the cluster needs alternate addresses (setting-alternate-address)".into()
            }
            None => "check that this is the network that this machine is in".to_owned(),
        };
        Some(format!("the address is the cluster map's, for the network {network:?}; {advice}"))
    }

    /// Why a node of a bucket's map cannot be dialled at all: it is not on the chosen network, or has no port of this
    /// security mode there (NET-6, NET-7).
    pub(super) fn no_address(&self, bucket: u32, slot: usize) -> Option<String> {
        let map = self.buckets.get(bucket as usize)?.scope.map.as_ref()?;
        let node = map.nodes.get(slot)?;
        let network = self.network.as_deref()?;
        let tls = self.config.tls();
        if node.endpoint(Service::Kv, network, tls).is_some() {
            return None;
        }
        let advice = if network == "default" || node.alternates.iter().any(|other| other.network == network) {
            let mode = if tls { "TLS" } else { "plain" };
            format!("no {mode} key-value port on the network {network:?}")
        } else {
            format!("no address on the network {network:?}: give it one there with setting-alternate-address")
        };
        Some(format!("node {} has {advice}", node.host))
    }

    /// Whether an answer has come over HTTP from the host of a link.
    fn manager_answers(&self, link: &Link) -> bool {
        let ip = link.address.map(|address| address.ip());
        self.link_indexes().into_iter().filter_map(|index| self.link(index)).any(|other| {
            let same_host = canonical_host_eq(&other.endpoint.host, &link.endpoint.host)
                || ip.is_some() && other.address.map(|address| address.ip()) == ip;
            same_host
                && matches!(&other.phase, Phase::Live { app: App::Http(fetch), .. } if fetch.is_answered())
        })
    }
}
