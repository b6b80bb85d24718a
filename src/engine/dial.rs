//! From a host name to a connection: look-up, the race of its addresses, what a connection introduces itself with (BOOT-13).

use super::link::{App, Failure, Phase, Role};
use super::scope::ScopeId;
use super::secure::Secure;
use super::thaw::Suspicion;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{ConnId, Dial, Engine, Lookup, LookupError, LookupId, Output, Stage};
use crate::conn::{Connection, Settings};
use crate::error::ErrorKind;
use crate::options::IpProtocol;
use crate::trace::debug;

/// Between the dials of a name's addresses (BOOT-13).
const ADDRESS_STAGGER: Duration = Duration::from_millis(250);

impl Engine {
    pub(super) fn dial(&mut self, index: u32) {
        let options = &self.config.options;
        let over_http = self.link(index).is_some_and(|link| link.errand.is_some());
        let timeout =
            options.http_connect_timeout.filter(|_| over_http).unwrap_or(options.kv_connect_timeout);
        let (now, deadline) = (self.now, self.after(timeout));
        let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else { return };
        link.started = now;
        link.deadline = deadline;
        link.bucket_refused = None;
        link.address = None;
        link.local = None;
        link.certificate_refused = false;
        link.notes.ident = None;
        link.notes.active = None;
        link.notes.suspicion = Suspicion::None;
        let endpoint = link.endpoint.clone();
        // A zone identifier belongs to the address that the resolver returns, so such a literal is looked up.
        if let Ok(ip) = endpoint.host.parse::<IpAddr>() {
            self.race(index, &[ip]);
            return;
        }
        self.lookup_serial += 1;
        let lookup = LookupId(self.lookup_serial);
        self.lookups.insert(lookup, index);
        if let Some(link) = self.link_mut(index) {
            link.phase = Phase::Resolving { lookup };
        }
        debug!(host = %endpoint.host, "looking up");
        self.outputs.push_back(Output::Lookup(Lookup { lookup, name: endpoint.host }));
        self.arm(index);
    }

    /// Dials the addresses of a name, families alternating (BOOT-13).
    pub(super) fn race(&mut self, index: u32, addresses: &[IpAddr]) {
        let wanted = self.config.options.ip_protocol;
        let Some(link) = self.link_mut(index) else { return };
        let port = link.endpoint.port;
        let usable = addresses.iter().filter(|address| match wanted {
            IpProtocol::Any => true,
            IpProtocol::ForceIpv4 => address.is_ipv4(),
            IpProtocol::ForceIpv6 => address.is_ipv6(),
        });
        let (first, second): (Vec<IpAddr>, Vec<IpAddr>) =
            usable.partition(|address| address.is_ipv4() == addresses[0].is_ipv4());
        let mut rest = VecDeque::with_capacity(first.len() + second.len());
        let (mut first, mut second) = (first.into_iter(), second.into_iter());
        loop {
            let pair = (first.next(), second.next());
            rest.extend([pair.0, pair.1].into_iter().flatten().map(|ip| SocketAddr::new(ip, port)));
            if pair == (None, None) {
                break;
            }
        }
        if rest.is_empty() {
            let text = format!("the name has no address that ip_protocol={wanted} allows");
            let failure = Failure { stage: Stage::Resolve, kind: ErrorKind::UnambiguousTimeout, text };
            let serial = link.serial;
            self.failing.push((index, serial, failure));
            return;
        }
        let now = self.now;
        if let Some(link) = self.link_mut(index) {
            link.phase = Phase::Dialing { attempts: Vec::new(), rest, next_at: now };
        }
        self.dial_next_address(index);
    }

    pub(super) fn dial_next_address(&mut self, index: u32) {
        let next_at = self.after(ADDRESS_STAGGER);
        let Some(link) = self.links.get_mut(index as usize).and_then(Option::as_deref_mut) else { return };
        if let Phase::Dialing { attempts, rest, next_at: at } = &mut link.phase
            && let Some(address) = rest.pop_front()
        {
            let conn = self.conns.open(index);
            attempts.push((conn, address));
            *at = next_at;
            link.address = Some(address);
            let options = &self.config.options;
            debug!(%conn, %address, "dialling");
            self.outputs.push_back(Output::Connect(Dial {
                conn,
                address,
                nodelay: options.tcp_nodelay,
                keepalive: options.enable_tcp_keep_alive.then_some(options.tcp_keep_alive_interval),
                user_timeout: Some(options.tcp_user_timeout).filter(|timeout| !timeout.is_zero()),
            }));
        }
        self.arm(index);
    }

