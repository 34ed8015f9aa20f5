//! `/devices/what-if`: what a device would get if it asked now. Nothing changes by it.

use std::net::Ipv4Addr;

use askama::Template;
use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{
    Pairs,
    received::{self, Received, received},
    said,
    trace::{Remedy, capital, remedy},
};
use crate::{
    protocol::{
        explain::{Outcome, spell},
        lease::HwAddr,
        what_if::WhatIf,
    },
    runtime::{handle::Stopped, oui},
    settings::words::read_mac,
    web::{
        House, Site,
        devices::{
            device::{find, gather, kept_at},
            id::DeviceId,
            link,
        },
        form::Errors,
        shell::{self, Section, Shell},
        visitor::Visitor,
    },
};

#[derive(Template)]
#[template(path = "device_what_if.html")]
struct Page {
    shell: Shell,
    mac: String,
    /// Chosen among these.
    network: String,
    networks: Vec<(String, String)>,
    errors: Errors,
    answer: Option<Answer>,
    is_serving: bool,
}

#[derive(Debug)]
struct Answer {
    mac: String,
    maker: Option<&'static str>,
    is_private: bool,
    outcome: String,
    is_refusal: bool,
    steps: Vec<String>,
    received: Vec<Received>,
    remedy: Option<Remedy>,
    /// Of the device, if it is known.
    page: Option<String>,
}

pub async fn page(State(site): State<Site>, visitor: Visitor, Query(asked): Query<Pairs>) -> Result<Response, Stopped> {
    let house = site.house().await?;
    let given: String = said(&asked, "mac").unwrap_or_default().trim().chars().take(100).collect();
    let network = said(&asked, "network").unwrap_or_default().to_owned();
    let mut errors = Errors::default();
    let mut answer = None;
    if !given.is_empty() {
        match read_mac(&given) {
            Ok(hw) => answer = Some(ask(&site, &house, hw, &network).await?),
            Err(why) => errors.add("mac", why),
        }
    }
    let status = if errors.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let page = Page {
        shell: Shell::new(&house, &visitor, Section::Devices, "What if this device asked now?"),
        mac: given,
        networks: house.settings.subnets.iter().map(|subnet| (subnet.network.to_string(), subnet.network.to_string())).collect(),
        network,
        errors,
        answer,
        is_serving: house.status.serving,
    };
    Ok((status, shell::page(&page)).into_response())
}

async fn ask(site: &Site, house: &House, hw: HwAddr, network: &str) -> Result<Answer, Stopped> {
    let near: Option<Ipv4Addr> = network.parse::<ipnet::Ipv4Net>().ok().map(|network| network.network());
    let now = house.now;
    let (foreseen, table) = site
        .handle()
        .read(move |node, _| {
            let foreseen = node.what_if(now, &WhatIf { hw, near });
            let table = foreseen.outcome.as_ref().ok().map(|offer| received::table(node, offer.address));
            (foreseen, table.unwrap_or_default())
        })
        .await?;
    let steps = foreseen.steps.iter().map(|step| capital(&step.to_string())).collect();
    let silence = foreseen.outcome.as_ref().err().map(|why| Outcome::Silent { why: why.clone() });
    let outcome = match &foreseen.outcome {
        Ok(offer) if offer.has_it => format!("It keeps {}, for {}.", offer.address, spell(u64::from(offer.secs))),
        Ok(offer) => format!("It would be offered {}, for {}.", offer.address, spell(u64::from(offer.secs))),
        Err(why) => format!("It would not be answered: {why}."),
    };
    let address = foreseen.outcome.as_ref().ok().map(|offer| offer.address);
    Ok(Answer {
        mac: hw.to_string(),
        maker: oui::maker(hw),
        is_private: hw.is_private(),
        outcome,
        is_refusal: silence.is_some(),
        steps,
        received: address
            .map(|address| received(&house.settings, &table, address, kept_at(&house.settings, address)))
            .unwrap_or_default(),
        remedy: silence.as_ref().and_then(remedy),
        page: find(&gather(house), &DeviceId::Hw(hw)).map(|device| link(&device.id)),
    })
}
