//! Writing the log as the run goes.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::record::{Line, Note, Record};
use super::{EndRecord, Known, StartRecord, TaskRecord, pack};
use crate::error::StoreError;
use crate::run_id::RunId;
use crate::threads;
use crate::workspace::{Workspace, layout};

/// How often what is new is written.
const EVERY: Duration = Duration::from_secs(5);
/// It is written before its time when there are so many notes: some 4 MiB of text.
const SEGMENT_NOTES: usize = 8192;
/// The log of a store that takes nothing is not kept in memory for ever.
const MOST_NOTES: usize = 16 * SEGMENT_NOTES;
const MOST_BYTES: usize = 64 << 20;
/// So many notes are made into text at once, on a thread of their own, so that the end of a run has few left.
const MANY: usize = 512;
/// How long the end of a run waits for its log.
const PATIENCE: Duration = Duration::from_secs(5);

/// The log of one run. Its records are taken at once and written in the background.
#[derive(Debug)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    over: watch::Sender<bool>,
    writer: Option<JoinHandle<()>>,
}

/// Makes a record of what was noted.
type ToRecord = dyn Fn(Note) -> TaskRecord + Send + Sync;

struct Shared {
    workspace: Workspace,
    run: RunId,
    record: Box<ToRecord>,
    buffer: Mutex<Buffer>,
    is_full: Notify,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Buffer {
    /// What could not be written yet.
    text: Vec<u8>,
    /// How many notes are in the text.
    in_text: usize,
    new: Vec<(u64, Noted)>,
    lines: u64,
    segments: u32,
    lost: u64,
    failure: Option<StoreError>,
}

#[derive(Debug)]
enum Noted {
    Task(Note),
    Record(Record),
}

impl Log {
    /// Begins the log of a run; `record` makes records of what is noted, when they are written.
    pub(crate) fn begin(
        workspace: &Workspace,
        run: RunId,
        start: StartRecord,
        record: impl Fn(Note) -> TaskRecord + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            workspace: workspace.clone(),
            run,
            record: Box::new(record),
            buffer: Mutex::default(),
            is_full: Notify::new(),
        });
        shared.note(Noted::Record(Record::Start(start)));
        let over = watch::Sender::new(false);
        let writer = tokio::spawn(write(Arc::clone(&shared), over.subscribe()));
        Log {
            shared,
            over,
            writer: Some(writer),
        }
    }

    pub(crate) fn note(&self, note: Note) {
        self.shared.note(Noted::Task(note));
    }

    /// Writes the rest, and beside it the digest for the next start: what could not be written, if so.
    pub(crate) async fn end(mut self, end: EndRecord, known: &mut Known) -> Option<String> {
        self.shared.note(Noted::Record(Record::End(end)));
        self.over.send_replace(true);
        let ended = async {
            if let Some(writer) = self.writer.take() {
                // It does not panic.
                let _ = writer.await;
            }
            // The rest is one segment more. Where it cannot be written the digest knows what would have been in it.
            known.include(self.shared.run, self.shared.lock().segments + 1);
            let digest = layout::run_digest(self.shared.run);
            let text = Bytes::from(serde_json::to_vec(known).unwrap_or_default());
            let workspace = &self.shared.workspace;
            let ((), digested) =
                tokio::join!(self.shared.flush(), workspace.replace(&digest, text));
            digested?;
            if known.unpacked() > pack::UNPACKED {
                pack::pack(&self.shared.workspace, self.shared.run).await?;
            }
            Ok(())
        };
        let ended = timeout(PATIENCE, ended).await;
        let mut buffer = self.shared.lock();
        let failure = match ended {
            Ok(Ok(())) => buffer.failure.take(),
            Ok(Err(error)) => Some(error),
            Err(_) => return Some("the store did not take the rest in time".to_owned()),
        };
        failure.map(|error| crate::error::chain(&error))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            writer.abort();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, noted: Noted) {
        let mut buffer = self.lock();
        let number = buffer.lines;
        buffer.lines += 1;
        if buffer.new.len() > MOST_NOTES || buffer.text.len() > MOST_BYTES {
            buffer.lost += 1;
            return;
        }
        buffer.new.push((number, noted));
        if buffer.new.len() >= MANY {
            self.is_full.notify_one();
        }
    }

    /// The lines of what was noted, after those that could not be written before.
    fn lines(&self, mut text: Vec<u8>, noted: Vec<(u64, Noted)>) -> Vec<u8> {
        for (number, noted) in noted {
            let line = Line {
                run: self.run,
                number,
                record: match noted {
                    Noted::Task(note) => Record::Task(Box::new((self.record)(note))),
                    Noted::Record(record) => record,
                },
            };
            // A record is plain data.
            let _ = serde_json::to_writer(&mut text, &line);
            text.push(b'\n');
        }
        text
    }

    /// Makes text of what was noted; returns whether it is enough for a segment.
    async fn make_text(self: &Arc<Self>) -> bool {
        let (text, noted, in_text) = {
            let mut buffer = self.lock();
            let noted = std::mem::take(&mut buffer.new);
            buffer.in_text += noted.len();
            (std::mem::take(&mut buffer.text), noted, buffer.in_text)
        };
        let text = if noted.len() < MANY {
            self.lines(text, noted)
        } else {
            let shared = Arc::clone(self);
            let lines = threads::run(move |_| shared.lines(text, noted)).await;
            // It does not panic.
            lines.unwrap_or_default()
        };
        self.lock().text = text;
        in_text >= SEGMENT_NOTES
    }

    /// Writes what is new as one more segment. What could not be written goes into the next.
    async fn flush(self: &Arc<Self>) {
        self.make_text().await;
        let (text, number) = {
            let mut buffer = self.lock();
            buffer.in_text = 0;
            (std::mem::take(&mut buffer.text), buffer.segments)
        };
        if text.is_empty() {
            return;
        }
        let text = Bytes::from(text);
        let written = self
            .workspace
            .replace(&layout::run_segment(self.run, number), text.clone())
            .await;
        let mut buffer = self.lock();
        // A segment is never written with other lines: where only the answer was lost another process may have packed it
        // already, and deletes it. Readers take each line once.
        buffer.segments += 1;
        match written {
            Ok(()) => {
                buffer.failure = None;
            }
            Err(error) => {
                if buffer.failure.is_none() {
                    let error = crate::error::chain(&error);
                    tracing::warn!(
                        error,
                        "failed to write the run log; the run goes on without"
                    );
                }
                buffer.failure = Some(error);
                buffer.text = text.into();
            }
        }
    }
}

async fn write(shared: Arc<Shared>, mut over: watch::Receiver<bool>) {
    let mut is_due = pin!(sleep(EVERY));
    loop {
        let is_full = tokio::select! {
            biased;
            // A sender that is gone has been dropped with its run.
            _ = over.wait_for(|over| *over) => return,
            () = &mut is_due => false,
            () = shared.is_full.notified() => true,
        };
        if is_full && !shared.make_text().await {
            continue;
        }
        shared.flush().await;
        is_due.set(sleep(EVERY));
    }
}
