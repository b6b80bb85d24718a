//! Control operations: HELLO, SASL, bucket selection, maps, error map, manifests, statistics
//! (`kv-protocol.md` 2.7, 2.10, 4, 6, 7; `connecting.md` 4.1).

use super::{Session, encode_duration, only};
use crate::bucket::BucketKind;
use crate::cluster::State;
use crate::errmap;
use crate::features::Features;
use crate::node::NodeState;
use crate::posture::Posture;
use crate::request::{Failure, invalid, u32_at, u64_at};
use crate::sasl::{Mechanism, Step};
use crate::session::Closing;
use crate::store::{JSON, SNAPPY};
use crate::{NodeId, leb128};
use settee::wire::{Frame, Opcode, Status};

impl Session {
    pub(super) fn control(&mut self, state: &mut State, frame: &Frame<'_>) -> Result<(), Failure> {
        let opcode = frame.header.opcode;
        if !frame.framing_extras.is_empty() {
            crate::request::frame_infos(opcode, frame.framing_extras)?;
        }
        // A bucket without data engine leaves hardly anything to do on its connections (`cluster-maps.md` 8.1).
        if self.is_config_only(state)
            && !matches!(
                opcode,
                Opcode::HELLO | Opcode::GET_ERROR_MAP | Opcode::GET_CLUSTER_CONFIG | Opcode::SELECT_BUCKET
            )
        {
            return Err(Status::ECONFIG_ONLY.into());
        }
        if self.by_certificate
            && matches!(opcode, Opcode::SASL_LIST_MECHS | Opcode::SASL_AUTH | Opcode::SASL_STEP)
        {
            return Err(Status::NOT_SUPPORTED.into());
        }
        match opcode {
            Opcode::HELLO => self.hello(state, frame),
            Opcode::SASL_LIST_MECHS => {
                only(frame, false, false)?;
                let offered = state.settings.mechanisms.iter().filter(|mechanism| self.offers(**mechanism));
                let names: Vec<&str> = offered.map(|mechanism| mechanism.name()).collect();
                self.reply(frame, Status::SUCCESS, 0, 0, &[], names.join(" ").as_bytes());
                Ok(())
            }
            Opcode::SASL_AUTH => self.sasl_auth(state, frame),
            Opcode::SASL_STEP => self.sasl_step(state, frame),
            Opcode::GET_ERROR_MAP => self.error_map(state, frame),
            Opcode::SELECT_BUCKET => self.select_bucket(state, frame),
            Opcode::GET_CLUSTER_CONFIG => self.cluster_config(state, frame),
            Opcode::NOOP => {
                only(frame, false, false)?;
                self.reply(frame, Status::SUCCESS, 0, 0, &[], &[]);
                Ok(())
            }
            Opcode::VERSION => {
                only(frame, false, false)?;
                self.reply(frame, Status::SUCCESS, 0, 0, &[], state.settings.version.as_bytes());
                Ok(())
            }
            Opcode::QUIT => {
                self.reply(frame, Status::SUCCESS, 0, 0, &[], &[]);
                self.closing = Closing::AfterOutput;
                Ok(())
            }
            Opcode::LIST_BUCKETS => {
                only(frame, false, false)?;
                self.authenticated()?;
                let user = self.user.as_deref().unwrap_or_default();
                let buckets = state.buckets.iter().filter(|b| !b.dropped).map(|b| b.name.as_str());
                let names: Vec<&str> = buckets.filter(|name| state.users.may_use(user, name)).collect();
                self.reply(frame, Status::SUCCESS, 0, 0, &[], names.join(" ").as_bytes());
                Ok(())
            }
            Opcode::STAT => self.stat(state, frame),
            Opcode::COLLECTIONS_GET_MANIFEST
            | Opcode::COLLECTIONS_GET_ID
            | Opcode::COLLECTIONS_GET_SCOPE_ID
                if self.posture >= Posture::V7_2 =>
            {
                self.collections(state, frame)
            }
            Opcode::GET_RANDOM_KEY => self.random_key(state, frame),
            Opcode::OBSERVE_SEQNO => self.observe_seqno(state, frame),
            Opcode::GET_FAILOVER_LOG => self.failover_log(state, frame),
            Opcode::GET_ALL_VB_SEQNOS => self.vbucket_seqnos(state, frame),
            _ => Err(Status::UNKNOWN_COMMAND.into()),
        }
    }

