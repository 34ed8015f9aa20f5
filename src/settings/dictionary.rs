//! Every option that an admin may set, by name, code and kind; and those that only the server sets, with the reason.

use super::options::OptionKind;
use OptionKind::{Bool, DomainList, Hex, I32, Ip, IpList, IpPairs, Routes, SubOptions, Text, U8, U16, U16List, U32};

/// One option that has a name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub code: u8,
    pub name: &'static str,
    pub kind: OptionKind,
    /// Where the option is defined: a number of an RFC, or `None` where there is only custom.
    pub rfc: Option<u16>,
}

/// An option whose value follows from something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Governed {
    pub code: u8,
    pub name: &'static str,
    /// Why, and what to do instead; a sentence or two.
    pub reason: &'static str,
}

pub fn entry(code: u8) -> Option<&'static Entry> {
    ENTRIES.binary_search_by_key(&code, |entry| entry.code).ok().map(|at| &ENTRIES[at])
}

pub fn entry_named(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

pub fn kind_of(code: u8) -> Option<OptionKind> {
    entry(code).map(|entry| entry.kind)
}

pub fn code_of(name: &str) -> Option<u8> {
    entry_named(name).map(|entry| entry.code)
}

pub fn name_of(code: u8) -> Option<&'static str> {
    entry(code).map(|entry| entry.name)
}

/// Whether, and why, nobody but the server sets this option.
pub fn governed(code: u8) -> Option<&'static Governed> {
    GOVERNED.iter().find(|governed| governed.code == code)
}

pub fn governed_named(name: &str) -> Option<&'static Governed> {
    GOVERNED.iter().find(|governed| governed.name == name)
}

/// Every option that has a name, ordered by code.
pub fn entries() -> &'static [Entry] {
    ENTRIES
}

/// What an option is called elsewhere (Kea, dnsmasq, ISC, the RFC): for "did you mean" alone, never accepted.
pub fn name_meant(foreign: &str) -> Option<&'static str> {
    let name = foreign.to_ascii_lowercase().replace('_', "-");
    FOREIGN.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours)
}

/// The smallest value that the RFC allows for a number.
pub fn least(code: u8) -> u32 {
    match code {
        // RFC 2132 §4.4 and §5.1: what every host must be able to take.
        22 => 576,
        26 | 25 => 68,
        13 | 23 | 37 => 1,
        _ => 0,
    }
}

const fn rfc(code: u8, name: &'static str, kind: OptionKind, rfc: u16) -> Entry {
    Entry { code, name, kind, rfc: Some(rfc) }
}

const fn custom(code: u8, name: &'static str, kind: OptionKind) -> Entry {
    Entry { code, name, kind, rfc: None }
}

