//! The lights on the box: a thread that plays the pattern of the present sign. A pin that fails is said once, and delays nobody.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use gpiocdev::line::Value;

use super::gpio::Line;
use crate::{
    runtime::led::{self, Colour, Pattern, Sign},
    settings::setup::Lights,
};

/// How often the brightness is set: a fade looks even, and the pin is not driven for nothing.
const FRAME: Duration = Duration::from_millis(50);
/// From here a light that knows only on and off is on.
const HALF: u8 = 128;

/// One light of one colour.
trait Pin: Send {
    fn set(&mut self, is_on: bool) -> Result<(), String>;
}

/// By rppal; where it does not know the board (or the kernel keeps it out), by the kernel's own way.
fn open(gpio: u8) -> Result<Box<dyn Pin>, String> {
    match rppal::gpio::Gpio::new().and_then(|gpio_of_board| gpio_of_board.get(gpio)) {
        Ok(pin) => Ok(Box::new(Direct(pin.into_output_low()))),
        Err(first) => match Line::open(gpio, |line| line.as_output(Value::Inactive)) {
            Ok(pin) => Ok(Box::new(pin)),
            Err(second) => Err(format!("GPIO {gpio} cannot be driven ({first}; {second}). The light on it stays dark.")),
        },
    }
}

struct Direct(rppal::gpio::OutputPin);

impl Pin for Direct {
    fn set(&mut self, is_on: bool) -> Result<(), String> {
        self.0.write(if is_on { rppal::gpio::Level::High } else { rppal::gpio::Level::Low });
        Ok(())
    }
}

impl Pin for Line {
    fn set(&mut self, is_on: bool) -> Result<(), String> {
        Line::set(self, if is_on { Value::Active } else { Value::Inactive })
    }
}

/// The board's own light, which the kernel drives.
struct Act(PathBuf);

impl Act {
    fn open(sys: &Path) -> Option<Act> {
        let leds = sys.join("class/leds");
        let folder = ["ACT", "led0", "act"].iter().map(|name| leds.join(name)).find(|folder| folder.is_dir())?;
        // Otherwise it goes on showing the card's activity.
        fs::write(folder.join("trigger"), "none").ok()?;
        Some(Act(folder))
    }
}

impl Pin for Act {
    fn set(&mut self, is_on: bool) -> Result<(), String> {
        fs::write(self.0.join("brightness"), if is_on { "1" } else { "0" }).map_err(|error| error.to_string())
    }
}

/// What a pin shows of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All of its colours.
    Any,
    Red,
    Green,
    Blue,
}

impl Part {
    fn shows(self, colour: Colour) -> bool {
        let (red, green, blue) = match colour {
            Colour::White => (true, true, true),
            Colour::Blue => (false, false, true),
            Colour::Green => (false, true, false),
            // With lights that are on or off: yellow.
            Colour::Amber => (true, true, false),
            Colour::Cyan => (false, true, true),
            Colour::Magenta => (true, false, true),
            Colour::Red => (true, false, false),
        };
        match self {
            Part::Any => true,
            Part::Red => red,
            Part::Green => green,
            Part::Blue => blue,
        }
    }
}

struct Light {
    part: Part,
    pin: Box<dyn Pin>,
    is_on: Option<bool>,
    has_failed: bool,
}

impl Light {
    fn show(&mut self, level: u8, colour: Colour) {
        let is_on = level >= HALF && self.part.shows(colour);
        if self.is_on == Some(is_on) {
            return;
        }
        match self.pin.set(is_on) {
            Ok(()) => self.is_on = Some(is_on),
            Err(why) if !self.has_failed => {
                self.has_failed = true;
                tracing::warn!("a light cannot be set: {why}");
            }
            Err(_) => {}
        }
    }
}

/// What the lights shall say. Clones set the same lights.
#[derive(Clone)]
pub struct Panel {
    shown: Arc<Shown>,
}

struct Shown {
    sign: Mutex<Sign>,
    /// Blinks to count out: the last part of the address, digit by digit.
    digits: Mutex<Option<Vec<u8>>>,
    /// While the button is held: how far it is.
    held: Mutex<Option<u8>>,
}

