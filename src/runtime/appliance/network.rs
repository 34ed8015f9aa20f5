//! The box's own address: the one it is told, else the one that another DHCP server gives, else the one that it had while it served, else a
//! link-local one. Tried for ever, for a box that started before its router must not stay without.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ipnet::Ipv4Net;

use super::address;

const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// So long another server may take before the box takes an address by itself, beside its asking.
const PATIENCE: Duration = Duration::from_secs(12);

/// What the box is told.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub name: String,
    pub own: Option<Own>,
    /// Where what it had while it served is kept.
    pub data: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    pub address: Ipv4Net,
    pub router: Option<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
}

/// Keeps the network up on a thread of its own, for as long as the program runs.
pub fn start(plan: Plan) -> std::io::Result<()> {
    std::thread::Builder::new().name("network".into()).spawn(move || keep(&plan))?;
    Ok(())
}

fn keep(plan: &Plan) {
    let net = Path::new("/sys/class/net");
    let mut client: Option<(String, Child)> = None;
    let mut asking_since = Instant::now();
    let mut used: Option<String> = None;
    loop {
        // An adapter that is not up does not say whether it has a cable, and one that comes back is down.
        for name in adapters(net).iter().filter(|name| !is_up(net, name)) {
            ip(&["link", "set", name, "up"]);
        }
        let interface = ethernet(net);
        if used != interface {
            if let Some(before) = used.take() {
                ip(&["address", "flush", "dev", &before]);
            }
            asking_since = Instant::now();
            if let Some(interface) = &interface {
                tracing::info!("the network is at {interface}");
            }
            used = interface;
        }
        if let Some(interface) = &used {
            match &plan.own {
                Some(own) if !has_address(interface) => take(own, interface),
                Some(_) => {}
                None => {
                    ask(plan, interface, &mut client);
                    if !has_address(interface) && asking_since.elapsed() > PATIENCE {
                        help_oneself(plan, interface);
                        asking_since = Instant::now();
                    }
                }
            }
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

fn take(own: &Own, interface: &str) {
    ip(&["address", "add", &own.address.to_string(), "dev", interface]);
    if let Some(router) = own.router {
        ip(&["route", "replace", "default", "via", &router.to_string(), "dev", interface]);
    }
    let servers: String = own.dns.iter().map(|server| format!("nameserver {server}\n")).collect();
    if let Err(error) = fs::write("/etc/resolv.conf", servers) {
        tracing::warn!("the DNS servers cannot be written down: {error}");
    }
}

/// Nobody has given this box an address.
fn help_oneself(plan: &Plan, interface: &str) {
    let kept = address::recall(&plan.data);
    if let Some((kept, address)) = kept.and_then(|kept| kept.address.map(|address| (kept, address))) {
        if is_free(interface, address.addr()) {
            tracing::info!("no DHCP server has answered; taking {address}, as before");
            return take(&Own { address, router: kept.router, dns: kept.dns }, interface);
        }
        tracing::warn!("no DHCP server has answered, and {address}, which this box had before, is in use by another machine");
    }
    let own = link_local(interface);
    tracing::info!("no DHCP server has answered; taking {own} until one does");
    ip(&["address", "add", &format!("{own}/16"), "dev", interface, "scope", "link"]);
}

/// Nobody answers for it (RFC 5227 §2.1.1). Where that cannot be asked, it counts as free: it was this box's.
fn is_free(interface: &str, address: Ipv4Addr) -> bool {
    let asked = Command::new("arping")
        .args(["-D", "-q", "-c", "3", "-w", "3", "-I", interface, &address.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.map_or(true, |status| status.code() != Some(1))
}

/// The DHCP client runs; where it ended it is started again.
fn ask(plan: &Plan, interface: &str, client: &mut Option<(String, Child)>) {
    if let Some((of, child)) = client {
        if of == interface && matches!(child.try_wait(), Ok(None)) {
            return;
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    let name = format!("hostname:{}", plan.name);
    let started = Command::new("udhcpc")
        .args(["-f", "-S", "-i", interface, "-s", "/etc/udhcpc", "-x", &name, "-t", "4", "-T", "2", "-A", "8"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(child) => *client = Some((interface.to_owned(), child)),
        Err(error) => {
            tracing::warn!("the DHCP client cannot be started: {error}");
            *client = None;
        }
    }
}

/// The first Ethernet interface: the one with carrier, where there are several.
fn ethernet(net: &Path) -> Option<String> {
    let mut found = adapters(net);
    found.sort_by_key(|name| (read(net, name, "carrier") != "1", name.clone()));
    found.into_iter().next()
}

fn adapters(net: &Path) -> Vec<String> {
    let names = fs::read_dir(net).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    // `device`: made of hardware. Type 1: Ethernet.
    let is_one = |name: &String| {
        net.join(name).join("device").exists() && read(net, name, "type") == "1" && !net.join(name).join("wireless").exists()
    };
    names.filter(is_one).collect()
}

fn is_up(net: &Path, name: &str) -> bool {
    let flags = read(net, name, "flags");
    u32::from_str_radix(flags.trim_start_matches("0x"), 16).is_ok_and(|flags| flags & libc::IFF_UP as u32 != 0)
}

fn read(net: &Path, name: &str, file: &str) -> String {
    fs::read_to_string(net.join(name).join(file)).unwrap_or_default().trim().to_owned()
}

/// Of the adapter that is used.
pub fn mac() -> Option<String> {
    let net = Path::new("/sys/class/net");
    let mac = fs::read_to_string(net.join(ethernet(net)?).join("address")).ok()?;
    Some(mac.trim().to_owned())
}

/// By which others reach this box; what is good on its own segment only comes last.
pub fn addresses() -> Vec<Ipv4Addr> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let mut addresses: Vec<Ipv4Addr> =
        all.filter_map(|one| Some(one.address?.as_sockaddr_in()?.ip())).filter(|address| !address.is_loopback()).collect();
    addresses.sort_unstable_by_key(|address| (address.is_link_local(), *address));
    addresses
}

fn has_address(interface: &str) -> bool {
    let Ok(mut all) = nix::ifaddrs::getifaddrs() else { return false };
    all.any(|one| one.interface_name == interface && one.address.is_some_and(|address| address.as_sockaddr_in().is_some()))
}

/// Of 169.254.1.0 to 169.254.254.255, by the interface's MAC: the same at every start (RFC 3927 §2.1).
fn link_local(interface: &str) -> Ipv4Addr {
    let mac = fs::read_to_string(format!("/sys/class/net/{interface}/address")).unwrap_or_default();
    let sum = mac.bytes().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let host = 256 + sum % (254 * 256);
    Ipv4Addr::from(u32::from(Ipv4Addr::new(169, 254, 0, 0)) + host)
}

fn ip(arguments: &[&str]) {
    match Command::new("ip").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => {}
        Ok(status) => tracing::debug!("`ip {}` ended with {status}", arguments.join(" ")),
        Err(error) => tracing::warn!("`ip` cannot be started: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_with_a_cable_is_taken_and_what_is_no_hardware_is_not() {
        let net = std::env::temp_dir().join(format!("twinlease-net-{}", std::process::id()));
        let make = |name: &str, kind: &str, carrier: &str, is_hardware: bool| {
            let folder = net.join(name);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("type"), kind).expect("a file");
            fs::write(folder.join("carrier"), carrier).expect("a file");
            if is_hardware {
                fs::create_dir_all(folder.join("device")).expect("a folder");
            }
        };
        make("lo", "772\n", "1\n", false);
        make("eth0", "1\n", "0\n", true);
        assert!(!is_up(&net, "eth0"));
        for (flags, up) in [("0x1002\n", false), ("0x1003\n", true)] {
            fs::write(net.join("eth0/flags"), flags).expect("a file");
            assert_eq!(is_up(&net, "eth0"), up);
        }
        make("br0", "1\n", "1\n", false);
        assert_eq!(ethernet(&net).as_deref(), Some("eth0"));
        make("eth1", "1\n", "1\n", true);
        assert_eq!(ethernet(&net).as_deref(), Some("eth1"));
        fs::remove_dir_all(&net).expect("removed");
        assert_eq!(ethernet(&net), None);
    }

    #[test]
    fn a_link_local_address_is_one_that_may_be_taken() {
        for interface in ["lo", "eth0", "no such interface"] {
            let [a, b, c, _] = link_local(interface).octets();
            assert_eq!((a, b), (169, 254));
            assert!((1..=254).contains(&c), "RFC 3927 keeps the first and last 256 back");
        }
    }
}
