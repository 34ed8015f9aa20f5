//! Kea's kea-dhcp4.conf: JSON with comments and commas too many.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use serde_json::{Map, Value};

use super::taken::{Kept, Taken, cut};
use crate::settings::{
    AddressRange, LeaseOverrides,
    options::{OptionDefinition, OptionKind, OptionSet},
    words::{read_hex, read_id, read_range},
};

type Object = Map<String, Value>;

pub fn read(text: &str, taken: &mut Taken) {
    let plain = as_json(text);
    let root: Value = match serde_json::from_str(&plain) {
        Ok(root) => root,
        Err(error) => {
            let line = Some(error.line()).filter(|line| *line > 0);
            return taken.skip(line, "the whole file", format!("It is not JSON as Kea reads it: {error}. Correct it there."));
        }
    };
    if text.contains("<?include") {
        taken.skip(
            line_of(text, "<?include"),
            "<?include …?>",
            "It names another file. Put its content in its place, and import again.",
        );
    }
    let Some(root) = root.as_object() else {
        return taken.skip(None, "the whole file", "It has no section Dhcp4.");
    };
    for (name, _) in root.iter().filter(|(name, _)| !matches!(name.as_str(), "Dhcp4")) {
        if !root.contains_key("Dhcp4") && matches!(name.as_str(), "subnet4" | "subnets") {
            continue;
        }
        if root.contains_key("Dhcp4") {
            taken.skip(line_of(text, &format!("\"{name}\"")), name, "Only Dhcp4 is about DHCPv4.");
        }
    }
    let dhcp4 = root.get("Dhcp4").and_then(Value::as_object).unwrap_or(root);
    let mut reader = Reader { text, taken };
    reader.dhcp4(dhcp4);
}

struct Reader<'a> {
    text: &'a str,
    taken: &'a mut Taken,
}

