//! A sign that something may have changed. The loop only counts; whoever shows pages waits and looks by itself.

use tokio::sync::watch;

/// The loop's end. Costs one look at a number where nobody listens, and never waits.
#[derive(Debug)]
pub struct Beat(watch::Sender<u64>);

/// The listeners' end, to be copied.
#[derive(Debug, Clone)]
pub struct Pulse(watch::Sender<u64>);

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse(watch::channel(0).0)
    }
}

impl Beat {
    pub fn beat(&self) {
        if self.0.receiver_count() > 0 {
            self.0.send_modify(|count| *count += 1);
        }
    }
}

impl Pulse {
    pub fn beat(&self) -> Beat {
        Beat(self.0.clone())
    }

    pub fn listen(&self) -> Listener {
        Listener(self.0.subscribe())
    }
}

#[derive(Debug)]
pub struct Listener(watch::Receiver<u64>);

impl Listener {
    /// Returns after the next beat, or at once when there was one since the last call. Cancel safe.
    pub async fn changed(&mut self) {
        // Closed cannot be: a `Pulse` has a sender too.
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_beats_are_one_sign_and_none_is_lost() {
        let pulse = Pulse::default();
        let beat = pulse.beat();
        beat.beat();
        let mut listener = pulse.listen();
        for _ in 0..1000 {
            beat.beat();
        }
        listener.changed().await;
        let more = tokio::time::timeout(std::time::Duration::from_millis(10), listener.changed()).await;
        assert!(more.is_err(), "nothing since");
        beat.beat();
        listener.changed().await;
    }
}
