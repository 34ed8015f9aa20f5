//! `led-test`: plays each rhythm on the lights, for whoever has wired them.

use std::{fs, path::Path, time::Duration};

use twinlease::{
    runtime::{appliance::lights::Panel, led::Sign},
    settings::setup::{self, Lights},
};

use super::{DONE, FOUND, appliance::rhythm, show};

pub fn run(setup: Option<&Path>, wait: Duration) -> anyhow::Result<u8> {
    let lights = match setup {
        None => Lights::default(),
        Some(path) => match setup::read(&fs::read(path)?) {
            Ok(setup) => setup.lights,
            Err(problems) => {
                show::problems(path, &problems);
                return Ok(FOUND);
            }
        },
    };
    let (panel, dark) = Panel::start(&lights, Path::new("/sys"));
    for problem in &dark {
        eprintln!("{problem}");
    }
    for sign in Sign::ALL {
        println!("{}", rhythm(sign));
        panel.set(sign);
        std::thread::sleep(wait);
    }
    Ok(if dark.is_empty() { DONE } else { FOUND })
}
