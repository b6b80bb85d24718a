//! Where the system's name servers are, for SRV look-ups (CS-27).

use settee::dns::ResolverConfig;

/// The name servers of `/etc/resolv.conf`; `None` where there is no such file, or it cannot be read (Windows among them):
/// the engine then asks no SRV questions but says so.
///
/// It reads a file, so it is to be called where that may block for a moment: at the start, not in the loop.
pub fn system_resolver() -> Option<ResolverConfig> {
    #[cfg(unix)]
    {
        let text = std::fs::read("/etc/resolv.conf").ok()?;
        Some(unix::parse(&text, unix::interface_index))
    }
    #[cfg(not(unix))]
    None
}

#[cfg(unix)]
mod unix {
    use resolv_conf::{Config, ScopedIp};
    use settee::dns::ResolverConfig;
    use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6};
    use std::time::Duration;

    const PORT: u16 = 53;
    /// The limits of glibc, `resolv.conf(5)`: so many servers, seconds and rounds at most.
    const MAX_SERVERS: usize = 3;
    const MAX_TIMEOUT: u32 = 30;
    const MAX_ATTEMPTS: u32 = 5;

    /// What the file says. As for the system's own resolver, a line that cannot be read does not spoil the others, and
    /// without any server the local machine is asked. `index` finds the number of a network interface by its name.
    pub(super) fn parse(text: &[u8], index: impl Fn(&str) -> Option<u32>) -> ResolverConfig {
        let (config, _) = Config::parse_with_errors(text);
        let servers = config.nameservers.iter().filter_map(|server| socket_address(server, &index));
        let mut resolver = ResolverConfig::new(servers.take(MAX_SERVERS).collect());
        if config.nameservers.is_empty() {
            resolver.servers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        resolver.timeout = Duration::from_secs(config.timeout.clamp(1, MAX_TIMEOUT).into());
        resolver.attempts = config.attempts.clamp(1, MAX_ATTEMPTS);
        resolver.rotate = config.rotate;
        resolver
    }

    /// `None` where the zone of a link-local address names no interface that is there: nothing could be sent to it.
    fn socket_address(server: &ScopedIp, index: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
        Some(match server {
            ScopedIp::V4(address) => (*address, PORT).into(),
            ScopedIp::V6(address, None) => (*address, PORT).into(),
            ScopedIp::V6(address, Some(zone)) => {
                let scope = zone.parse().ok().or_else(|| index(zone))?;
                SocketAddrV6::new(*address, PORT, 0, scope).into()
            }
        })
    }

    /// As Linux tells it; elsewhere only numbers are understood as zones.
    pub(super) fn interface_index(name: &str) -> Option<u32> {
        // The parser lets letters and digits through, so this stays within the folder.
        std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?.trim().parse().ok()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn read(text: &str) -> ResolverConfig {
            parse(text.as_bytes(), |name| (name == "eth0").then_some(7))
        }

        fn servers(text: &str) -> Vec<String> {
            read(text).servers.iter().map(ToString::to_string).collect()
        }

        #[test]
        fn servers_in_order_with_the_port_of_dns() {
            let text = "# by hand\nsearch example.com\nnameserver 10.0.0.2\nnameserver 2001:db8::1 \n";
            assert_eq!(servers(text), ["10.0.0.2:53", "[2001:db8::1]:53"]);
            let config = read(text);
            assert_eq!((config.timeout, config.attempts, config.rotate), (Duration::from_secs(5), 2, false));
        }

        #[test]
        fn zones_are_numbers_or_names_of_interfaces() {
            let text = "nameserver fe80::1%3\nnameserver fe80::2%eth0\nnameserver fe80::3%gone0\n";
            let config = read(text);
            let scopes: Vec<_> = config
                .servers
                .iter()
                .map(|server| match server {
                    SocketAddr::V6(server) => server.scope_id(),
                    SocketAddr::V4(_) => panic!("an IPv6 address"),
                })
                .collect();
            assert_eq!(scopes, [3, 7], "an interface that is not there is left out");
        }

        #[test]
        fn options_within_the_systems_limits() {
            let config = read("nameserver 10.0.0.2\noptions timeout:1 attempts:4 rotate edns0 unheard-of\n");
            assert_eq!((config.timeout, config.attempts, config.rotate), (Duration::from_secs(1), 4, true));
            let config = read("options timeout:0 attempts:0");
            assert_eq!((config.timeout, config.attempts), (Duration::from_secs(1), 1));
            let config = read("options timeout:4294967295 attempts:4294967295");
            assert_eq!((config.timeout, config.attempts), (Duration::from_secs(30), 5));
        }

        #[test]
        fn a_fourth_server_is_not_asked() {
            let text = "nameserver 10.0.0.1\n".to_owned() + &"nameserver 10.0.0.2\n".repeat(5);
            assert_eq!(servers(&text).len(), 3);
        }

        #[test]
        fn bad_lines_do_not_spoil_the_others() {
            let text =
                "nameserver\nnameserver nonsense\nwhat is this\nnameserver 10.0.0.3\noptions timeout:x\n";
            assert_eq!(servers(text), ["10.0.0.3:53"]);
            let text = b"search \xff\xfe\nnameserver 10.0.0.4\n";
            assert_eq!(parse(text, |_| None).servers, [SocketAddr::from(([10, 0, 0, 4], 53))]);
        }

        #[test]
        fn without_servers_the_local_machine_is_asked() {
            assert_eq!(servers(""), ["127.0.0.1:53"]);
        }

        #[test]
        fn the_systems_own_file_can_be_read() {
            match super::super::system_resolver() {
                Some(config) => assert!(config.servers.len() <= 3 && config.attempts >= 1),
                None => eprintln!("skipped: no /etc/resolv.conf here"),
            }
        }
    }
}