    fn is_config_only(&self, state: &State) -> bool {
        self.bucket
            .and_then(|bucket| state.buckets.get(bucket))
            .is_some_and(|bucket| bucket.config_only.contains(&self.node))
    }

    fn hello(&mut self, state: &State, frame: &Frame<'_>) -> Result<(), Failure> {
        if frame.key.len() > 250 || !frame.extras.is_empty() || !frame.value.len().is_multiple_of(2) {
            return Err(invalid("HELLO"));
        }
        let asked = frame.value.chunks_exact(2).fold(Features::NONE, |set, code| match code {
            [high, low] => set.with(u16::from_be_bytes([*high, *low])),
            _ => set,
        });
        let offered = state.nodes.get(self.node.0).map_or(Features::NONE, |node| node.features);
        let granted = Features::negotiate(asked, offered)
            .map_err(|context| Failure::Explained(Status::EINVAL, context))?;
        let value: Vec<u8> = granted.codes().flat_map(u16::to_be_bytes).collect();
        // Each HELLO replaces what earlier ones granted; its own answer still has the form of before.
        let duration =
            granted.has(Features::TRACING).then(|| encode_duration(state.settings.server_duration));
        self.reply(frame, Status::SUCCESS, 0, 0, &[], &value);
        self.duration = duration;
        self.features = granted;
        if granted.has(Features::SNAPPY_EVERYWHERE) {
            self.features = granted.with(Features::SNAPPY);
        }
        Ok(())
    }

    fn sasl_auth(&mut self, state: &mut State, frame: &Frame<'_>) -> Result<(), Failure> {
        if !frame.extras.is_empty() || frame.header.datatype != 0 {
            return Err(invalid("SASL_AUTH"));
        }
        if self.exchange.take().is_some() {
            return Err(invalid("SASL_STEP is due"));
        }
        let offered = Mechanism::from_name(frame.key)
            .filter(|mechanism| state.settings.mechanisms.contains(mechanism) && self.offers(*mechanism));
        let Some(mechanism) = offered else {
            return Err(Failure::Explained(Status::AUTH_ERROR, "Unsupported mechanism".to_owned()));
        };
        // The first message of an exchange ends the authentication before it.
        self.user = None;
        self.token = None;
        let step = state.users.begin(mechanism, frame.value, state.clock.unix_secs());
        self.sasl_outcome(state, frame, step)
    }

    /// Whether a mechanism is for this kind of connection.
    fn offers(&self, mechanism: Mechanism) -> bool {
        self.tls || mechanism != Mechanism::OauthBearer
    }

    fn sasl_step(&mut self, state: &State, frame: &Frame<'_>) -> Result<(), Failure> {
        let exchange = self.exchange.take().ok_or_else(|| invalid("no SASL exchange"))?;
        if frame.key != exchange.mechanism.name().as_bytes() || !frame.extras.is_empty() {
            return Err(invalid("another mechanism than before"));
        }
        let step = exchange.step(frame.value);
        self.sasl_outcome(state, frame, step)
    }

    fn sasl_outcome(&mut self, state: &State, frame: &Frame<'_>, step: Step) -> Result<(), Failure> {
        let (user, payload) = match step {
            Step::Done(user, payload) => (user, payload),
            Step::DoneByToken(user, token) => {
                self.token = Some(token);
                (user, Vec::new())
            }
            Step::Continue(exchange, payload) => {
                self.exchange = Some(exchange);
                self.reply(frame, Status::AUTH_CONTINUE, 0, 0, &[], &payload);
                return Ok(());
            }
            Step::Denied => {
                return Err(Failure::Explained(Status::AUTH_ERROR, "Authentication failed".to_owned()));
            }
            Step::Malformed => return Err(invalid("malformed SASL payload")),
        };
        // Who authenticates anew keeps the bucket as far as the rights allow (`kv-protocol.md` 4.5).
        let bucket = self.bucket.and_then(|bucket| state.buckets.get(bucket));
        if bucket.is_some_and(|bucket| !state.users.may_use(&user, &bucket.name)) {
            self.unbind();
        }
        self.user = Some(user);
        self.reply(frame, Status::SUCCESS, 0, 0, &[], &payload);
        Ok(())
    }

