//! `leases`: who has which address; and taking one back.

use std::net::Ipv4Addr;

use twinlease::protocol::{Command, explain::spell};

use super::{DONE, FOUND, Place, door, show};

pub fn list(place: &Place, all: bool, json: bool) -> anyhow::Result<u8> {
    let mut rows = door::leases(place)?;
    if !all {
        rows.retain(|row| matches!(row.state.as_str(), "leased" | "declined" | "tentative"));
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(DONE);
    }
    if rows.is_empty() {
        println!("Nobody has a lease.");
        return Ok(DONE);
    }
    let cells = rows.iter().map(|row| {
        let left = match row.secs_left {
            None => "for ever".into(),
            Some(0) => row.expires.clone().unwrap_or_default(),
            Some(secs) => spell(secs),
        };
        let state = if row.kept { format!("{}, kept", row.state) } else { row.state.clone() };
        vec![row.address.to_string(), row.mac.clone(), state, left, row.name.clone().unwrap_or_default()]
    });
    show::table(&["ADDRESS", "MAC", "STATE", "LEFT", "NAME"], &cells.collect::<Vec<_>>());
    Ok(DONE)
}

pub fn free(place: &Place, address: Ipv4Addr) -> anyhow::Result<u8> {
    match door::submit(place, Command::Free(address))? {
        Ok(()) => {
            println!("{address} is free again.");
            Ok(DONE)
        }
        Err(refusal) => {
            eprintln!("{refusal}");
            Ok(FOUND)
        }
    }
}
