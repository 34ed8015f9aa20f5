//! The address of a box that was told none. Once it serves a network it keeps the one that it has, also over a start at which nobody gives
//! it one: where the two are the only DHCP servers of a house, after a power cut each would wait for the other's answer for ever.
//!
//! It goes on asking, so that whoever has given it knows that it is in use, and may give another.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    runtime::{
        partner::file,
        surroundings::{self, Surrounding},
    },
    settings::setup::{self, Setup},
};

/// On the data partition, written as setup.txt has it.
pub const FILE: &str = "own-address";
/// Where this is, /etc/udhcpc leaves the address alone when its lease is over.
const KEEP: &str = "/run/keep-address";

/// To be called while the box serves.
pub fn remember(data: &Path) -> io::Result<()> {
    let here = surroundings::surroundings();
    let Some(here) = here.iter().find(|one| !one.address.addr().is_link_local()) else { return Ok(()) };
    let text = text(here, &surroundings::dns_servers());
    if fs::read(path(data)).ok().as_deref() != Some(text.as_bytes()) {
        file::write(&path(data), text.as_bytes())?;
        tracing::info!("this box keeps {} from now on, unless another is given to it", here.address);
    }
    fs::write(KEEP, "")
}

/// With the router and the DNS servers of then; an address is there.
pub fn recall(data: &Path) -> Option<Setup> {
    let kept = setup::read(&fs::read(path(data)).ok()?).ok().filter(|kept| kept.address.is_some())?;
    if let Err(error) = fs::write(KEEP, "") {
        tracing::warn!("{KEEP} cannot be written: {error}");
    }
    Some(kept)
}

fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

fn text(here: &Surrounding, dns: &[std::net::Ipv4Addr]) -> String {
    let mut text = format!("address = {}\n", here.address);
    if let Some(router) = here.router {
        let _ = writeln!(text, "router = {router}");
    }
    let dns: Vec<String> = dns.iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "dns = {}", dns.join(", "));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Interface;

    #[test]
    fn what_is_remembered_is_what_comes_back() {
        let data = std::env::temp_dir().join(format!("twinlease-address-{}", std::process::id()));
        fs::create_dir_all(&data).expect("a folder");
        let address = "192.0.2.57/24".parse().expect("a network");
        let interface = Interface { index: 2, name: "eth0".into(), mac: None, mtu: 1500, addresses: vec![address], up: true };
        let mut here = Surrounding { interface, address, router: Some([192, 0, 2, 1].into()) };
        for dns in [vec![], vec![[192, 0, 2, 1].into(), [192, 0, 2, 53].into()]] {
            fs::write(path(&data), text(&here, &dns)).expect("written");
            let kept = recall(&data).expect("an address");
            assert_eq!((kept.address, kept.router, kept.dns), (Some(address), here.router, dns));
            here.router = None;
        }
        for damaged in ["", "address = 192.0.2.57", "\0\0\0\0"] {
            fs::write(path(&data), damaged).expect("written");
            assert_eq!(recall(&data), None, "{damaged}");
        }
        fs::remove_dir_all(&data).expect("removed");
    }
}
