//! Whose process is at the other end of a connection on this machine.

use std::net::SocketAddr;

/// Whether the process that has the socket at `peer` is known to be another user's, neither the console's nor root's. On
/// Linux only, and only for connections from this machine. May block.
pub(crate) fn is_another_user(peer: SocketAddr) -> bool {
    linux::user_of(peer).zip(linux::own_user()).is_some_and(|(other, own)| other != own && other != 0)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        fs,
        net::{IpAddr, Ipv4Addr, SocketAddr},
        os::unix::fs::MetadataExt as _,
    };

    pub(super) fn own_user() -> Option<u32> {
        fs::metadata("/proc/self").ok().map(|process| process.uid())
    }

    /// The user of a socket of this machine, by the kernel's tables of them.
    pub(super) fn user_of(peer: SocketAddr) -> Option<u32> {
        let ip = peer.ip().to_canonical();
        // A socket of IPv6 may have an IPv4 address.
        let tables = [("/proc/net/tcp", ip), ("/proc/net/tcp6", to_six(ip))];
        tables.into_iter().find_map(|(table, ip)| find(&fs::read_to_string(table).ok()?, ip, peer.port()))
    }

    fn to_six(ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(ip) => Ipv4Addr::to_ipv6_mapped(&ip).into(),
            six => six,
        }
    }

    /// The user of the socket with this local address: the eighth word of its line (proc_pid_net(5)).
    pub(super) fn find(table: &str, ip: IpAddr, port: u16) -> Option<u32> {
        let octets = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        // Words of 32 bits in the machine's order of bytes, in hexadecimal digits.
        let words = octets.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        let wanted = words.map(|word| format!("{word:08X}")).collect::<String>() + &format!(":{port:04X}");
        let mut lines = table.lines().skip(1).map(|line| line.split_ascii_whitespace());
        lines.find_map(|mut words| (words.nth(1)? == wanted).then(|| words.nth(5)?.parse().ok()).flatten())
    }
}

#[cfg(not(target_os = "linux"))]
mod linux {
    pub(super) fn own_user() -> Option<u32> {
        None
    }

    pub(super) fn user_of(_: std::net::SocketAddr) -> Option<u32> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_user_of_a_connection_is_found() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // Not every machine has IPv6.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
            assert_eq!(linux::user_of(peer), linux::own_user());
            assert!(linux::own_user().is_some() && !is_another_user(peer));
        }
        assert_eq!(linux::user_of("127.0.0.1:0".parse().unwrap()), None);
        assert!(!is_another_user("192.0.2.1:5".parse().unwrap()));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n   \
            1: 0100007F:C350 0100007F:1F91 01 00000000:00000000 00:00000000 00000000  1001        0 2 1\n";
        let at = |port| linux::find(table, "127.0.0.1".parse().unwrap(), port);
        assert_eq!((at(50_000), at(8081), at(1)), (Some(1001), Some(0), None));
        let six = "x\n 0: 00000000000000000000000001000000:C350 0:0 01 0:0 0:0 0 1002 0 2\n";
        assert_eq!(linux::find(six, "::1".parse().unwrap(), 50_000), Some(1002));
        for torn in ["", "x", "x\n 0:", "x\n 0: 0100007F:C350", "x\n 0: 0100007F:C350 a b c d e f"] {
            assert_eq!(linux::find(torn, "127.0.0.1".parse().unwrap(), 50_000), None, "{torn}");
        }
    }
}
