//! The command line, then wiring that reads like a table of contents.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Output cut short by `| head` is no error worth a word.
    // SAFETY: no other thread runs yet, and the default action is a valid disposition.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    cli::run(cli::Args::parse())
}