    pub(super) fn on_looked_up(&mut self, lookup: LookupId, answer: Result<&[IpAddr], LookupError>) {
        let Some(index) = self.lookups.remove(&lookup) else { return };
        match self.link(index).map(|link| &link.phase) {
            Some(Phase::Resolving { lookup: asked }) if *asked == lookup => {}
            _ => return,
        }
        match answer {
            Ok(addresses) if !addresses.is_empty() => self.race(index, addresses),
            Ok(_) => self.fail_resolve(index, LookupError::NotFound),
            Err(error) => self.fail_resolve(index, error),
        }
    }

    pub(super) fn fail_resolve(&mut self, index: u32, error: LookupError) {
        let text = error.to_string();
        self.fail_link(index, Failure { stage: Stage::Resolve, kind: ErrorKind::UnambiguousTimeout, text });
    }

    pub(super) fn on_connected(&mut self, index: u32, conn: ConnId, local: Option<SocketAddr>) {
        let Some(link) = self.link_mut(index) else { return };
        let Phase::Dialing { attempts, .. } = &mut link.phase else { return };
        let others = std::mem::take(attempts);
        link.address = others.iter().find(|(other, _)| *other == conn).map(|&(_, address)| address);
        for (other, _) in others {
            if other != conn {
                self.hang_up(other);
            }
        }
        debug!(%conn, "connected");
        let (now, credentials) = (self.now, self.credentials);
        if let Some(link) = self.link_mut(index) {
            link.credentials = credentials;
        }
        self.tell_tls_the_time();
        let host = self.link(index).map(|link| link.endpoint.host.clone()).unwrap_or_default();
        let tls = match self.tls.as_ref().map(|profile| Secure::new(profile, &host)).transpose() {
            Ok(tls) => tls.map(Box::new),
            Err(failure) => {
                self.hang_up(conn);
                self.fail_tls(index, &failure);
                return;
            }
        };
        let open = tls.is_none();
        let app = match self.fetch(index) {
            Some(fetch) => App::Http(Box::new(fetch)),
            None => {
                let mut connection = Box::new(Connection::new(self.settings(index), now));
                // Behind TLS it begins with the end of that handshake.
                if open {
                    connection.connected(now);
                }
                App::Kv(connection)
            }
        };
        if let Some(link) = self.link_mut(index) {
            link.phase = Phase::Live { conn, tls, app };
            link.local = local;
            link.transmit_announced = false;
        }
        self.work_link(index);
    }

    pub(super) fn settings(&mut self, index: u32) -> Settings {
        let connection_id = self.entropy.hex_id();
        if let Some(link) = self.link_mut(index) {
            link.notes.ident = Some(connection_id.clone());
        }
        let nonces = (0..3).map(|_| self.entropy.nonce()).collect();
        let bucket = self.link(index).and_then(|link| link.bucket);
        let role = self.link(index).map(|link| link.role);
        let map = match bucket {
            Some(bucket) => self.buckets[bucket as usize].scope.map.as_ref(),
            None => self.cluster.map.as_ref(),
        };
        let is_member = matches!(role, Some(Role::Member));
        let known_config = map.filter(|_| is_member).and_then(|map| map.rev.known_version());
        // While the scope has no map every connection asks; later ones ask for a newer one, and where a version
        // cannot be named they leave it to the tracker (R-BOOT-6).
        let scope = bucket.map_or(ScopeId::Cluster, ScopeId::Bucket);
        let fetch_config =
            !self.is_over_http(scope) && (map.is_none() || !is_member || known_config.is_some());
        let takes_version = self.link(index).is_some_and(|link| link.takes_version);
        let options = &self.config.options;
        Settings {
            hello_key: self.config.hello_key(&self.instance_id, &connection_id),
            features: self.config.features(),
            authenticator: self.config.authenticator.clone(),
            tls: self.tls.is_some(),
            mechanisms: self.config.mechanisms.clone(),
            remembered: self.remembered,
            nonces,
            max_iterations: options.scram_max_iterations,
            bucket: bucket.map(|bucket| self.buckets[bucket as usize].name.clone()),
            fetch_config,
            known_config,
            takes_version,
            pipelined: self.config.pipelined,
            window: self.config.window,
            keep_alive: Some(options.kv_keep_alive_interval).filter(|interval| !interval.is_zero()),
        }
    }
}
