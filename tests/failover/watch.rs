//! Clocks that a test sets: what each node's system tells it of the time, by tests/preload/clock.c.

use std::path::{Path, PathBuf};

use crate::crafted::preload;
use crate::lab::Lab;
use crate::pair::Side;
use crate::twins::Twins;

#[derive(Clone, Copy)]
pub struct Wall {
    pub offset_s: i64,
    pub frozen: bool,
    /// The kernel says that something keeps it right.
    pub trusted: bool,
    /// How long the machine was suspended since its boot. Never less than before.
    pub slept_s: u64,
}

impl Wall {
    pub const RIGHT: Wall = Wall { offset_s: 0, frozen: false, trusted: true, slept_s: 0 };
}

/// The files from which the nodes' clocks come.
pub struct Clocks([PathBuf; 2]);

impl Clocks {
    /// Before the pair is started. `None`: no C compiler.
    pub fn new(lab: &Lab, pair: &mut Twins<'_>) -> Option<Clocks> {
        let library = preload("clock")?;
        let files = Side::BOTH.map(|side| lab.folder().join(format!("{}.clock", side.host())));
        let text = |path: &Path| path.to_str().expect("the tests' paths are text").to_owned();
        for (environment, file) in pair.environment.iter_mut().zip(&files) {
            environment.extend([("LD_PRELOAD".into(), text(&library)), ("FAKE_CLOCK".into(), text(file))]);
        }
        let clocks = Clocks(files);
        Side::BOTH.into_iter().for_each(|side| clocks.set(side, Wall::RIGHT));
        Some(clocks)
    }

    pub fn set(&self, side: Side, wall: Wall) {
        let file = &self.0[side as usize];
        let text = format!("{} {} {} {}", wall.offset_s, u8::from(wall.frozen), u8::from(wall.trusted), wall.slept_s);
        // Never half written: it is read at every look at the clock.
        let new = file.with_extension("new");
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, file)).expect("the world's folder can be written");
    }
}
