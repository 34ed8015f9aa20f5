//! The list as a file for a spreadsheet, whose cells are text and never formulas.

use super::{
    device::{Device, Standing},
    when,
};
use crate::{settings::words::show_identifier, web::House};

const HEAD: &str = "name,address,mac,identifier,maker,kept,standing,last_heard,lease_ends,note\r\n";

pub fn csv(devices: &[Device<'_>], house: &House) -> String {
    let mut file = String::from(HEAD);
    for device in devices {
        let standing = match device.standing(house.now) {
            Standing::Leased => "leased",
            Standing::Waiting => "waiting",
            Standing::Unanswered => "not answered",
            Standing::Resting => "address rests",
            Standing::Ended => "lease ended",
        };
        let date = |time| when::date(house, time).unwrap_or_default();
        let cells = [
            device.name().unwrap_or_default().to_owned(),
            device.address(house.now).map(|address| address.to_string()).unwrap_or_default(),
            device.hw.map(|hw| hw.to_string()).unwrap_or_default(),
            show_identifier(&device.kept.map_or_else(|| device.id.identifier(), |kept| kept.identifier.clone())),
            device.maker().unwrap_or_default().to_owned(),
            if device.kept.is_some() { "yes" } else { "no" }.to_owned(),
            standing.to_owned(),
            device.heard().map(date).unwrap_or_default(),
            device.lease.map(|lease| date(lease.expiry)).unwrap_or_default(),
            device.kept.and_then(|kept| kept.note.clone()).unwrap_or_default(),
        ];
        file.push_str(&cells.map(|text| cell(&text)).join(","));
        file.push_str("\r\n");
    }
    file
}

/// A spreadsheet takes what begins like this for a formula; names come from strangers.
fn cell(text: &str) -> String {
    let text: String = text.chars().filter(|&c| c != '\0').collect();
    let is_formula = text.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'])
        || text.starts_with(['\t', '\r', '\n']);
    let guard = if is_formula { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_is_text_in_a_spreadsheet() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "\n=1", "\0=1"] {
            assert!(cell(formula).starts_with("\"'"), "{formula:?}");
        }
        assert_eq!(cell("printer"), "\"printer\"");
    }

    #[test]
    fn quotes_commas_and_lines_stay_in_their_cell() {
        assert_eq!(cell("a\",\"b\nc"), "\"a\"\",\"\"b\nc\"");
    }
}
