//! Tables of kept addresses: OPNsense's and pfSense's lists, a router's page, a spreadsheet. With or without a header.

use std::net::Ipv4Addr;

use super::taken::{Kept, Taken};
use crate::settings::words::{read_id, read_mac};

/// Wider rows are no list of devices.
const COLUMNS_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Mac,
    Address,
    Name,
    Note,
    ClientId,
    Other,
}

pub(super) fn looks_like_it(lines: &[&str]) -> bool {
    lines.iter().take(20).any(|line| {
        let cells = row(line, separator(line));
        let has_mac = cells.iter().any(|cell| is_mac(cell));
        has_mac && cells.iter().any(|cell| cell.trim().parse::<Ipv4Addr>().is_ok())
    })
}

pub fn read(text: &str, taken: &mut Taken) {
    let mut columns: Option<Vec<Column>> = None;
    let mut mark = None;
    for (at, line) in text.lines().enumerate() {
        let number = Some(at + 1);
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let mark = *mark.get_or_insert_with(|| separator(line));
        let cells = row(line, mark);
        let Some(known) = &columns else {
            let named: Vec<Column> = cells.iter().map(|cell| column(cell)).collect();
            let has = |column| named.contains(&column);
            if has(Column::Address) && (has(Column::Mac) || has(Column::ClientId)) {
                columns = Some(named);
                continue;
            }
            guessed(number, &cells, taken);
            continue;
        };
        let cell = |wanted| {
            let at = known.iter().position(|column| *column == wanted)?;
            cells.get(at).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
        };
        let client_id = cell(Column::ClientId).and_then(|id| read_id(id).or_else(|_| read_id(&format!("text:{id}"))).ok());
        let kept = Kept {
            mac: cell(Column::Mac),
            client_id,
            address: cell(Column::Address),
            name: cell(Column::Name),
            note: cell(Column::Note),
            ..Kept::default()
        };
        taken.keep(number, kept);
    }
}

/// Without a header: by what each cell looks like; the first other text is the name, the second the note.
fn guessed(line: Option<usize>, cells: &[String], taken: &mut Taken) {
    let mut kept = Kept::default();
    for cell in cells.iter().map(|cell| cell.trim()).filter(|cell| !cell.is_empty()) {
        if kept.mac.is_none() && is_mac(cell) {
            kept.mac = Some(cell);
        } else if kept.address.is_none() && cell.parse::<Ipv4Addr>().is_ok() {
            kept.address = Some(cell);
        } else if kept.name.is_none() {
            kept.name = Some(cell);
        } else if kept.note.is_none() {
            kept.note = Some(cell);
        }
    }
    if kept.mac.is_none() && kept.address.is_none() {
        return taken.skip(line, cells.join(", "), "It holds neither a MAC nor an address.");
    }
    taken.keep(line, kept);
}

fn is_mac(cell: &str) -> bool {
    let cell = cell.trim();
    // `192.0.2` would be one by its dots.
    cell.len() >= 11 && cell.parse::<Ipv4Addr>().is_err() && read_mac(cell).is_ok()
}

fn column(cell: &str) -> Column {
    let name: String = cell.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>().to_ascii_lowercase();
    match name.as_str() {
        "mac" | "macaddress" | "macaddr" | "hwaddr" | "hwaddress" | "hardwareaddress" | "ethernet" => Column::Mac,
        "ip" | "ipaddress" | "ipaddr" | "ipv4" | "ipv4address" | "address" | "fixedaddress" | "staticip" => Column::Address,
        "name" | "hostname" | "host" | "devicename" | "device" => Column::Name,
        "note" | "notes" | "description" | "descr" | "comment" => Column::Note,
        "cid" | "clientid" | "clientidentifier" => Column::ClientId,
        _ => Column::Other,
    }
}

/// The one that is there most often.
fn separator(line: &str) -> char {
    [',', ';', '\t'].into_iter().max_by_key(|mark| (line.matches(*mark).count(), *mark == ',')).unwrap_or(',')
}

/// Cells of one line; in quotes, two quotes are one. A cell that goes over the line's end is cut there.
fn row(line: &str, mark: char) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut chars = line.chars().peekable();
    let mut in_quotes = false;
    while let Some(c) = chars.next() {
        let at = cells.len() - 1;
        match c {
            '"' if in_quotes && chars.next_if_eq(&'"').is_some() => cells[at].push('"'),
            '"' if in_quotes || cells[at].trim().is_empty() => in_quotes = !in_quotes,
            c if c == mark && !in_quotes => {
                if cells.len() >= COLUMNS_MAX {
                    break;
                }
                cells.push(String::new());
            }
            c => cells[at].push(c),
        }
    }
    cells
}