    fn error_map(&mut self, state: &State, frame: &Frame<'_>) -> Result<(), Failure> {
        if !state.settings.error_map {
            return Err(Status::UNKNOWN_COMMAND.into());
        }
        let version: Option<[u8; 2]> = frame.value.try_into().ok();
        let (Some(version), true, true) =
            (version, frame.key.is_empty(), frame.header.vbucket_or_status == 0)
        else {
            return Err(invalid("GET_ERROR_MAP"));
        };
        let best = self.posture.error_map_version();
        let text = errmap::text(u16::from_be_bytes(version).min(best)).ok_or_else(|| invalid("version"))?;
        self.reply(frame, Status::SUCCESS, 0, self.json(), &[], text.as_bytes());
        Ok(())
    }

    fn select_bucket(&mut self, state: &State, frame: &Frame<'_>) -> Result<(), Failure> {
        only(frame, true, false)?;
        self.authenticated()?;
        let user = self.user.as_deref().unwrap_or_default();
        let found = state.buckets.iter().position(|bucket| {
            !bucket.dropped && bucket.name.as_bytes() == frame.key && state.users.may_use(user, &bucket.name)
        });
        // Selecting anything but an existing bucket leaves the connection without one.
        self.unbind();
        let Some(index) = found else {
            return Err(Failure::Explained(Status::EACCESS, "no such bucket, or no access to it".to_owned()));
        };
        let Some(bucket) = state.buckets.get(index) else { return Err(Status::KEY_ENOENT.into()) };
        if let Some(hibernation) = &bucket.hibernation {
            return Err(Failure::Explained(hibernation.status, "the bucket is paused".to_owned()));
        }
        if bucket.absent.contains(&self.node) {
            return Err(Status::KEY_ENOENT.into());
        }
        if bucket.kind == BucketKind::Memcached && self.features.has(Features::COLLECTIONS) {
            return Err(Failure::Explained(
                Status::NOT_SUPPORTED,
                "the bucket type cannot do collections".to_owned(),
            ));
        }
        self.bucket = Some(index);
        self.reply(frame, Status::SUCCESS, 0, 0, &[], &[]);
        Ok(())
    }

    fn cluster_config(&mut self, state: &mut State, frame: &Frame<'_>) -> Result<(), Failure> {
        if !frame.key.is_empty() || !frame.value.is_empty() || !matches!(frame.extras.len(), 0 | 16) {
            return Err(invalid("GET_CLUSTER_CONFIG"));
        }
        self.authenticated()?;
        let known = if frame.extras.is_empty() {
            None
        } else if self.posture < Posture::V7_6 {
            return Err(invalid("GET_CLUSTER_CONFIG takes no extras"));
        } else {
            let known = (u64_at(frame.extras, 0).cast_signed(), u64_at(frame.extras, 8).cast_signed());
            if known.1 < 1 || (known.0 < 1 && known.0 != -1) {
                return Err(invalid("known version"));
            }
            Some(known)
        };
        let bucket = self.bucket;
        let found = bucket.and_then(|bucket| state.buckets.get(bucket));
        // Maps of memcached buckets are given out over HTTP alone (D3).
        if found.is_some_and(|bucket| bucket.kind == BucketKind::Memcached) {
            return Err(Status::KEY_ENOENT.into());
        }
        // Before 6.5 there is no map without a bucket (`connecting.md` 4.4).
        if bucket.is_none() && !self.posture.has_cluster_config() {
            return Err(Status::NO_BUCKET.into());
        }
        let user = self.user.as_deref().unwrap_or_default();
        if bucket.is_none() && !state.users.may_see_cluster(user) {
            return Err(Failure::Explained(Status::EACCESS, "no right to read the cluster's map".to_owned()));
        }
        let rendered = match bucket {
            Some(bucket) => state.bucket_config(bucket, self.node),
            None => state.global_config(self.node),
        }
        .ok_or(Failure::Status(Status::KEY_ENOENT))?;
        let version = (rendered.epoch, rendered.rev);
        let newer = known.is_none_or(|known| version > known);
        // Any answer counts as delivery, an empty one too: of what the client says it has, if that is newer.
        if bucket.is_some() {
            let raised = known.map_or(version, |known| known.max(version));
            self.delivered = self.delivered.max(raised);
        }
        let (datatype, body) = if newer { self.config_body(rendered) } else { (0, &[][..]) };
        self.reply(frame, Status::SUCCESS, 0, datatype, &[], body);
        Ok(())
    }

