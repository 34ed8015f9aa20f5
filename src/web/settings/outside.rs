//! Which devices a change of networks, pools and exclusions would leave outside, in one sentence.

use std::net::Ipv4Addr;

use crate::{
    protocol::{lease::Binding, time::Time},
    settings::{AddressRange, Settings, Subnet},
};

/// `None`: nobody.
pub fn sentence(before: &Settings, after: &Settings, bindings: &[Binding], now: Time) -> Option<String> {
    let left: Vec<Ipv4Addr> = bindings
        .iter()
        .filter(|binding| binding.state.is_lease() && binding.is_held(now))
        .map(|binding| binding.address)
        .filter(|address| is_given(before, *address) && !is_given(after, *address))
        .filter(|address| after.reservations.binary_search_by_key(address, |kept| kept.address).is_err())
        .collect();
    let (first, last) = (*left.first()?, *left.last()?);
    let (devices, they, keep) = match left.len() {
        1 => ("1 leased device".to_string(), "It keeps", "its address until it expires"),
        several => (format!("{several} leased devices"), "They keep", "their addresses until they expire"),
    };
    let Some(subnet) = after.subnet_of(first) else {
        return Some(format!("Without this network, {devices} would be left. {they} {keep}. Remove it anyway?"));
    };
    // One end of one pool that would take all of them in again.
    let is_pooled = |address: Ipv4Addr| subnet.pools.iter().any(|pool| pool.range.contains(address));
    let proposal = subnet.pools.iter().map(|pool| pool.range).find_map(|range| {
        if left.iter().all(|address| *address > range.last) && left.iter().all(|address| !is_pooled(*address)) {
            Some((range, format!("end at {}", short(last, subnet))))
        } else if left.iter().all(|address| *address < range.first) && left.iter().all(|address| !is_pooled(*address)) {
            Some((range, format!("begin at {}", short(first, subnet))))
        } else {
            None
        }
    });
    Some(match proposal {
        Some((range, end)) => {
            format!("Pool {} leaves {devices} outside. {they} {keep}. Shrink anyway, or {end}.", shown(range, subnet))
        }
        None => format!("This leaves {devices} outside the pools, {}. {they} {keep}. Do it anyway?", listed(&left, subnet)),
    })
}

/// To anybody, as far as settings say.
fn is_given(settings: &Settings, address: Ipv4Addr) -> bool {
    settings.subnet_of(address).is_some_and(|subnet| {
        subnet.pools.iter().any(|pool| pool.range.contains(address))
            && !subnet.exclusions.iter().any(|range| range.contains(address))
    })
}

/// `.152` in a /24, else in full.
fn short(address: Ipv4Addr, subnet: &Subnet) -> String {
    if subnet.network.prefix_len() >= 24 { format!(".{}", address.octets()[3]) } else { address.to_string() }
}

fn shown(range: AddressRange, subnet: &Subnet) -> String {
    format!("{}–{}", short(range.first, subnet), short(range.last, subnet))
}

fn listed(left: &[Ipv4Addr], subnet: &Subnet) -> String {
    const SHOWN: usize = 4;
    let mut text = left.iter().take(SHOWN).map(|address| short(*address, subnet)).collect::<Vec<_>>().join(", ");
    if left.len() > SHOWN {
        text.push_str(" and more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::{
            lease::{BindingState, ClientId, HwAddr, Version},
            time::Epoch,
        },
        settings::parse::parse,
    };

    fn with(pools: &str, rest: &str) -> Settings {
        parse(&format!("[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [{pools}]\n{rest}")).unwrap()
    }

    fn leases(lasts: &[u8]) -> Vec<Binding> {
        let lease = |last: &u8| {
            let hw = HwAddr::ethernet([2, 0, 0, 0, 0, *last]);
            let address = Ipv4Addr::new(192, 0, 2, *last);
            let (client, state, version) = (ClientId::Hardware(hw), BindingState::Leased, Version::default());
            Binding {
                address,
                client,
                hw,
                state,
                since: Time(0),
                expiry: Time(9),
                epoch: Epoch(1),
                generation: 1,
                version,
                host_name: None,
            }
        };
        lasts.iter().map(lease).collect()
    }

    #[test]
    fn a_smaller_pool_names_the_end_that_would_keep_all() {
        let (before, after) = (with("\"192.0.2.100-160\"", ""), with("\"192.0.2.100-140\"", ""));
        let said = sentence(&before, &after, &leases(&[110, 141, 150, 152]), Time(1));
        assert_eq!(
            said.as_deref(),
            Some(
                "Pool .100–.140 leaves 3 leased devices outside. They keep their addresses until they expire. Shrink anyway, or end at .152."
            )
        );
        assert_eq!(sentence(&before, &after, &leases(&[110]), Time(1)), None);
        assert_eq!(sentence(&before, &after, &leases(&[150]), Time(10)), None, "it is over");
    }

    #[test]
    fn exclusions_and_networks_that_go_are_told_too() {
        let before = with("\"192.0.2.100-160\"", "");
        let excluded = with("\"192.0.2.100-160\"", "exclude = [\"192.0.2.110-119\"]");
        let said = sentence(&before, &excluded, &leases(&[111]), Time(1)).unwrap();
        assert!(said.starts_with("This leaves 1 leased device outside the pools, .111. It keeps its address"), "{said}");
        let said = sentence(&before, &Settings::default(), &leases(&[111]), Time(1)).unwrap();
        assert!(said.starts_with("Without this network"), "{said}");
    }

    #[test]
    fn what_is_kept_is_not_left() {
        let before = with("\"192.0.2.100-160\"", "");
        let after = with("\"192.0.2.100-140\"", "[[reservation]]\nmac = \"02:00:00:00:00:96\"\naddress = \"192.0.2.150\"");
        assert_eq!(sentence(&before, &after, &leases(&[150]), Time(1)), None);
    }
}
