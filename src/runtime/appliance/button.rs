//! The button on the box, a contact from a pin to ground: a tap shows the address, held for longer it resets. Nothing happens before it
//! is let go, and the light tells meanwhile what that would do.

use std::time::{Duration, Instant};

use gpiocdev::line::{Bias, Value};

use super::{gpio::Line, lights::Panel, reset::Reset};

const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// So many equal looks in a row are a change: a contact bounces for some milliseconds.
const STEADY_LOOKS: u32 = 3;

/// What is wished with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    ShowAddress,
    Reset(Reset),
}

/// What letting go would mean after so long; `None`: nothing. Between a tap and the first reset, and after a minute, it is no wish but
/// a foot or a wire.
pub fn wish(held: Duration) -> Option<Wish> {
    match held.as_secs() {
        0 => Some(Wish::ShowAddress),
        5..10 => Some(Wish::Reset(Reset::Password)),
        10..20 => Some(Wish::Reset(Reset::Unpair)),
        20..60 => Some(Wish::Reset(Reset::Factory)),
        1..5 | 60.. => None,
    }
}

/// How far it is, for the light: 0 where letting go would reset nothing.
pub fn stage(held: Duration) -> u8 {
    match wish(held) {
        Some(Wish::Reset(Reset::Password)) => 1,
        Some(Wish::Reset(Reset::Unpair)) => 2,
        Some(Wish::Reset(Reset::Factory)) => 3,
        // No button says that a card has moved.
        Some(Wish::ShowAddress | Wish::Reset(Reset::Adopt)) | None => 0,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Held(Duration),
    LetGo(Duration),
}

/// The contact, look by look.
#[derive(Debug, Default)]
struct Contact {
    is_down: bool,
    /// Looks in a row that say otherwise.
    others: u32,
    /// `None` while it is down since before anybody looked: a wire, not a finger.
    since: Option<Instant>,
    was_up: bool,
}

impl Contact {
    fn look(&mut self, looks_down: bool, now: Instant) -> Option<Seen> {
        self.others = if looks_down == self.is_down { 0 } else { self.others + 1 };
        if self.others >= STEADY_LOOKS {
            (self.is_down, self.others) = (looks_down, 0);
            if looks_down {
                self.since = Some(now).filter(|_| self.was_up);
            } else {
                return self.since.take().map(|since| Seen::LetGo(now - since));
            }
        }
        self.was_up |= !self.is_down && !looks_down;
        self.since.map(|since| Seen::Held(now - since))
    }
}

trait Pin: Send {
    /// The contact is closed.
    fn is_down(&self) -> bool;
}

struct Direct(rppal::gpio::InputPin);

impl Pin for Direct {
    fn is_down(&self) -> bool {
        self.0.is_low()
    }
}

impl Pin for Line {
    /// One that cannot be read is not pressed.
    fn is_down(&self) -> bool {
        self.value().is_ok_and(|value| value == Value::Inactive)
    }
}

fn open(gpio: u8) -> Result<Box<dyn Pin>, String> {
    match rppal::gpio::Gpio::new().and_then(|board| board.get(gpio)) {
        Ok(pin) => Ok(Box::new(Direct(pin.into_input_pullup()))),
        Err(first) => match Line::open(gpio, |line| line.as_input().with_bias(Bias::PullUp)) {
            Ok(pin) => Ok(Box::new(pin)),
            Err(second) => Err(format!("The button on GPIO {gpio} cannot be read ({first}; {second}). RESET.TXT does the same.")),
        },
    }
}

/// Watches it from now on, for as long as the program runs. The error is a sentence.
pub fn start(gpio: u8, panel: Panel, obey: impl Fn(Wish) + Send + 'static) -> Result<(), String> {
    let pin = open(gpio)?;
    let watch = move || {
        let mut contact = Contact::default();
        loop {
            match contact.look(pin.is_down(), Instant::now()) {
                Some(Seen::Held(held)) => panel.hold(Some(stage(held))),
                Some(Seen::LetGo(held)) => {
                    panel.hold(None);
                    if let Some(wish) = wish(held) {
                        obey(wish);
                    }
                }
                None => {}
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    };
    let started = std::thread::Builder::new().name("button".into()).spawn(watch);
    started.map(|_| ()).map_err(|error| format!("The button does nothing: its thread cannot be started ({error})."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every 20 ms at what `is_down` says for each, from 0 on; what was let go, and for how long it had been held.
    fn watch(looks: impl Iterator<Item = bool>) -> Vec<u64> {
        let (mut contact, begin) = (Contact::default(), Instant::now());
        let mut let_go = Vec::new();
        for (nth, is_down) in looks.enumerate() {
            if let Some(Seen::LetGo(held)) = contact.look(is_down, begin + LOOK_INTERVAL * u32::try_from(nth).expect("few")) {
                let_go.push(held.as_millis() as u64);
            }
        }
        let_go
    }

    fn looks(parts: &[(bool, usize)]) -> impl Iterator<Item = bool> {
        parts.iter().flat_map(|&(is_down, count)| std::iter::repeat_n(is_down, count))
    }

    #[test]
    fn what_letting_go_means_follows_from_how_long_it_was_held() {
        let after = |secs| wish(Duration::from_secs(secs));
        assert_eq!(wish(Duration::from_millis(300)), Some(Wish::ShowAddress));
        assert_eq!([1, 4].map(after), [None, None], "too long for a tap, too short for a reset");
        assert_eq!([5, 9].map(after), [Some(Wish::Reset(Reset::Password)); 2]);
        assert_eq!([10, 19].map(after), [Some(Wish::Reset(Reset::Unpair)); 2]);
        assert_eq!([20, 59].map(after), [Some(Wish::Reset(Reset::Factory)); 2]);
        assert_eq!(after(60), None, "a foot, or a wire");
        assert_eq!([0, 3, 5, 10, 20, 61].map(|secs| stage(Duration::from_secs(secs))), [0, 0, 1, 2, 3, 0]);
    }

    #[test]
    fn a_press_counts_once_however_the_contact_bounces() {
        let bouncing =
            [(false, 10), (true, 1), (false, 1), (true, 2), (false, 1), (true, 50), (false, 1), (true, 1), (false, 20)];
        let let_go = watch(looks(&bouncing));
        assert_eq!(let_go.len(), 1, "{let_go:?}");
        assert!((900..1200).contains(&let_go[0]), "{let_go:?}");
        assert_eq!(watch(looks(&[(false, 10), (true, 2), (false, 10)])), Vec::<u64>::new(), "a spark is no press");
    }

    #[test]
    fn what_is_down_from_the_start_is_a_wire_until_it_was_up_once() {
        assert_eq!(watch(looks(&[(true, 500), (false, 50)])), Vec::<u64>::new());
        assert_eq!(watch(looks(&[(true, 500), (false, 50), (true, 50), (false, 10)])).len(), 1);
    }
}
