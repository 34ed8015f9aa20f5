//! Work on the database on a thread beside the writer's, with a connection of its own. It can be broken off: the log is emptied by the
//! connection that closes last, and that must be the writer's.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{Builder, JoinHandle},
};

use rusqlite::{Connection, InterruptHandle};

use super::{Fault, StoreError};

/// Breaks off what a connection is doing, and what it would begin.
#[derive(Clone, Default)]
pub struct Halt(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    is_over: bool,
    working: Option<InterruptHandle>,
}

impl Halt {
    /// To be called before the connection begins with anything long.
    pub fn watch(&self, connection: &Connection) -> Result<(), Fault> {
        let mut state = self.lock();
        if state.is_over {
            let reason = "the server is stopping".into();
            return Err(Fault::Refused(StoreError::Other { path: connection.path().unwrap_or_default().into(), reason }));
        }
        state.working = Some(connection.get_interrupt_handle());
        Ok(())
    }

    pub fn is_over(&self) -> bool {
        self.lock().is_over
    }

    fn halt(&self) {
        let mut state = self.lock();
        state.is_over = true;
        if let Some(working) = &state.working {
            working.interrupt();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Halt").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}

/// The thread aside. One piece of work at a time.
#[derive(Debug, Default)]
pub struct Aside {
    halt: Halt,
    thread: Option<JoinHandle<()>>,
}

impl Aside {
    pub fn is_busy(&self) -> bool {
        self.thread.is_some()
    }

    /// Where no thread can be started, nothing is done, and nobody is told.
    pub fn start(&mut self, work: impl FnOnce(&Halt) + Send + 'static) {
        let halt = self.halt.clone();
        self.thread = Builder::new().name("store-aside".into()).spawn(move || work(&halt)).ok();
    }

    /// To be called when the work has told that it is done.
    pub fn done(&mut self) {
        self.thread = None;
    }

    /// Returns when the thread's connection is closed.
    pub fn end(&mut self) {
        self.halt.halt();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread aside the store ended by a defect");
        }
    }
}