const ENTRIES: &[Entry] = &[
    rfc(2, "time-offset", I32, 2132),
    rfc(3, "router", IpList, 2132),
    rfc(4, "time-servers", IpList, 2132),
    rfc(5, "name-servers", IpList, 2132),
    rfc(6, "dns", IpList, 2132),
    rfc(7, "log-servers", IpList, 2132),
    rfc(8, "cookie-servers", IpList, 2132),
    rfc(9, "lpr-servers", IpList, 2132),
    rfc(10, "impress-servers", IpList, 2132),
    rfc(11, "resource-location-servers", IpList, 2132),
    rfc(13, "boot-file-size", U16, 2132),
    rfc(14, "merit-dump-file", Text, 2132),
    rfc(15, "domain", Text, 2132),
    rfc(16, "swap-server", Ip, 2132),
    rfc(17, "root-path", Text, 2132),
    rfc(18, "extensions-path", Text, 2132),
    rfc(19, "ip-forwarding", Bool, 2132),
    rfc(20, "non-local-source-routing", Bool, 2132),
    rfc(21, "policy-filter", IpPairs, 2132),
    rfc(22, "max-datagram-reassembly", U16, 2132),
    rfc(23, "default-ttl", U8, 2132),
    rfc(24, "path-mtu-aging-timeout", U32, 2132),
    rfc(25, "path-mtu-plateau-table", U16List, 2132),
    rfc(26, "mtu", U16, 2132),
    rfc(27, "all-subnets-local", Bool, 2132),
    rfc(28, "broadcast", Ip, 2132),
    rfc(29, "mask-discovery", Bool, 2132),
    rfc(30, "mask-supplier", Bool, 2132),
    rfc(31, "router-discovery", Bool, 2132),
    rfc(32, "router-solicitation-address", Ip, 2132),
    rfc(33, "static-routes", IpPairs, 2132),
    rfc(34, "trailer-encapsulation", Bool, 2132),
    rfc(35, "arp-cache-timeout", U32, 2132),
    rfc(36, "ethernet-encapsulation", Bool, 2132),
    rfc(37, "tcp-default-ttl", U8, 2132),
    rfc(38, "tcp-keepalive-interval", U32, 2132),
    rfc(39, "tcp-keepalive-garbage", Bool, 2132),
    rfc(40, "nis-domain", Text, 2132),
    rfc(41, "nis-servers", IpList, 2132),
    rfc(42, "ntp", IpList, 2132),
    rfc(43, "vendor", SubOptions, 2132),
    rfc(44, "wins", IpList, 2132),
    rfc(45, "netbios-datagram-servers", IpList, 2132),
    rfc(46, "netbios-node-type", U8, 2132),
    rfc(47, "netbios-scope", Text, 2132),
    rfc(48, "x-font-servers", IpList, 2132),
    rfc(49, "x-display-managers", IpList, 2132),
    rfc(60, "vendor-class", Text, 2132),
    rfc(62, "netware-domain", Text, 2242),
    rfc(63, "netware-information", SubOptions, 2242),
    rfc(64, "nis-plus-domain", Text, 2132),
    rfc(65, "nis-plus-servers", IpList, 2132),
    rfc(66, "tftp-server-name", Text, 2132),
    rfc(67, "boot-file", Text, 2132),
    rfc(68, "mobile-ip-home-agents", IpList, 2132),
    rfc(69, "smtp-servers", IpList, 2132),
    rfc(70, "pop3-servers", IpList, 2132),
    rfc(71, "nntp-servers", IpList, 2132),
    rfc(72, "web-servers", IpList, 2132),
    rfc(73, "finger-servers", IpList, 2132),
    rfc(74, "irc-servers", IpList, 2132),
    rfc(75, "streettalk-servers", IpList, 2132),
    rfc(76, "streettalk-directory-servers", IpList, 2132),
    // A byte "mandatory" stands before the addresses, or the text.
    rfc(78, "slp-directory-agents", Hex, 2610),
    rfc(79, "slp-service-scope", Hex, 2610),
    rfc(83, "isns", Hex, 4174),
    rfc(85, "nds-servers", IpList, 2241),
    rfc(86, "nds-tree", Text, 2241),
    rfc(87, "nds-context", Text, 2241),
    // Names that must not be compressed, unlike those of a domain list.
    rfc(88, "bcmcs-domains", Hex, 4280),
    rfc(89, "bcmcs-addresses", IpList, 4280),
    rfc(98, "user-authentication", Text, 2485),
    rfc(99, "civic-location", Hex, 4776),
    rfc(100, "timezone-posix", Text, 4833),
    rfc(101, "timezone", Text, 4833),
    rfc(108, "v6-only-preferred", U32, 8925),
    rfc(112, "netinfo-servers", IpList, 3679),
    rfc(113, "netinfo-tag", Text, 3679),
    rfc(114, "captive-portal", Text, 8910),
    rfc(116, "auto-configure", Bool, 2563),
    rfc(117, "name-service-search", U16List, 2937),
    rfc(119, "search", DomainList, 3397),
    // A byte says whether names or addresses follow.
    rfc(120, "sip-servers", Hex, 3361),
    rfc(121, "routes", Routes, 3442),
    rfc(122, "cablelabs-client", SubOptions, 3495),
    rfc(123, "geographic-location", Hex, 6225),
    rfc(124, "vendor-identifying-class", Hex, 3925),
    rfc(125, "vendor-identifying-options", Hex, 3925),
    rfc(128, "pxe-128", Hex, 4578),
    rfc(129, "pxe-129", Hex, 4578),
    rfc(130, "pxe-130", Hex, 4578),
    rfc(131, "pxe-131", Hex, 4578),
    rfc(132, "pxe-132", Hex, 4578),
    rfc(133, "pxe-133", Hex, 4578),
    rfc(134, "pxe-134", Hex, 4578),
    rfc(135, "pxe-135", Hex, 4578),
    rfc(136, "pana-agents", IpList, 5192),
    rfc(137, "lost-server", Hex, 5223),
    rfc(138, "capwap-ac", IpList, 5417),
    rfc(139, "mobility-server-addresses", SubOptions, 5678),
    rfc(140, "mobility-server-names", SubOptions, 5678),
    rfc(141, "sip-configuration-domains", Hex, 6011),
    rfc(142, "andsf-servers", IpList, 6153),
    rfc(143, "zero-touch-redirect", Hex, 8572),
    rfc(144, "geographic-location-uncertain", Hex, 6225),
    rfc(146, "dns-selection", Hex, 6731),
    rfc(147, "dots-server-name", Hex, 8973),
    rfc(148, "dots-servers", IpList, 8973),
    rfc(150, "tftp-servers", IpList, 5859),
    rfc(159, "port-parameters", Hex, 7618),
    rfc(162, "encrypted-dns", Hex, 9463),
    rfc(209, "pxelinux-config-file", Text, 5071),
    rfc(210, "pxelinux-path-prefix", Text, 5071),
    rfc(211, "pxelinux-reboot-time", U32, 5071),
    rfc(212, "6rd", Hex, 5969),
    rfc(213, "access-network-domain", Hex, 5986),
    custom(249, "microsoft-routes", Routes),
    custom(252, "wpad", Text),
];