    fn stat(&mut self, state: &State, frame: &Frame<'_>) -> Result<(), Failure> {
        only(frame, true, false)?;
        self.authenticated()?;
        if !frame.key.is_empty() {
            return Err(Status::KEY_ENOENT.into());
        }
        let items = self.bucket.and_then(|bucket| state.buckets.get(bucket)).map_or(0, |b| b.items());
        let node = state.nodes.get(self.node.0);
        let paused = node.is_some_and(|node| node.state == NodeState::Paused);
        let requests: u64 = node.map_or(0, |node| node.requests.iter().sum());
        let stats = [
            ("pid", "1".to_owned()),
            ("uptime", state.clock.uptime().as_secs().to_string()),
            ("time", state.clock.unix_secs().to_string()),
            ("version", state.settings.version.clone()),
            ("curr_items", items.to_string()),
            ("cmd_total_ops", requests.to_string()),
            ("cmd_misrouted", node.map_or(0, |node| node.misrouted).to_string()),
            ("paused", u8::from(paused).to_string()),
        ];
        for (key, value) in stats {
            self.reply_with_key(frame, Status::SUCCESS, 0, 0, &[], key.as_bytes(), value.as_bytes());
        }
        self.reply(frame, Status::SUCCESS, 0, 0, &[], &[]);
        Ok(())
    }

    fn collections(&mut self, state: &State, frame: &Frame<'_>) -> Result<(), Failure> {
        if !frame.extras.is_empty() || frame.header.vbucket_or_status != 0 {
            return Err(invalid("collections"));
        }
        let bucket = self.selected()?;
        let collections = &state.buckets.get(bucket).ok_or(Failure::Status(Status::NO_BUCKET))?.collections;
        let opcode = frame.header.opcode;
        if opcode == Opcode::COLLECTIONS_GET_MANIFEST {
            let manifest = collections.manifest().to_string();
            self.reply(frame, Status::SUCCESS, 0, self.json(), &[], manifest.as_bytes());
            return Ok(());
        }
        // The path is the value; the earliest builds took it as key.
        let path = if frame.value.is_empty() { frame.key } else { frame.value };
        let resolved = if opcode == Opcode::COLLECTIONS_GET_ID {
            collections.resolve(path)
        } else {
            collections.resolve_scope(path)
        };
        let id = resolved.map_err(|status| match status {
            Status::UNKNOWN_COLLECTION | Status::UNKNOWN_SCOPE => {
                Failure::Manifest(status, collections.uid())
            }
            status => Failure::Status(status),
        })?;
        let mut extras = [0; 12];
        extras[..8].copy_from_slice(&collections.uid().to_be_bytes());
        extras[8..].copy_from_slice(&id.to_be_bytes());
        self.reply(frame, Status::SUCCESS, 0, 0, &extras, &[]);
        Ok(())
    }

    fn random_key(&mut self, state: &State, frame: &Frame<'_>) -> Result<(), Failure> {
        if !frame.key.is_empty() || !frame.value.is_empty() || !matches!(frame.extras.len(), 0 | 4) {
            return Err(invalid("GET_RANDOM_KEY"));
        }
        let bucket = self.selected()?;
        let bucket = state.buckets.get(bucket).ok_or(Failure::Status(Status::NO_BUCKET))?;
        let collection = u32_at(frame.extras, 0);
        if !bucket.collections.contains(collection) {
            return Err(Failure::Manifest(Status::UNKNOWN_COLLECTION, bucket.collections.uid()));
        }
        let mut prefix = Vec::with_capacity(5);
        leb128::encode(collection, &mut prefix);
        let (key, doc) = bucket
            .any_document(self.node, &prefix, &state.clock)
            .ok_or(Failure::Status(Status::KEY_ENOENT))?;
        let with_prefix = self.features.has(Features::COLLECTIONS);
        let key = if with_prefix { key } else { key.get(prefix.len()..).unwrap_or_default() };
        let plain =
            crate::store::inflate(&doc.value, doc.datatype).ok_or(Failure::Status(Status::EINTERNAL))?;
        let datatype = doc.datatype & !SNAPPY & if self.json() == 0 { !JSON } else { u8::MAX };
        let (flags, cas) = (doc.flags.to_be_bytes(), doc.visible_cas(&state.clock));
        self.reply_with_key(frame, Status::SUCCESS, cas, datatype, &flags, key, &plain);
        Ok(())
    }