impl Panel {
    /// Opens what there is and plays from now on, for as long as the program runs. The sentences: what cannot be lit.
    pub fn start(lights: &Lights, sys: &Path) -> (Panel, Vec<String>) {
        let mut troubles = Vec::new();
        let mut open_light = |gpio: u8, part: Part| match open(gpio) {
            Ok(pin) => Some(Light { part, pin, is_on: None, has_failed: false }),
            Err(why) => {
                troubles.push(why);
                None
            }
        };
        let one = lights.one.and_then(|gpio| open_light(gpio, Part::Any));
        let rgb: Vec<Light> = lights
            .rgb
            .into_iter()
            .flat_map(|pins| pins.into_iter().zip([Part::Red, Part::Green, Part::Blue]))
            .filter_map(|(gpio, part)| open_light(gpio, part))
            .collect();
        let act = lights.act.then(|| Act::open(sys)).flatten();
        let act = act.map(|act| Light { part: Part::Any, pin: Box::new(act), is_on: None, has_failed: false });
        let mut all: Vec<Light> = one.into_iter().chain(rgb).chain(act).collect();
        let shown = Arc::new(Shown { sign: Mutex::new(Sign::Booting), digits: Mutex::new(None), held: Mutex::new(None) });
        let panel = Panel { shown: Arc::clone(&shown) };
        let started = std::thread::Builder::new().name("lights".into()).spawn(move || play(&shown, &mut all));
        if let Err(error) = started {
            troubles.push(format!("The lights stay as they are: their thread cannot be started ({error})."));
        }
        (panel, troubles)
    }

    pub fn set(&self, sign: Sign) {
        *self.shown.sign.lock().unwrap_or_else(PoisonError::into_inner) = sign;
    }

    /// Blinks these digits once, then goes on with the sign.
    pub fn count_out(&self, digits: Vec<u8>) {
        *self.shown.digits.lock().unwrap_or_else(PoisonError::into_inner) = Some(digits);
    }

    /// The button is held, so far; `None`: it is let go.
    pub fn hold(&self, stage: Option<u8>) {
        *self.shown.held.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }
}

fn play(shown: &Shown, lights: &mut [Light]) {
    let mut sign = Sign::Booting;
    let mut pattern = led::pattern(sign);
    let begin = Instant::now();
    let mut since = begin;
    let mut counting: Option<(Pattern, Instant)> = None;
    loop {
        if let Some(digits) = shown.digits.lock().unwrap_or_else(PoisonError::into_inner).take() {
            counting = Some((led::digits(&digits), Instant::now()));
        }
        if counting.as_ref().is_some_and(|(pattern, since)| since.elapsed() >= pattern.length()) {
            counting = None;
            since = Instant::now();
        }
        let now = *shown.sign.lock().unwrap_or_else(PoisonError::into_inner);
        if now != sign {
            sign = now;
            pattern = led::pattern(sign);
            since = Instant::now();
        }
        let held = *shown.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (level, colour) = match (held, &counting) {
            (Some(stage), _) => led::held(stage).at(begin.elapsed()),
            (None, Some((pattern, since))) => pattern.at(since.elapsed()),
            (None, None) => pattern.at(since.elapsed()),
        };
        for light in lights.iter_mut() {
            light.show(level, colour);
        }
        std::thread::sleep(FRAME);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boards_own_light_follows_the_file_that_the_kernel_has_for_it() {
        let sys = std::env::temp_dir().join(format!("twinlease-act-{}", std::process::id()));
        let folder = sys.join("class/leds/ACT");
        fs::create_dir_all(&folder).expect("a folder");
        for (name, content) in [("trigger", "[mmc0] none"), ("brightness", "0")] {
            fs::write(folder.join(name), content).expect("a file");
        }
        let mut act = Act::open(&sys).expect("a light");
        assert_eq!(fs::read_to_string(folder.join("trigger")).expect("text"), "none");
        act.set(true).expect("set");
        assert_eq!(fs::read_to_string(folder.join("brightness")).expect("text"), "1");
        fs::remove_dir_all(&sys).expect("removed");
        assert!(Act::open(&sys).is_none());
    }

    #[test]
    fn each_colour_lights_what_it_is_mixed_of() {
        let lit = |colour| [Part::Red, Part::Green, Part::Blue].map(|part| part.shows(colour));
        assert_eq!(lit(Colour::White), [true, true, true]);
        assert_eq!(lit(Colour::Magenta), [true, false, true]);
        assert_eq!(lit(Colour::Amber), [true, true, false]);
        assert!(Part::Any.shows(Colour::Blue));
    }
}
