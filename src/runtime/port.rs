//! Who holds a UDP port: names the process, so that two DHCP servers do not fight silently.

use std::{fmt, fs, path::Path};

/// A socket that keeps us from a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub uid: u32,
    /// `None`: we may not look into that process, or it lives in another container.
    pub process: Option<Process>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some(process) => write!(f, "{} (process {})", process.name, process.pid),
            None => write!(f, "a process of user {} that cannot be looked into from here", self.uid),
        }
    }
}

/// The holders of UDP `port` in our network namespace, without the sockets whose inodes are in `own`.
pub fn holders(port: u16, own: &[u64]) -> Vec<Holder> {
    // Of this thread: `/proc/net` shows the namespace of the main thread.
    let table = fs::read_to_string("/proc/thread-self/net/udp").unwrap_or_default();
    let sockets: Vec<Bound> =
        table.lines().filter_map(parse_line).filter(|s| s.port == port && !own.contains(&s.inode)).collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<(u64, Process)> = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        for inode in socket_inodes(&entry.path()) {
            if sockets.iter().any(|socket| socket.inode == inode) {
                let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                found.push((inode, Process { pid, name: name.trim().to_owned() }));
            }
        }
    }
    let mut holders: Vec<Holder> = Vec::new();
    for socket in sockets {
        let process = found.iter().find(|(inode, _)| *inode == socket.inode).map(|(_, process)| process.clone());
        let holder = Holder { uid: socket.uid, process };
        if !holders.contains(&holder) {
            holders.push(holder);
        }
    }
    holders
}

struct Bound {
    port: u16,
    uid: u32,
    inode: u64,
}

/// One line of `/proc/net/udp`: `sl local rem st queues tr uid timeout inode …`, addresses as hex.
fn parse_line(line: &str) -> Option<Bound> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (_, port) = fields.get(1)?.split_once(':')?;
    Some(Bound {
        port: u16::from_str_radix(port, 16).ok()?,
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// The sockets that a process has open; none where it is gone or not ours to see.
fn socket_inodes(process: &Path) -> impl Iterator<Item = u64> {
    fs::read_dir(process.join("fd")).into_iter().flatten().flatten().filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::fd::AsFd};

    use super::*;

    #[test]
    fn a_line_of_the_kernels_table_is_read() {
        let line =
            "  714: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 30412 2 00000000 0";
        let bound = parse_line(line).expect("a line as Linux prints it");
        assert_eq!((bound.port, bound.uid, bound.inode), (67, 101, 30412));
        assert!(parse_line("   sl  local_address rem_address   st tx_queue").is_none());
    }

    #[test]
    fn the_process_that_holds_a_port_is_named() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let port = socket.local_addr().expect("bound").port();
        let holders = super::holders(port, &[]);
        let [Holder { process: Some(process), .. }] = &holders[..] else { panic!("{holders:?}") };
        assert_eq!(process.pid, std::process::id());
        assert!(!process.name.is_empty());
        let inode = nix::sys::stat::fstat(socket.as_fd()).expect("open").st_ino;
        assert_eq!(super::holders(port, &[inode]), []);
    }
}
