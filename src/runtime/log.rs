//! Decisions as log lines that name the device. A slow terminal or a storm of packets cannot delay a reply.

pub mod kept;
pub mod on_card;
pub mod forward;

use std::{path::Path, time::Duration};

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::protocol::{
    explain::{Decision, Outcome, Silence, Step},
    lease::BindingState,
    time::Time,
};

/// Lines about decisions per second; the rest is counted.
const LINES_PER_SECOND: u32 = 500;
/// Lines that wait for the terminal or the journal; further ones are dropped.
const LINES_WAITING: usize = 8192;

/// Logs to standard error, with `RUST_LOG`'s filter, else `level`; the last lines are kept (`kept`), in `file` too. Keep the
/// guard for as long as lines shall be written.
pub fn start(level: &str, file: Option<&Path>) -> WorkerGuard {
    let tee = kept::Tee::new(std::io::stderr(), file);
    let (writer, guard): (NonBlocking, _) =
        NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING).lossy(true).finish(tee);
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(is_terminal).with_target(false).init();
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |what| {
        tracing::error!("{what}");
        told(what);
    }));
    guard
}

/// Lets so many lines through per second.
#[derive(Debug, Default)]
pub struct DecisionLog {
    second: Time,
    lines: u32,
    left_out: u64,
}

impl DecisionLog {
    /// Tells of what was left out, once its second is over. To be called now and then.
    pub fn tick(&mut self, now: Time) {
        if now - self.second >= Duration::from_secs(1) {
            if self.left_out > 0 {
                tracing::warn!("{} more decisions within a second, not logged one by one", self.left_out);
            }
            *self = DecisionLog { second: now, lines: 0, left_out: 0 };
        }
    }

    pub fn write(&mut self, now: Time, decision: &Decision) {
        let trouble = is_trouble(decision);
        if !trouble && !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        self.tick(now);
        self.lines += 1;
        if self.lines > LINES_PER_SECOND {
            self.left_out += 1;
            return;
        }
        let mac = decision.hw;
        let device = decision.name.as_deref().unwrap_or("unnamed device");
        let address = decision.outcome.address().map(tracing::field::display);
        let again = if decision.repeats > 0 && !matches!(decision.outcome, Outcome::Acked { .. }) {
            format!(" ({} times)", decision.repeats + 1)
        } else {
            String::new()
        };
        let (asked, outcome) = (decision.asked, &decision.outcome);
        if trouble {
            tracing::warn!(device, %mac, address, "{asked}{again}: {outcome}");
        } else {
            tracing::info!(device, %mac, address, "{asked}{again}: {outcome}");
        }
        for step in &decision.steps {
            match step {
                Step::ProbeAnswered { .. } | Step::DidNotFit { .. } | Step::CloneOf { .. } => {
                    tracing::warn!(device, %mac, "{step}")
                }
                step => tracing::debug!(device, %mac, "{step}"),
            }
        }
    }
}

/// Worth a look by a person.
pub fn is_trouble(decision: &Decision) -> bool {
    match &decision.outcome {
        Outcome::Declined { .. } | Outcome::AckedWhatIsDurable { .. } => true,
        Outcome::Silent { why } => matches!(
            why,
            Silence::PoolFull { .. }
                | Silence::StrangersAnswer { .. }
                | Silence::DiskTrouble { .. }
                | Silence::StoreBehind
                | Silence::TooOften
                | Silence::NoPool { .. }
        ),
        Outcome::Naked { .. } => {
            decision.steps.iter().any(|step| matches!(step, Step::Has { state: BindingState::Declined, .. }))
        }
        Outcome::Offered { .. }
        | Outcome::Acked { .. }
        | Outcome::Informed { .. }
        | Outcome::BootpReply { .. }
        | Outcome::Released { .. }
        | Outcome::QueryAnswered => false,
    }
}
