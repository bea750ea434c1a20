//! What every request can see.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use kart_core::{
    AnyTask, Given, ParamError, RunId, RunSummary, Runner, StopToken, TaskRecord, TaskSpec,
    Workspace, registry,
};
use serde_json::{Map, Value as Json};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

use crate::answer::Refusal;
use crate::auth::Guard;
use crate::error::ServeError;
use crate::feed::Feed;
use crate::metrics::Metrics;
use crate::past::Past;
use crate::runs::Runs;
use crate::settings::{Allow, Settings};

/// How long the list of past runs is believed.
const PAST: Duration = Duration::from_secs(5);
/// How long it is believed that the workspace answers, or not.
const READY: Duration = Duration::from_secs(1);
/// How long the workspace may take to answer.
const ANSWERS_IN: Duration = Duration::from_secs(2);
/// How many plans are made, and how often the whole log is read, at once.
const LOOKS: usize = 4;

pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) runner: Runner,
    pub(crate) workspace: Workspace,
    pub(crate) guard: Guard,
    pub(crate) runs: Arc<Runs>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) metrics: Arc<Metrics>,
    /// Says that the service is ending.
    pub(crate) closing: StopToken,
    pub(crate) looks: Semaphore,
    root: &'static TaskSpec,
    /// The parameters of the root that were given at the start, for each time that it is run; none where it needs more.
    given: Vec<Map<String, Json>>,
    /// What may be started besides the root.
    allowed: Vec<&'static TaskSpec>,
    past: Mutex<Option<(Instant, Arc<Vec<RunSummary>>)>>,
    /// The run of the past that somebody looked at last, when, and what is told of it.
    picture: Mutex<Option<(RunId, Instant, Arc<Past>)>>,
    ready: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl App {
    pub(crate) fn new(
        settings: Settings,
        runner: Runner,
        workspace: Workspace,
        root: &'static TaskSpec,
        given: Vec<Map<String, Json>>,
    ) -> Result<Self, ServeError> {
        let names = match &settings.allow {
            Allow::Named(names) => names.as_slice(),
            Allow::All => &[],
        };
        let allowed = names.iter().map(|name| {
            find(name).ok_or_else(|| {
                let names: Vec<_> = registry::tasks().iter().map(|spec| spec.name).collect();
                ServeError::Settings(format!(
                    "there is no task `{name}` to allow; there are {}",
                    names.join(", ")
                ))
            })
        });
        let allowed = allowed.collect::<Result<_, _>>()?;
        let feed = Arc::new(Feed::new(settings.kept_events));
        let metrics = Arc::new(Metrics::default());
        let runs = Runs::new(
            runner.clone(),
            workspace.clone(),
            settings.clone(),
            Arc::clone(&feed),
            Arc::clone(&metrics),
        );
        Ok(App {
            guard: Guard::new(&settings)?,
            settings,
            runner,
            workspace,
            runs: Arc::new(runs),
            feed,
            metrics,
            closing: StopToken::new(),
            looks: Semaphore::new(LOOKS),
            root,
            given,
            allowed,
            past: Mutex::default(),
            picture: Mutex::default(),
            ready: Mutex::default(),
        })
    }

    /// The task of that name, if it can be reached from outside.
    pub(crate) fn task(&self, name: &str) -> Result<&'static TaskSpec, Refusal> {
        let Some(spec) = find(name) else {
            return Err(Refusal::not_found(
                "there is no such task",
                "`list` on the command line names them all",
            ));
        };
        let is_allowed = self.settings.allow == Allow::All
            || std::ptr::eq(spec, self.root)
            || self
                .allowed
                .iter()
                .any(|allowed| std::ptr::eq(*allowed, spec));
        if !is_allowed {
            return Err(Refusal::forbidden(
                format!("the task {} cannot be reached from outside", spec.name),
                format!("start the service with --allow {}", spec.name),
            ));
        }
        Ok(spec)
    }

    /// What the service was started for.
    pub(crate) fn default_roots(&self) -> Result<Vec<AnyTask>, Refusal> {
        if self.given.is_empty() {
            // Says which parameter is missing.
            return made(self.root, Vec::new()).map(|task| vec![task]);
        }
        let roots = self.given.iter();
        roots
            .map(|given| made(self.root, as_json(given.clone())))
            .collect()
    }

    /// The same with some parameters put in the place of those that were given at the start.
    pub(crate) fn default_with(&self, params: Map<String, Json>) -> Result<Vec<AnyTask>, Refusal> {
        if params.is_empty() {
            return self.default_roots();
        }
        let mut given = match self.given.as_slice() {
            [] => Map::new(),
            [given] => given.clone(),
            _ => {
                return Err(Refusal::bad(
                    "the service was started for several tasks, which take no parameters",
                    format!("name one: POST /run/{}", self.root.name),
                ));
            }
        };
        given.extend(params);
        made(self.root, as_json(given)).map(|task| vec![task])
    }

    /// Past runs by the log, the newest first.
    pub(crate) async fn past(&self) -> Result<Arc<Vec<RunSummary>>, Refusal> {
        // Held while the log is read, so that many requests at once read it once.
        let mut past = self.past.lock().await;
        if let Some((at, runs)) = &*past
            && at.elapsed() < PAST
        {
            return Ok(Arc::clone(runs));
        }
        let runs = Arc::new(self.workspace.runs().await?);
        *past = Some((Instant::now(), Arc::clone(&runs)));
        Ok(runs)
    }

    /// What a page is told of a run that this process does not know.
    pub(crate) async fn picture(&self, run: &RunSummary) -> Result<Arc<Past>, Refusal> {
        // Held while the log is read: the page asks for two parts of it one after the other.
        let mut picture = self.picture.lock().await;
        if let Some((id, at, past)) = &*picture
            && *id == run.run
            && at.elapsed() < PAST
        {
            return Ok(Arc::clone(past));
        }
        let past = Arc::new(Past::of(self, run).await?);
        *picture = Some((run.run, Instant::now(), Arc::clone(&past)));
        Ok(past)
    }

    /// The attempts of the log that are wanted, the newest first.
    pub(crate) async fn records(
        &self,
        wanted: impl Fn(&TaskRecord) -> bool,
    ) -> Result<Vec<TaskRecord>, Refusal> {
        let _permit = self.looks.acquire().await;
        Ok(self.workspace.records(wanted).await?)
    }

    /// Whether the workspace answers.
    pub(crate) async fn ready(&self) -> Result<(), Refusal> {
        let mut ready = self.ready.lock().await;
        let known = ready.as_ref().filter(|(at, _)| at.elapsed() < READY);
        let result = if let Some((_, result)) = known {
            result.clone()
        } else {
            let look = timeout(ANSWERS_IN, self.workspace.exists(kart_core::layout::READY));
            let result = match look.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(kart_core::chain(&error)),
                Err(_) => Err(format!(
                    "no answer within {}",
                    humantime::format_duration(ANSWERS_IN)
                )),
            };
            *ready = Some((Instant::now(), result.clone()));
            result
        };
        result.map_err(|reason| {
            // Probes are answered to everybody: what the store said is for the log.
            tracing::warn!(reason, "the workspace does not answer");
            Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the workspace does not answer",
                "the log of the service says more",
            )
        })
    }
}

