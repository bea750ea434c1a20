//! What past runs have shown, and the reruns that follow from it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::code_change::stale_code;
use super::reruns::Reruns;
use super::settings::{OnCodeChange, Settings};
use crate::log::Known;
use crate::model::NodeId;
use crate::plan::{Graph, Selector};

/// What past runs have shown, according to the run log.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) known: Known,
    /// Tasks whose outputs other code made.
    pub(crate) changed: HashSet<NodeId>,
}

impl History {
    /// Reads the run log. If that fails, nothing is known.
    pub(crate) async fn load(settings: &Settings, graph: &Graph) -> Self {
        if !settings.run_log {
            return History::default();
        }
        let known = Known::load(&settings.workspace)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(
                    error = crate::error::chain(&error),
                    "failed to read the run log"
                );
                Known::default()
            });
        let changed = stale_code(settings, graph, &known).await;
        History { known, changed }
    }

    /// Returns how long tasks may take, by name.
    pub(crate) fn expected(&self, graph: &Graph) -> HashMap<&'static str, Duration> {
        let mut expected = HashMap::new();
        let mut seen = HashSet::new();
        for node in graph.nodes() {
            let spec = node.task.spec();
            if seen.insert(std::ptr::from_ref(spec))
                && let Some(duration) = self.known.expected(spec)
            {
                expected.insert(spec.name, duration);
            }
        }
        expected
    }

    /// Returns the reruns that the settings ask for, in addition to those that are open.
    pub(crate) fn reruns(
        &self,
        settings: &Settings,
        graph: &Graph,
        open: &Reruns,
    ) -> Vec<Selector> {
        let mut reruns: Vec<Selector> = settings.rerun.iter().cloned().collect();
        if settings.on_code_change == OnCodeChange::Rerun {
            let changed = self.changed.iter().map(|node| graph.node(*node).key);
            let changed = open.not_selected(changed.collect());
            if !changed.is_empty() {
                reruns.push(Selector::OtherCode(changed));
            }
        }
        reruns
    }
}
