//! A blocking key-value connection, just enough of one for the floor of `bench`: it is opened, authenticated, bound to
//! a bucket, and asked for the map.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use settee::auth::{
    Authenticator, Exchange, Mechanism, PasswordAuthenticator, PasswordHasher, Progress, SaslReply,
};
use settee::connstr;
use settee::ids::Opaque;
use settee::map::{self, ClusterMap};
use settee::options::{self, Options};
use settee::wire::{Encode, Feature, FeatureSet, Frame, Opcode, Status};

use crate::connection::Login;
use crate::failure::Failure;

/// No frame of a benchmark is larger.
const MAX_BODY: u32 = 64 * 1024 * 1024;
/// How long a peer may keep silent, or leave bytes unread.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open connection to one node of a bucket.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) map: ClusterMap,
}

/// Connects to the first seed that answers.
pub(super) fn open(
    connection_string: &str,
    login: &Login,
    bucket: Option<&str>,
) -> Result<Connection, Failure> {
    let connstr = connstr::parse(connection_string).map_err(Failure::usage)?;
    let resolved = options::resolve(&connstr, Options::default()).map_err(Failure::usage)?;
    if resolved.tls {
        return Err(Failure::usage("the floor is measured without TLS: write couchbase://"));
    }
    let bucket = bucket.or(resolved.bucket.as_deref()).unwrap_or("default");
    let mut last = Failure::no_connection("no seed has a key-value port");
    for seed in &resolved.seeds {
        let Some(port) = seed.kv else { continue };
        let host = seed.host.to_string();
        match dial(&host, port) {
            Ok(stream) => return shake_hands(stream, &host, login, bucket),
            Err(error) => last = Failure::no_connection(format!("{host}:{port}: {error}")),
        }
    }
    Err(last)
}

fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn shake_hands(stream: TcpStream, host: &str, login: &Login, bucket: &str) -> Result<Connection, Failure> {
    let mut calls = Calls { stream, received: Vec::new() };
    let mut features = FeatureSet::EMPTY;
    for feature in [Feature::XERROR, Feature::SELECT_BUCKET, Feature::JSON] {
        features.insert(feature);
    }
    calls.call(Opcode::HELLO, b"settee-bench", &features.encode())?.success("HELLO")?;
    authenticate(&mut calls, login)?;
    calls.call(Opcode::SELECT_BUCKET, bucket.as_bytes(), b"")?.success("SELECT_BUCKET")?;
    let config = calls.call(Opcode::GET_CLUSTER_CONFIG, b"", b"")?.success("GET_CLUSTER_CONFIG")?;
    let map = map::parse(&config, host).map_err(Failure::no_connection)?;
    Ok(Connection { stream: calls.stream, map })
}

fn authenticate(calls: &mut Calls, login: &Login) -> Result<(), Failure> {
    let listed = calls.call(Opcode::SASL_LIST_MECHS, b"", b"")?.success("SASL_LIST_MECHS")?;
    let offered = |mechanism: &Mechanism| {
        let mut names = listed.split(u8::is_ascii_whitespace);
        names.any(|name| name == mechanism.name().as_bytes())
    };
    // Without TLS a password is not sent readable.
    let scram = Mechanism::ALL.into_iter().filter(|mechanism| mechanism.scram_hash().is_some()).find(offered);
    let mechanism = scram.ok_or_else(|| Failure::no_connection("the server offers no SCRAM mechanism"))?;
    let password = PasswordAuthenticator::new(login.username.as_str(), login.password.as_str())
        .map_err(Failure::no_connection)?;
    let nonce = nonce()?;
    let mut exchange = Exchange::start(&Authenticator::Password(password.clone()), mechanism, || nonce)
        .map_err(Failure::no_connection)?;
    let name = mechanism.name().as_bytes();
    let first = exchange.initial_response().to_vec();
    let mut answer = calls.call(Opcode::SASL_AUTH, name, &first)?;
    loop {
        let reply = SaslReply::from_status(answer.status.0);
        let max_iterations = Options::default().scram_max_iterations;
        match exchange.on_reply(reply, &answer.value, max_iterations).map_err(Failure::no_connection)? {
            Progress::Authenticated => return Ok(()),
            Progress::Rejected(_) => {
                return Err(Failure::no_connection("the server refuses the user or its password"));
            }
            Progress::Salt(request) => {
                let mut hasher = PasswordHasher::new(&password, &request);
                while !hasher.run(u32::MAX) {}
                let salted = hasher.finish().map_err(Failure::no_connection)?;
                let last = exchange.client_final(&salted).map_err(Failure::no_connection)?;
                answer = calls.call(Opcode::SASL_STEP, name, &last)?;
            }
        }
    }
}

fn nonce() -> Result<String, Failure> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::no_connection(format!("the operating system gives no random bytes: {error}"))
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Requests one by one, each answered before the next.
struct Calls {
    stream: TcpStream,
    received: Vec<u8>,
}

struct Answer {
    status: Status,
    value: Vec<u8>,
}

impl Answer {
    fn success(self, what: &str) -> Result<Vec<u8>, Failure> {
        if self.status == Status::SUCCESS {
            return Ok(self.value);
        }
        Err(Failure::no_connection(format!("{what}: the server answered {}", self.status)))
    }
}

impl Calls {
    fn call(&mut self, opcode: Opcode, key: &[u8], value: &[u8]) -> Result<Answer, Failure> {
        let mut request = Vec::new();
        Encode { key, ..Encode::request(opcode, Opaque(0)) }
            .emit(value, &mut request)
            .map_err(Failure::usage)?;
        let lost = |error: io::Error| Failure::no_connection(format!("{opcode}: {error}"));
        self.stream.write_all(&request).map_err(lost)?;
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some((frame, len)) =
                Frame::parse(&self.received, MAX_BODY).map_err(Failure::no_connection)?
            {
                let answer = Answer { status: frame.header.status(), value: frame.value.to_vec() };
                self.received.drain(..len);
                return Ok(answer);
            }
            match self.stream.read(&mut buffer).map_err(lost)? {
                0 => return Err(lost(io::ErrorKind::UnexpectedEof.into())),
                count => self.received.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
        }
    }
}
