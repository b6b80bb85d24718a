//! memcached's own tools talk to memcached, and this codec sits between them.

use crate::program::{Memcached, find, run};
use crate::proxy::Proxy;
use settee::wire::Opcode;
use std::process::Command;

#[test]
fn memccapable_passes_through_the_codec() {
    let Some(tool) = find("memccapable") else { return };
    let Some(server) = Memcached::start() else { return };
    let proxy = Proxy::to(server.address);
    let output = run(Command::new(tool)
        .args(["-b", "-v", "-t", "5", "-h", "127.0.0.1", "-p"])
        .arg(proxy.address.port().to_string()));
    let log = proxy.finish();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(log.faults, [""; 0], "{text}");
    assert!(output.status.success() && text.contains("All tests passed"), "{text}");
    let tests = text.matches("[pass]").count();
    assert!(tests >= 27, "{tests} tests of the tool");
    assert!(log.requests > 150 && log.answers > 100, "{log:?}");
    for opcode in [
        Opcode::GET,
        Opcode::SET,
        Opcode::ADD,
        Opcode::REPLACE,
        Opcode::DELETE,
        Opcode::INCREMENT,
        Opcode::DECREMENT,
        Opcode::QUIT,
        Opcode::NOOP,
        Opcode::VERSION,
        Opcode::APPEND,
        Opcode::PREPEND,
        Opcode::STAT,
    ] {
        assert!(log.opcodes.contains(&opcode), "{opcode} did not occur");
    }
}

#[test]
fn memcstat_reads_statistics_through_the_codec() {
    let Some(tool) = find("memcstat") else { return };
    let Some(server) = Memcached::start() else { return };
    let proxy = Proxy::to(server.address);
    let output = run(Command::new(tool).arg("--binary").arg(format!("--servers={}", proxy.address)));
    let log = proxy.finish();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(log.faults, [""; 0], "{text}");
    assert!(output.status.success(), "{text}");
    assert!(text.lines().any(|line| line.trim() == "curr_items: 0"), "{text}");
    assert!(log.opcodes.contains(&Opcode::STAT) && log.answers > 20, "{log:?}");
}

#[test]
fn memcstat_logs_in_through_the_codec() {
    let Some(tool) = find("memcstat") else { return };
    let Some(server) = Memcached::start_with_user("tester", "interop", "secret") else { return };
    for (password, allowed) in [("secret", true), ("wrong", false)] {
        let proxy = Proxy::to(server.address);
        let output = run(Command::new(&tool)
            .args(["--binary", "--username=tester@interop"])
            .arg(format!("--password={password}"))
            .arg(format!("--servers={}", proxy.address)));
        let log = proxy.finish();
        assert_eq!(log.faults, [""; 0]);
        assert!(log.opcodes.contains(&Opcode::SASL_AUTH), "{log:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.contains("curr_items: 0"), allowed, "{text}");
    }
}