impl Reader<'_> {
    fn dhcp4(&mut self, dhcp4: &Object) {
        for definition in objects(dhcp4, "option-def") {
            self.definition(definition);
        }
        self.taken.authoritative = dhcp4.get("authoritative").and_then(Value::as_bool);
        self.taken.lease = lease(dhcp4);
        let options = self.options(dhcp4);
        self.taken.options.extend(options);
        for subnet in objects(dhcp4, "subnet4") {
            self.subnet(subnet, &OptionSet::new());
        }
        for shared in objects(dhcp4, "shared-networks") {
            let name = shared.get("name").and_then(Value::as_str).unwrap_or("shared network");
            self.taken.assume(self.line(name), format!("shared-network {name}"), "Its subnets come in one by one.");
            let options = self.options(shared);
            for subnet in objects(shared, "subnet4") {
                self.subnet(subnet, &options);
            }
        }
        for kept in objects(dhcp4, "reservations") {
            self.reservation(kept);
        }
        for (key, why) in [
            ("client-classes", "Classes of clients are not there here; options go by subnet, pool or kept address."),
            ("hooks-libraries", "Hooks are not there here. For high availability, pair two twinleases."),
            ("dhcp-ddns", "Names are not written into DNS here."),
            ("loggers", "The log is set up on the command line."),
        ] {
            if dhcp4.get(key).is_some_and(|value| value.as_array().is_none_or(|list| !list.is_empty())) {
                self.taken.skip(self.line(key), key, why);
            }
        }
        if let Some(interfaces) =
            dhcp4.get("interfaces-config").and_then(|config| config.get("interfaces")).and_then(Value::as_array)
            && interfaces.iter().any(|name| name.as_str().is_some_and(|name| name != "*"))
        {
            self.taken.skip(
                self.line("interfaces"),
                "interfaces",
                "This machine's may have other names: here each with an address in a subnet is served.",
            );
        }
    }

    fn subnet(&mut self, subnet: &Object, shared: &OptionSet) {
        let Some(given) = subnet.get("subnet").and_then(Value::as_str) else {
            return self.taken.skip(None, "a subnet", "It has no `subnet`.");
        };
        let line = self.line(given);
        let Ok(network) = given.trim().parse::<Ipv4Net>() else {
            return self.taken.skip(line, given, "It is not an IPv4 network.");
        };
        let network = network.trunc();
        let mut options = shared.clone();
        options.extend(self.options(subnet));
        let times = lease(subnet);
        let into = self.taken.subnet(network);
        into.options.extend(options);
        into.lease = times;
        for pool in objects(subnet, "pools") {
            let Some(given) = pool.get("pool").and_then(Value::as_str) else { continue };
            let line = self.line(given);
            let range = match given.trim().parse::<Ipv4Net>() {
                Ok(net) => Ok(AddressRange {
                    first: net.network().max(first_host(network)),
                    last: net.broadcast().min(last_host(network)),
                }),
                Err(_) => read_range(given),
            };
            let options = self.options(pool);
            match range {
                Ok(range) => self.taken.pool(line, network, range, options),
                Err(why) => self.taken.skip(line, format!("pool {given}"), why),
            }
            if pool.contains_key("client-class") || pool.contains_key("client-classes") {
                self.taken.assume(line, format!("pool {given}"), "It is for everybody here: there are no classes of clients.");
            }
        }
        for kept in objects(subnet, "reservations") {
            self.reservation(kept);
        }
        if let Some(interface) = subnet.get("interface").and_then(Value::as_str).filter(|name| !name.is_empty()) {
            self.taken.skip(
                self.line(interface),
                format!("interface {interface} of {network}"),
                "This machine's may have another name.",
            );
        }
    }

    fn reservation(&mut self, kept: &Object) {
        let text = |key: &str| kept.get(key).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        let (mac, address) = (text("hw-address"), text("ip-address"));
        let line = mac.or(address).and_then(|needle| self.line(needle));
        let id = |key: &str| {
            text(key).and_then(|id| match id.trim().strip_prefix('\'').and_then(|id| id.strip_suffix('\'')) {
                Some(characters) => Some(characters.as_bytes().to_vec()),
                None => read_hex(id).or_else(|_| read_id(&format!("text:{id}"))).ok(),
            })
        };
        if mac.is_none() && (kept.contains_key("duid") || kept.contains_key("flex-id")) {
            let told = text("hostname").or(address).unwrap_or("a reservation");
            return self.taken.skip(
                line,
                told,
                "It goes by DUID or flex-id; here a device goes by MAC, client-id or the relay's port.",
            );
        }
        let mut options = self.options(kept);
        for (key, name) in [("boot-file-name", "boot-file"), ("next-server", "tftp-server-name")] {
            if let Some(value) = text(key).filter(|value| *value != "0.0.0.0") {
                options.extend(self.taken.option(line, name, value));
            }
        }
        let (client_id, circuit_id) = (id("client-id"), id("circuit-id"));
        let note = kept
            .get("user-context")
            .and_then(|context| context.get("comment").or(context.get("description")))
            .and_then(Value::as_str);
        self.taken.keep(line, Kept { mac, client_id, circuit_id, address, name: text("hostname"), note, options });
    }

    fn options(&mut self, of: &Object) -> OptionSet {
        let mut set = OptionSet::new();
        for option in objects(of, "option-data") {
            let name = option.get("name").and_then(Value::as_str).map(str::to_string);
            let code = option.get("code").and_then(Value::as_u64).map(|code| code.to_string());
            let (Some(told), Some(data)) = (name.clone().or(code.clone()), option.get("data").and_then(Value::as_str)) else {
                continue;
            };
            let line = self.line(data);
            let space = option.get("space").and_then(Value::as_str).unwrap_or("dhcp4");
            if space != "dhcp4" {
                self.taken.skip(
                    line,
                    format!("option {told}"),
                    format!("It stands in the space {space}; set it as raw bytes by hand."),
                );
                continue;
            }
            let is_raw = option.get("csv-format").and_then(Value::as_bool) == Some(false);
            let data = if is_raw { format!("hex:{}", data.trim_start_matches("0x")) } else { data.replace("\\,", ",") };
            set.extend(self.taken.option(line, code.as_deref().unwrap_or(&told), &data));
        }
        if let Some(server) =
            of.get("next-server").and_then(Value::as_str).filter(|server| !server.is_empty() && *server != "0.0.0.0")
            && of.contains_key("subnet")
        {
            set.extend(self.taken.option(self.line(server), "tftp-server-name", server));
        }
        set
    }

    fn definition(&mut self, definition: &Object) {
        let name = definition.get("name").and_then(Value::as_str).unwrap_or_default();
        let line = self.line(name);
        let code = definition.get("code").and_then(Value::as_u64).and_then(|code| u8::try_from(code).ok());
        let is_list = definition.get("array").and_then(Value::as_bool).unwrap_or(false);
        let kind = match (definition.get("type").and_then(Value::as_str).unwrap_or_default(), is_list) {
            ("ipv4-address", false) => Some(OptionKind::Ip),
            ("ipv4-address", true) => Some(OptionKind::IpList),
            ("string", _) => Some(OptionKind::Text),
            ("uint8", false) => Some(OptionKind::U8),
            ("uint16", false) => Some(OptionKind::U16),
            ("uint16", true) => Some(OptionKind::U16List),
            ("uint32", false) => Some(OptionKind::U32),
            ("int32", false) => Some(OptionKind::I32),
            ("boolean", false) => Some(OptionKind::Bool),
            ("binary", _) => Some(OptionKind::Hex),
            ("fqdn", true) => Some(OptionKind::DomainList),
            _ => None,
        };
        match (code, kind) {
            (Some(code), Some(kind)) if crate::settings::dictionary::entry(code).is_none() => {
                let name = name.to_ascii_lowercase().replace(['_', ' '], "-");
                self.taken.custom_options.push(OptionDefinition { code, name, kind });
            }
            // It has a name here already.
            (Some(_), Some(_)) => {}
            (_, _) => self.taken.skip(line, format!("option-def {name}"), "An option of this type is set as raw bytes by hand."),
        }
    }

    fn line(&self, needle: &str) -> Option<usize> {
        line_of(self.text, &format!("\"{needle}\""))
    }
}

