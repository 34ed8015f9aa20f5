//! `password`: for whoever has forgotten it, or sets it before the first browser comes.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    os::fd::AsRawFd,
};

use clap::Subcommand;
use twinlease::{
    protocol::Command,
    settings::{Record, access::Access},
    web::access::password,
};

use super::{DONE, FOUND, Place, door};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Set it. It is asked for, or read from standard input.
    Set,
    /// Take it away: whoever opens the dashboard first sets another.
    Reset,
}

pub fn run(place: &Place, action: Action) -> anyhow::Result<u8> {
    let settings = door::settings(place)?;
    let (access, told) = match action {
        Action::Set => {
            let password = ask()?;
            if let Some(objection) = password::objection(&password) {
                eprintln!("{objection}");
                return Ok(FOUND);
            }
            let access = password::with_password(&settings, password::hash(&password));
            (access, "The password is set, for the twin too. Everybody is signed out.")
        }
        Action::Reset => {
            let access = Access { password: None, ..settings.access };
            (
                access,
                "There is no password any more, here and on the twin. Open the dashboard now: whoever does so first sets it.",
            )
        }
    };
    match door::submit(place, Command::Put(Record::Access(access)))? {
        Ok(()) => {
            println!("{told}");
            Ok(DONE)
        }
        Err(refusal) => {
            eprintln!("{refusal}");
            Ok(FOUND)
        }
    }
}

/// Without showing it, where somebody types.
fn ask() -> io::Result<String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return line(&mut stdin.lock());
    }
    eprint!("New password: ");
    io::stderr().flush()?;
    let _hidden = Hidden::start(stdin.as_raw_fd())?;
    let password = line(&mut stdin.lock());
    eprintln!();
    password
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    from.read_line(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The terminal echoes nothing as long as this lives.
struct Hidden {
    terminal: i32,
    before: libc::termios,
}

impl Hidden {
    fn start(terminal: i32) -> io::Result<Hidden> {
        // SAFETY: `termios` is plain data, and tcgetattr fills it or fails.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open, and the pointer is valid for the call.
        if unsafe { libc::tcgetattr(terminal, &raw mut before) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut silent = before;
        silent.c_lflag &= !libc::ECHO;
        // SAFETY: as above.
        if unsafe { libc::tcsetattr(terminal, libc::TCSAFLUSH, &raw const silent) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Hidden { terminal, before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { libc::tcsetattr(self.terminal, libc::TCSAFLUSH, &raw const self.before) };
    }
}
