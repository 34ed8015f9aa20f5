//! What a device is called in a URL: `a4-cf-12-9b-00-1e`, `hw32-0001`, `id-626f696c6572` (client-id), `port-0004` (relay's port).

use std::{fmt, str::FromStr};

use crate::{protocol::lease::HwAddr, settings::Identifier};

/// The same for both twins, and whether or not an address is kept for the device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceId {
    Hw(HwAddr),
    /// For those that share a MAC, or have none.
    Client(Box<[u8]>),
    Circuit(Box<[u8]>),
}

impl DeviceId {
    pub fn of(identifier: &Identifier) -> DeviceId {
        match identifier {
            Identifier::Mac(hw) => DeviceId::Hw(*hw),
            Identifier::ClientId(id) => DeviceId::Client(id.as_slice().into()),
            Identifier::CircuitId(id) => DeviceId::Circuit(id.as_slice().into()),
        }
    }

    /// By what an address is kept for it.
    pub fn identifier(&self) -> Identifier {
        match self {
            DeviceId::Hw(hw) => Identifier::Mac(*hw),
            DeviceId::Client(id) => Identifier::ClientId(id.to_vec()),
            DeviceId::Circuit(id) => Identifier::CircuitId(id.to_vec()),
        }
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
        match self {
            DeviceId::Hw(hw) if hw.htype() == HwAddr::ETHERNET => f.write_str(&hw.to_string().replace(':', "-")),
            DeviceId::Hw(hw) => {
                write!(f, "hw{}-", hw.htype())?;
                hex(f, hw.bytes())
            }
            DeviceId::Client(id) => {
                f.write_str("id-")?;
                hex(f, id)
            }
            DeviceId::Circuit(id) => {
                f.write_str("port-")?;
                hex(f, id)
            }
        }
    }
}

/// Also a MAC in any other notation, as people type it. The error is a sentence.
impl FromStr for DeviceId {
    type Err = String;
    fn from_str(text: &str) -> Result<DeviceId, String> {
        let bytes =
            |hex: &str| data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok().filter(|id| (1..=255).contains(&id.len()));
        let wrong = || format!("`{text}` names no device. Search for it by name, address or MAC.");
        if let Some(hex) = text.strip_prefix("id-") {
            return bytes(hex).map(|id| DeviceId::Client(id.into())).ok_or_else(wrong);
        }
        if let Some(hex) = text.strip_prefix("port-") {
            return bytes(hex).map(|id| DeviceId::Circuit(id.into())).ok_or_else(wrong);
        }
        if let Some((htype, hex)) = text.strip_prefix("hw").and_then(|rest| rest.split_once('-')) {
            let hw = htype.parse().ok().zip(bytes(hex)).and_then(|(htype, bytes)| HwAddr::new(htype, &bytes));
            return hw.map(DeviceId::Hw).ok_or_else(wrong);
        }
        text.parse::<HwAddr>().map(DeviceId::Hw).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_a_url() {
        for id in [
            DeviceId::Hw(HwAddr::ethernet([0xa4, 0xcf, 0x12, 0x9b, 0, 0x1e])),
            DeviceId::Hw(HwAddr::new(32, &[7; 16]).expect("sixteen bytes")),
            DeviceId::Client(Box::new([0, 0xff])),
            DeviceId::Client(vec![b'/'; 255].into()),
            DeviceId::Circuit(Box::new([4])),
        ] {
            let text = id.to_string();
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{text}");
            assert_eq!(text.parse(), Ok(id));
        }
    }

    #[test]
    fn a_mac_is_taken_in_any_notation_and_nonsense_is_told() {
        assert_eq!("A4CF129B001E".parse::<DeviceId>(), "a4-cf-12-9b-00-1e".parse());
        for odd in ["", "id-", "id-zz", "hw999-00", "port-0", "../etc", "id-\u{202e}"] {
            assert!(odd.parse::<DeviceId>().is_err(), "{odd}");
        }
    }
}