fn objects<'v>(of: &'v Object, key: &str) -> impl Iterator<Item = &'v Object> {
    of.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn lease(of: &Object) -> LeaseOverrides {
    let secs = |key: &str| of.get(key).and_then(Value::as_u64).map(Duration::from_secs);
    let default = secs("valid-lifetime");
    let part = |key: &str| {
        let (time, lease) = (of.get(key)?.as_u64()?, default?.as_secs());
        u16::try_from(time.checked_mul(1000)?.checked_div(lease)?).ok().filter(|part| (1..1000).contains(part))
    };
    LeaseOverrides {
        default,
        min: secs("min-valid-lifetime"),
        max: secs("max-valid-lifetime"),
        infinite: None,
        t1_permille: part("renew-timer"),
        t2_permille: part("rebind-timer"),
    }
}

fn first_host(network: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network.network()).saturating_add(1))
}

fn last_host(network: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network.broadcast()).saturating_sub(1))
}

/// JSON does not say where a value stood: the first place that has it.
fn line_of(text: &str, needle: &str) -> Option<usize> {
    let needle = cut(needle, 200);
    text.find(needle).map(|at| text[..at].bytes().filter(|byte| *byte == b'\n').count() + 1)
}

/// Comments and commas before a bracket become blanks, so that places stay as they are.
fn as_json(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let (mut at, mut in_text) = (0, false);
    let mut comma = None;
    while at < bytes.len() {
        let byte = bytes[at];
        if in_text {
            match byte {
                b'\\' => at += 1,
                b'"' => in_text = false,
                _ => {}
            }
            at += 1;
            continue;
        }
        let end = match (byte, bytes.get(at + 1)) {
            (b'#', _) | (b'/', Some(b'/')) => Some(bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n)),
            (b'/', Some(b'*')) => Some(find(&bytes[at + 2..], b"*/").map_or(bytes.len(), |n| at + 2 + n + 2)),
            (b'<', Some(b'?')) => Some(find(&bytes[at..], b"?>").map_or(bytes.len(), |n| at + n + 2)),
            (_, _) => None,
        };
        if let Some(end) = end {
            out[at..end].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
            at = end;
            continue;
        }
        match byte {
            b',' => comma = Some(at),
            b']' | b'}' => {
                if let Some(comma) = comma.take() {
                    out[comma] = b' ';
                }
            }
            b if b.is_ascii_whitespace() => {}
            _ => {
                comma = None;
                in_text = byte == b'"';
            }
        }
        at += 1;
    }
    // Only whole comments were replaced, byte by byte, by blanks.
    String::from_utf8(out).unwrap_or_default()
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
