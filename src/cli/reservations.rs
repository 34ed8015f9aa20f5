//! `reservations`: kept addresses.

use std::net::Ipv4Addr;

use clap::Args;
use twinlease::{
    protocol::Command,
    settings::{
        Identifier, Record, Reservation,
        words::{read_id, read_mac, show_identifier},
    },
};

use super::{DONE, Place, door, refused, show};

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("who").required(true))]
pub struct Add {
    /// The address to keep; without it, the one that the device holds now.
    address: Option<Ipv4Addr>,
    /// By its hardware address.
    #[arg(long, group = "who")]
    mac: Option<String>,
    /// By option 61: hex pairs, or text:….
    #[arg(long, group = "who")]
    client_id: Option<String>,
    /// By the relay's port (option 82, circuit-id): hex pairs, or text:….
    #[arg(long, group = "who")]
    circuit_id: Option<String>,
    /// Host name: letters, digits and hyphens.
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    note: Option<String>,
    /// Always answer by broadcast.
    #[arg(long)]
    force_broadcast: bool,
    /// Do not echo the client-id, for devices that choke on it.
    #[arg(long)]
    no_client_id_echo: bool,
}

pub fn list(place: &Place, json: bool) -> anyhow::Result<u8> {
    let settings = door::settings(place)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&settings.reservations)?);
        return Ok(DONE);
    }
    if settings.reservations.is_empty() {
        println!("No address is kept. `twinlease reservations add 192.0.2.31 --mac a4:cf:12:9b:00:1e` keeps one.");
        return Ok(DONE);
    }
    let cells = settings.reservations.iter().map(|kept| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        vec![kept.address.to_string(), show_identifier(&kept.identifier), text(&kept.name), text(&kept.note)]
    });
    show::table(&["ADDRESS", "FOR", "NAME", "NOTE"], &cells.collect::<Vec<_>>());
    Ok(DONE)
}

pub fn add(place: &Place, add: &Add) -> anyhow::Result<u8> {
    let identifier = match identifier(add) {
        Ok(identifier) => identifier,
        Err(problem) => return refused(&problem),
    };
    let address = match add.address {
        Some(address) => address,
        None => match held_by(place, &identifier)? {
            Ok(address) => address,
            Err(problem) => return refused(&problem),
        },
    };
    let reservation = Reservation {
        identifier,
        address,
        name: add.name.clone(),
        note: add.note.clone(),
        options: Default::default(),
        force_broadcast: add.force_broadcast,
        echo_client_id: !add.no_client_id_echo,
    };
    let who = show_identifier(&reservation.identifier);
    match door::submit(place, Command::Add(Record::Reservation(reservation)))? {
        Ok(()) => {
            println!("{address} is kept for {who}.");
            Ok(DONE)
        }
        Err(refusal) => refused(&refusal),
    }
}

pub fn remove(place: &Place, what: &str) -> anyhow::Result<u8> {
    let settings = door::settings(place)?;
    let mac = read_mac(what).ok().map(Identifier::Mac);
    let is_meant = |kept: &&Reservation| {
        kept.address.to_string() == what
            || kept.name.as_deref() == Some(what)
            || mac.as_ref() == Some(&kept.identifier)
            || show_identifier(&kept.identifier) == what
    };
    let meant: Vec<&Reservation> = settings.reservations.iter().filter(is_meant).collect();
    let kept = match meant.as_slice() {
        [] => return refused(&format!("`{what}` is no kept address. `twinlease reservations list` shows them all.")),
        [kept] => kept,
        several => {
            let addresses = several.iter().map(|kept| kept.address.to_string()).collect::<Vec<_>>().join(", ");
            return refused(&format!(
                "`{what}` is the name of {} kept addresses: {addresses}. Say which address.",
                several.len()
            ));
        }
    };
    match door::submit(place, Command::Remove(Record::Reservation((*kept).clone()).key()))? {
        Ok(()) => {
            println!("{} is kept for {} no longer.", kept.address, show_identifier(&kept.identifier));
            Ok(DONE)
        }
        Err(refusal) => refused(&refusal),
    }
}

fn identifier(add: &Add) -> Result<Identifier, String> {
    match (&add.mac, &add.client_id, &add.circuit_id) {
        (Some(mac), ..) => read_mac(mac).map(Identifier::Mac),
        (_, Some(id), _) => read_id(id).map(Identifier::ClientId),
        (.., Some(id)) => read_id(id).map(Identifier::CircuitId),
        (None, None, None) => Err("Say which device: --mac, --client-id or --circuit-id.".into()),
    }
}

fn held_by(place: &Place, identifier: &Identifier) -> anyhow::Result<Result<Ipv4Addr, String>> {
    let Identifier::Mac(hw) = identifier else {
        return Ok(Err("Say which address to keep.".into()));
    };
    let mac = hw.to_string();
    let held = door::leases(place)?.into_iter().find(|row| row.mac == mac && row.state == "leased");
    Ok(held.map(|row| row.address).ok_or_else(|| format!("{mac} holds no address now. Say which one to keep.")))
}
