//! Finding, starting and stopping programs.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// The path of a program, or `None` with a word on standard error that a test is left out.
///
/// # Panics
/// Where absence is a failure: `SETTEE_INTEROP=1`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        // Debian's places for daemons, which are not in everybody's PATH.
        .chain(["/usr/bin", "/usr/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("SETTEE_INTEROP").is_none_or(|value| value != "1"),
            "SETTEE_INTEROP=1, and the program {name} is not installed"
        );
        let test = thread::current().name().unwrap_or("a test").to_owned();
        // Not `eprintln!`, which the test harness keeps to itself when a test passes.
        let _ = writeln!(io::stderr(), "SKIPPED {test}: the program {name} is not installed");
    }
    found
}

/// A folder of its own for one test, emptied.
pub(crate) fn scratch() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("memcached-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A memcached on a loopback port that the kernel chose; ends when dropped.
pub(crate) struct Memcached {
    child: Child,
    folder: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Memcached {
    /// Starts one that lets everybody in, `None` if the program is not there.
    pub(crate) fn start() -> Option<Self> {
        Some(Self::spawn(&find("memcached")?, scratch(), &[]))
    }

    /// Starts one that asks for SASL PLAIN and knows one user, whose full name is `user@realm`.
    pub(crate) fn start_with_user(user: &str, realm: &str, password: &str) -> Option<Self> {
        let (memcached, saslpasswd) = (find("memcached")?, find("saslpasswd2")?);
        let folder = scratch();
        let users = folder.join("users");
        let config = format!("mech_list: plain\nsasldb_path: {}\n", users.display());
        std::fs::write(folder.join("memcached.conf"), config).unwrap();
        let mut add = Command::new(saslpasswd)
            .args(["-p", "-c", "-a", "memcached", "-u", realm, "-f"])
            .arg(&users)
            .arg(user)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        add.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        assert!(add.wait().unwrap().success(), "saslpasswd2 could not add a user");
        Some(Self::spawn(&memcached, folder, &["-S"]))
    }

    fn spawn(program: &Path, folder: PathBuf, arguments: &[&str]) -> Self {
        let ports = folder.join("ports");
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let mut child = Command::new(program)
            // As root it wants to be told whom to run as; the user's files are for the user alone.
            .args(["-u", String::from_utf8(user).unwrap().trim()])
            .args(["-B", "binary", "-l", "127.0.0.1", "-p", "-1", "-U", "0", "-t", "1"])
            .args(arguments)
            .env("MEMCACHED_PORT_FILENAME", &ports)
            .env("SASL_CONF_PATH", &folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let port = loop {
            // The file comes into being under another name, so it is read whole or not at all.
            let text = std::fs::read_to_string(&ports).unwrap_or_default();
            if let Some(port) = text.lines().find_map(|line| line.strip_prefix("TCP INET: ")) {
                break port.parse().unwrap();
            }
            assert!(child.try_wait().unwrap().is_none(), "memcached ended at once");
            assert!(start.elapsed() < PATIENCE, "memcached does not say its port");
            thread::sleep(Duration::from_millis(5));
        };
        Self { child, folder, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs a program to its end: what it wrote, and how it ended.
///
/// # Panics
/// If it takes too long; it is ended then.
pub(crate) fn run(command: &mut Command) -> Output {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{command:?} does not end: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}