    /// The selected bucket and the vbucket in the header, which must have a copy on this node.
    fn vbucket_copy<'s>(
        &self,
        state: &'s State,
        frame: &Frame<'_>,
    ) -> Result<&'s crate::store::Vbucket, Failure> {
        let bucket = self.selected()?;
        let bucket = state.buckets.get(bucket).ok_or(Failure::Status(Status::NO_BUCKET))?;
        if bucket.kind == BucketKind::Memcached {
            return Err(Status::NOT_SUPPORTED.into());
        }
        let vbucket = frame.header.vbucket_or_status;
        if !bucket.is_active(vbucket, self.node) && !bucket.is_replica(vbucket, self.node) {
            return Err(Failure::NotMyVbucket);
        }
        bucket.vbuckets.get(usize::from(vbucket)).ok_or(Failure::NotMyVbucket)
    }

    fn observe_seqno(&mut self, state: &State, frame: &Frame<'_>) -> Result<(), Failure> {
        if frame.value.len() != 8 || !frame.key.is_empty() || !frame.extras.is_empty() {
            return Err(invalid("OBSERVE_SEQNO"));
        }
        let vbucket = self.vbucket_copy(state, frame)?;
        let asked = u64_at(frame.value, 0);
        let (uuid, seqno) = (vbucket.uuid(), vbucket.high_seqno().to_be_bytes());
        // The branch after the one asked for began where that one ended.
        let branch = vbucket
            .failover_log
            .iter()
            .position(|(uuid, _)| *uuid == asked)
            .ok_or(Failure::Status(Status::KEY_ENOENT))?;
        let mut body = vec![u8::from(branch > 0)];
        body.extend_from_slice(&frame.header.vbucket_or_status.to_be_bytes());
        body.extend_from_slice(&uuid.to_be_bytes());
        body.extend_from_slice(&seqno);
        body.extend_from_slice(&seqno);
        if let Some((_, began)) = branch.checked_sub(1).and_then(|next| vbucket.failover_log.get(next)) {
            body.extend_from_slice(&asked.to_be_bytes());
            body.extend_from_slice(&began.to_be_bytes());
        }
        self.reply(frame, Status::SUCCESS, 0, 0, &[], &body);
        Ok(())
    }

    fn failover_log(&mut self, state: &State, frame: &Frame<'_>) -> Result<(), Failure> {
        only(frame, false, false)?;
        let vbucket = self.vbucket_copy(state, frame)?;
        let body: Vec<u8> = vbucket
            .failover_log
            .iter()
            .flat_map(|(uuid, seqno)| [uuid.to_be_bytes(), seqno.to_be_bytes()])
            .flatten()
            .collect();
        self.reply(frame, Status::SUCCESS, 0, 0, &[], &body);
        Ok(())
    }

    /// Of the active vbuckets by default and for state 1, of the replicas for state 2.
    fn vbucket_seqnos(&mut self, state: &State, frame: &Frame<'_>) -> Result<(), Failure> {
        if !frame.key.is_empty() || !frame.value.is_empty() || !matches!(frame.extras.len(), 0 | 4) {
            return Err(invalid("GET_ALL_VB_SEQNOS"));
        }
        let bucket = self.selected()?;
        let bucket = state.buckets.get(bucket).ok_or(Failure::Status(Status::NO_BUCKET))?;
        if bucket.kind == BucketKind::Memcached {
            return Err(Status::NOT_SUPPORTED.into());
        }
        let (node, wanted): (NodeId, u32) = (self.node, u32_at(frame.extras, 0));
        let here = |vbucket: u16| match wanted {
            0 => bucket.is_active(vbucket, node) || bucket.is_replica(vbucket, node),
            1 => bucket.is_active(vbucket, node),
            2 => bucket.is_replica(vbucket, node),
            _ => false,
        };
        let mut body = Vec::new();
        for (id, vbucket) in (0_u16..).zip(&bucket.vbuckets).filter(|(id, _)| here(*id)) {
            body.extend_from_slice(&id.to_be_bytes());
            body.extend_from_slice(&vbucket.high_seqno().to_be_bytes());
        }
        self.reply(frame, Status::SUCCESS, 0, 0, &[], &body);
        Ok(())
    }
}
