//! A run as a page draws it: its graph, which is sent once, and what changes in it.

use bytes::Bytes;
use kart_core::{Event, Plan, Report, RunId};
use kart_view::{Changes, Graph, Recorder};
use tokio::sync::Mutex;

/// Compressed JSON, and what tells it from that of another moment.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) etag: String,
    pub(crate) bytes: Bytes,
    tasks: usize,
}

impl Packed {
    /// The graph of that run.
    pub(crate) fn new(run: RunId, graph: &Graph) -> Self {
        Packed {
            etag: format!("\"{run}-{}\"", graph.len()),
            bytes: kart_view::packed(graph).into(),
            tasks: graph.len(),
        }
    }
}

/// What a page is told of a run.
#[derive(Debug, Default)]
pub(super) struct Picture {
    recorder: Recorder,
    packed: Mutex<Option<Packed>>,
}

impl Picture {
    pub(super) fn take(&self, event: &Event<'_>) {
        self.recorder.take(event);
    }

    pub(super) fn settle(&self, report: &Report) {
        self.recorder.settle(report);
    }

    pub(super) fn changes(&self, since: usize) -> Changes {
        self.recorder.changes(since)
    }

    pub(super) fn plan(&self) -> Option<Plan> {
        self.recorder.plan()
    }

    pub(super) fn next(&self) -> usize {
        self.recorder.next()
    }

    /// The graph as it is now; none before it is known.
    pub(super) async fn graph(&self, run: RunId) -> Option<Packed> {
        // Held meanwhile, so that it is packed once for all who ask.
        let mut packed = self.packed.lock().await;
        let plan = self.recorder.plan();
        let plan = plan.filter(|plan| packed.as_ref().is_none_or(|old| old.tasks != plan.len()));
        if let Some(plan) = plan {
            let pack = move || Packed::new(run, &Graph::of(&plan));
            *packed = tokio::task::spawn_blocking(pack).await.ok();
        }
        packed.clone()
    }

    /// The run is over: what is told of its graph stays, and not the graph. How many bytes that are.
    pub(super) async fn keep(&self, run: RunId) -> usize {
        let packed = self.graph(run).await;
        self.recorder.let_go();
        self.recorder.weight() + packed.map_or(0, |packed| packed.bytes.len())
    }

    /// Forgets all of it.
    pub(super) async fn forget(&self) {
        *self.packed.lock().await = None;
        self.recorder.forget();
    }
}