const GOVERNED: &[Governed] = &[
    by_server(0, "pad", "It only fills space in a packet. Remove the line."),
    by_server(1, "subnet-mask", "It follows from the network of the subnet. Correct `network` in [[subnet]] instead."),
    by_server(12, "host-name", "It is the name of one device. Write `name` in its [[reservation]] instead."),
    by_server(50, "requested-address", "Only clients send it. Keep an address with a [[reservation]] instead."),
    by_server(
        51,
        "lease-time",
        "It follows from the lease times. Set `default`, `min` and `max` in [lease] or [subnet.lease] instead.",
    ),
    by_server(52, "overload", "It describes the layout of one packet, which the server decides. Remove the line."),
    by_server(53, "message-type", "It says what kind of message a packet is. Remove the line."),
    by_server(54, "server-id", "It is the address of the server that answers, and clients reply to it. Remove the line."),
    by_server(55, "parameter-request-list", "Only clients send it. Remove the line."),
    by_server(56, "message", "The server writes it when it refuses an address. Remove the line."),
    by_server(57, "max-message-size", "Only clients send it. Remove the line."),
    by_server(58, "renewal-time", "It follows from the lease times. Set `t1` in [lease] or [subnet.lease] instead."),
    by_server(59, "rebinding-time", "It follows from the lease times. Set `t2` in [lease] or [subnet.lease] instead."),
    by_server(61, "client-id", "It names the client and is sent back as it came. Remove the line."),
    by_server(77, "user-class", "Only clients send it. Remove the line."),
    by_server(80, "rapid-commit", "The server decides it for each answer. Set `rapid-commit` in [server] instead."),
    by_server(81, "client-fqdn", "It answers what the client asked. Set `fqdn` in [server] instead."),
    by_server(82, "relay-agent-information", "Relays add it, and it is sent back as it came. Remove the line."),
    by_server(90, "authentication", "Its value is computed for each packet. Remove the line."),
    by_server(91, "client-last-transaction-time", "It belongs to an answer to LEASEQUERY. Set `leasequery` in [server] instead."),
    by_server(92, "associated-ip", "It belongs to an answer to LEASEQUERY. Set `leasequery` in [server] instead."),
    by_server(93, "client-architecture", "Only clients send it. Remove the line."),
    by_server(94, "client-network-interface", "Only clients send it. Remove the line."),
    by_server(97, "client-machine-id", "Only clients send it. Remove the line."),
    by_server(118, "subnet-selection", "The client chooses it, and it is sent back as it came. Remove the line."),
    by_server(145, "forcerenew-nonce", "Its value is made for each client. Remove the line."),
    by_server(255, "end", "It marks the end of a packet. Remove the line."),
];