/// A task by its stable name, or by the last part of it where no other has the same.
fn find(name: &str) -> Option<&'static TaskSpec> {
    let tasks = registry::tasks();
    if let Some(spec) = tasks.iter().find(|spec| spec.name == name) {
        return Some(spec);
    }
    let mut short = tasks
        .iter()
        .filter(|spec| spec.name.rsplit('/').next() == Some(name));
    match (short.next(), short.next()) {
        (Some(spec), None) => Some(spec),
        _ => None,
    }
}

pub(crate) fn as_json(params: Map<String, Json>) -> Vec<(String, Given)> {
    let params = params.into_iter();
    params
        .map(|(name, value)| (name, Given::Json(value)))
        .collect()
}

/// The task of these parameters.
pub(crate) fn made(
    spec: &'static TaskSpec,
    params: Vec<(String, Given)>,
) -> Result<AnyTask, Refusal> {
    AnyTask::given(spec.name, params).map_err(|error| refused(spec, &error))
}

fn refused(spec: &TaskSpec, error: &ParamError) -> Refusal {
    let params: Vec<String> = spec
        .params
        .iter()
        .map(|param| format!("`{}: {}`", param.name, param.ty))
        .collect();
    let hint = match params.as_slice() {
        [] => format!("{} takes no parameters", spec.name),
        params => format!("{} takes {}", spec.name, params.join(", ")),
    };
    // What is missing or unknown is named in the text alone.
    let quoted = || Some(error.reason.split('`').nth(1)?.to_owned());
    Refusal::bad(error.to_string(), hint).param(error.param.clone().or_else(quoted))
}
