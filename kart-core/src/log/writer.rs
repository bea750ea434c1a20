//! Writing the log as the run goes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::record::{Line, Record};
use super::{EndRecord, Known, RunId, StartRecord, TaskRecord, digest, pack, segment};
use crate::error::StoreError;
use crate::workspace::Workspace;

/// How often what is new is written.
const EVERY: Duration = Duration::from_secs(5);
/// It is written before its time when there is so much of it: more than a thousand records.
const SEGMENT_BYTES: usize = 4 << 20;
/// The log of a store that takes nothing is not kept in memory for ever.
const MOST_BYTES: usize = 64 << 20;
/// How long the end of a run waits for its log.
const PATIENCE: Duration = Duration::from_secs(5);

/// The log of one run. Its records are taken at once and written in the background.
#[derive(Debug)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    over: watch::Sender<bool>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    workspace: Workspace,
    run: RunId,
    buffer: Mutex<Buffer>,
    is_full: Notify,
}

#[derive(Debug, Default)]
struct Buffer {
    text: Vec<u8>,
    lines: u64,
    segments: u32,
    lost: u64,
    failure: Option<StoreError>,
}

impl Log {
    /// Begins the log of a run.
    pub(crate) fn begin(workspace: &Workspace, run: RunId, start: StartRecord) -> Self {
        let shared = Arc::new(Shared {
            workspace: workspace.clone(),
            run,
            buffer: Mutex::default(),
            is_full: Notify::new(),
        });
        shared.note(Record::Start(start));
        let over = watch::Sender::new(false);
        let writer = tokio::spawn(write(Arc::clone(&shared), over.subscribe()));
        Log {
            shared,
            over,
            writer: Some(writer),
        }
    }

    pub(crate) fn task(&self, record: TaskRecord) {
        self.shared.note(Record::Task(Box::new(record)));
    }

    /// Writes the rest, and the digest for the next start: what could not be written, if so.
    pub(crate) async fn end(mut self, end: EndRecord, known: &mut Known) -> Option<String> {
        self.shared.note(Record::End(end));
        self.over.send_replace(true);
        let ended = async {
            if let Some(writer) = self.writer.take() {
                // It does not panic.
                let _ = writer.await;
            }
            known.include(self.shared.run, self.shared.lock().segments);
            let digest = digest(self.shared.run);
            let text = Bytes::from(serde_json::to_vec(known).unwrap_or_default());
            self.shared.workspace.replace(&digest, text).await?;
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

    fn note(&self, record: Record) {
        let mut buffer = self.lock();
        let line = Line {
            run: self.run,
            number: buffer.lines,
            record,
        };
        buffer.lines += 1;
        if buffer.text.len() > MOST_BYTES {
            buffer.lost += 1;
            return;
        }
        // A record is plain data.
        let _ = serde_json::to_writer(&mut buffer.text, &line);
        buffer.text.push(b'\n');
        if buffer.text.len() >= SEGMENT_BYTES {
            self.is_full.notify_one();
        }
    }

    /// Writes what is new as one more segment. What could not be written is tried again with the next.
    async fn flush(&self) {
        let (text, number) = {
            let mut buffer = self.lock();
            (std::mem::take(&mut buffer.text), buffer.segments)
        };
        if text.is_empty() {
            return;
        }
        let text = Bytes::from(text);
        let written = self
            .workspace
            .replace(&segment(self.run, number), text.clone())
            .await;
        let mut buffer = self.lock();
        match written {
            Ok(()) => {
                buffer.segments += 1;
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
                let newer = std::mem::replace(&mut buffer.text, text.to_vec());
                buffer.text.extend_from_slice(&newer);
            }
        }
    }
}

async fn write(shared: Arc<Shared>, mut over: watch::Receiver<bool>) {
    loop {
        let is_over = tokio::select! {
            // A sender that is gone has been dropped with its run.
            _ = over.wait_for(|over| *over) => true,
            () = sleep(EVERY) => false,
            () = shared.is_full.notified() => false,
        };
        shared.flush().await;
        if is_over {
            return;
        }
    }
}
