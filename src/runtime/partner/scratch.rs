//! A folder that a test may write into, and that goes when the test ends.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::key::{hex, random};

pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("twinlease-{name}-{}", hex(&random::<6>())));
        fs::create_dir_all(&path).expect("the temporary folder can be written");
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
