//! Copies the write-ahead log into the database on a thread of its own, so that commits do not wait for it.
//!
//! The writer goes on while most of the log is copied; then it copies the little that came meanwhile, and the
//! log begins anew. Where this fails or is too slow, SQLite itself does it within a commit (`LOG_PAGES_MAX`).

use std::{
    path::Path,
    sync::mpsc::{SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
};

use rusqlite::{Connection, OpenFlags};

use super::LOG_PAGES;

#[derive(Debug)]
pub struct LogCopier {
    /// `None`: no thread could be started; the log is copied within commits.
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
    is_busy: bool,
    /// The log's length that is worth a copy.
    copy_at: u32,
}

impl LogCopier {
    /// `copied` is called on the thread each time it has done what it can.
    pub fn start(database: &Path, copied: impl Fn() + Send + 'static) -> LogCopier {
        let (ask, asked) = sync_channel(1);
        let thread = open(database).and_then(|connection| {
            let work = move || {
                while asked.recv().is_ok() {
                    if let Err(error) = copy(&connection) {
                        tracing::warn!("the store's log cannot be copied: {error}");
                    }
                    copied();
                }
            };
            let started = Builder::new().name("store-log".into()).spawn(work);
            started.inspect_err(|error| tracing::warn!("the store's log has no thread: {error}")).ok()
        });
        LogCopier { thread: thread.map(|thread| (ask, thread)), is_busy: false, copy_at: LOG_PAGES }
    }

    /// To be called after each commit, with the writer's connection.
    pub fn committed(&mut self, writer: &Connection) {
        let Some((ask, _)) = &self.thread else { return };
        if !self.is_busy && log_pages(writer).is_ok_and(|pages| pages >= self.copy_at) {
            self.is_busy = ask.try_send(()).is_ok();
        }
    }

    /// To be called after `copied`: finishes what was begun.
    pub fn finish(&mut self, writer: &Connection) {
        self.is_busy = false;
        self.copy_at = match copy(writer) {
            Ok((pages, copied)) if pages == copied => LOG_PAGES,
            // A reader is in the way, or the disk is: not again at once.
            Ok((pages, _)) => pages.saturating_add(LOG_PAGES),
            Err(_) => self.copy_at.saturating_add(LOG_PAGES),
        };
    }

    pub fn stop(&mut self) {
        if let Some((ask, thread)) = self.thread.take() {
            drop(ask);
            if thread.join().is_err() {
                tracing::error!("the thread of the store's log ended by a defect");
            }
        }
    }
}

fn open(database: &Path) -> Option<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(database, flags).and_then(|connection| {
        // The sync that makes a copy safe is that of the connection that copies.
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -64; PRAGMA mmap_size = 0")?;
        Ok(connection)
    });
    opened.inspect_err(|error| tracing::warn!("the store's log is copied within commits: {error}")).ok()
}

/// Pages in the log, and how many of them are copied now.
fn copy(connection: &Connection) -> rusqlite::Result<(u32, u32)> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
}

fn log_pages(connection: &Connection) -> rusqlite::Result<u32> {
    connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?.query_row([], |row| row.get(1))
}