const fn by_server(code: u8, name: &'static str, reason: &'static str) -> Governed {
    Governed { code, name, reason }
}

const FOREIGN: &[(&str, &str)] = &[
    ("gateway", "router"),
    ("default-gateway", "router"),
    ("routers", "router"),
    ("dns-server", "dns"),
    ("dns-servers", "dns"),
    ("domain-name-servers", "dns"),
    ("nameserver", "dns"),
    ("nameservers", "dns"),
    ("domain-name", "domain"),
    ("domain-search", "search"),
    ("search-list", "search"),
    ("ntp-server", "ntp"),
    ("ntp-servers", "ntp"),
    ("interface-mtu", "mtu"),
    ("broadcast-address", "broadcast"),
    ("netbios-name-servers", "wins"),
    ("netbios-ns", "wins"),
    ("netbios-dd-server", "netbios-datagram-servers"),
    ("netbios-nodetype", "netbios-node-type"),
    ("vendor-encapsulated-options", "vendor"),
    ("vendor-encap", "vendor"),
    ("vendor-class-identifier", "vendor-class"),
    ("bootfile-name", "boot-file"),
    ("boot-file-name", "boot-file"),
    ("bootfile", "boot-file"),
    ("filename", "boot-file"),
    ("next-server", "tftp-server-name"),
    ("tftp-server", "tftp-server-name"),
    ("tftp-server-address", "tftp-servers"),
    ("classless-static-route", "routes"),
    ("classless-static-routes", "routes"),
    ("rfc3442-classless-static-routes", "routes"),
    ("ms-classless-static-routes", "microsoft-routes"),
    ("v4-captive-portal", "captive-portal"),
    ("capwap-ac-v4", "capwap-ac"),
    ("wlan-controller", "capwap-ac"),
    ("tcode", "timezone"),
    ("pcode", "timezone-posix"),
    ("sip-server", "sip-servers"),
    ("time-server", "time-servers"),
    ("log-server", "log-servers"),
    ("syslog", "log-servers"),
    ("auto-config", "auto-configure"),
    ("web-proxy-auto-discovery", "wpad"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_and_names_are_ordered_and_unique() {
        assert!(ENTRIES.is_sorted_by(|a, b| a.code < b.code));
        assert!(GOVERNED.is_sorted_by(|a, b| a.code < b.code));
        let names: BTreeSet<_> = ENTRIES.iter().map(|e| e.name).chain(GOVERNED.iter().map(|g| g.name)).collect();
        assert_eq!(names.len(), ENTRIES.len() + GOVERNED.len());
        assert!(ENTRIES.iter().all(|entry| governed(entry.code).is_none()));
    }

    #[test]
    fn every_option_of_rfc_2132_has_a_name_or_a_reason() {
        // RFC 2132 defines 0 to 61, 64 to 76 and 255; 62 and 63 came with RFC 2242.
        for code in (0..=76).chain([255]) {
            assert!(entry(code).is_some() ^ governed(code).is_some(), "option {code}");
        }
    }

    #[test]
    fn what_the_server_governs_cannot_be_named() {
        for code in [0, 1, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 61, 80, 81, 82, 90, 118, 255] {
            assert!(governed(code).is_some(), "option {code}");
            assert_eq!(kind_of(code), None, "option {code}");
        }
    }

    #[test]
    fn code_and_name_lead_to_each_other() {
        for entry in ENTRIES {
            assert_eq!(code_of(entry.name), Some(entry.code));
            assert_eq!(name_of(entry.code), Some(entry.name));
        }
        assert_eq!(code_of("router"), Some(3));
        assert_eq!(kind_of(138), Some(IpList));
        assert_eq!(name_of(224), None);
    }

    #[test]
    fn foreign_names_lead_to_ours() {
        assert!(FOREIGN.iter().all(|(theirs, ours)| entry_named(theirs).is_none() && entry_named(ours).is_some()));
        assert_eq!(name_meant("Domain_Name_Servers"), Some("dns"));
    }
}
