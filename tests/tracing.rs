//! What a subscriber of the user's sees: each attempt in a span that says of which task it is.

mod common;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use common::memory;
use kart::{
    AttemptFuture, AttemptRequest, Context, Executor, Runner, Task, TaskExt as _, Worker, task,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Instrument as _, Subscriber, info_span};
use tracing_subscriber::layer::{self, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Scope};

type Fields = BTreeMap<String, String>;

struct Texts<'a>(&'a mut Fields);

impl Visit for Texts<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

/// An event, or a span that has ended.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    fields: Fields,
    /// The names of the spans around it, from the outermost, and all that they hold.
    spans: Vec<String>,
    around: Fields,
}

/// Notes what it sees.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<Seen>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: layer::Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Texts(&mut fields));
        cx.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: layer::Context<'_, S>) {
        let span = cx.span(id).unwrap();
        let mut extensions = span.extensions_mut();
        values.record(&mut Texts(extensions.get_mut().unwrap()));
    }

    fn on_event(&self, event: &Event<'_>, cx: layer::Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Texts(&mut fields));
        let mut seen = Seen {
            name: fields.remove("message").unwrap_or_default(),
            fields,
            spans: Vec::new(),
            around: Fields::new(),
        };
        for span in cx.event_scope(event).into_iter().flat_map(Scope::from_root) {
            seen.spans.push(span.name().to_owned());
            let extensions = span.extensions();
            seen.around
                .extend(extensions.get::<Fields>().cloned().unwrap_or_default());
        }
        self.0.lock().unwrap().push(seen);
    }

    fn on_close(&self, id: Id, cx: layer::Context<'_, S>) {
        let span = cx.span(&id).unwrap();
        let fields = span
            .extensions()
            .get::<Fields>()
            .cloned()
            .unwrap_or_default();
        let seen = Seen {
            name: format!("end of {}", span.name()),
            fields: fields.clone(),
            spans: Vec::new(),
            around: fields,
        };
        self.0.lock().unwrap().push(seen);
    }
}

/// The one subscriber of this process.
fn recorder() -> &'static Recorder {
    static RECORDER: OnceLock<Recorder> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let recorder = Recorder::default();
        let subscriber = tracing_subscriber::registry().with(recorder.clone());
        tracing::subscriber::set_global_default(subscriber).unwrap();
        recorder
    })
}

/// What has been seen of a task's attempts, in order.
fn seen_of(task: &impl Task) -> Vec<Seen> {
    let key = task.key().to_string();
    let seen = recorder().0.lock().unwrap().clone();
    let is_of = |seen: &Seen| {
        let of = seen.around.get("key").or(seen.fields.get("key"));
        of.is_some_and(|of| *of == key)
    };
    seen.into_iter().filter(is_of).collect()
}

fn named<'a>(seen: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    seen.iter().filter(|seen| seen.name == name).collect()
}

/// Logs before and after it has waited.
#[task]
async fn speaks(n: u32) -> anyhow::Result<u32> {
    tracing::info!(n, "before");
    tokio::task::yield_now().await;
    tracing::info!(n, "after");
    Ok(n)
}

#[tokio::test]
async fn what_an_async_body_logs_says_of_which_task_it_is() {
    recorder();
    let task = Speaks { n: 3 };
    let name = Speaks::spec().name;
    let workspace = memory();
    let run = kart::build(task.clone(), &workspace);
    run.instrument(info_span!("request", id = 7)).await.unwrap();
    let seen = seen_of(&task);
    for said in ["before", "after"] {
        let [event] = named(&seen, said)[..] else {
            panic!("{seen:?}")
        };
        assert_eq!(event.around["task"], name);
        assert_eq!(event.around["attempt"], "1");
        assert_eq!(event.spans, ["request", "task"], "within the caller's span");
    }
}

/// A plain function, on a thread of its own.
#[task]
fn speaks_aloud(n: u32) -> anyhow::Result<u32> {
    tracing::info!("aloud");
    Ok(n)
}

#[tokio::test]
async fn what_a_plain_body_logs_says_of_which_task_it_is() {
    recorder();
    let task = SpeaksAloud { n: 1 };
    let name = SpeaksAloud::spec().name;
    kart::build(task.clone(), &memory()).await.unwrap();
    let seen = seen_of(&task);
    let [event] = named(&seen, "aloud")[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(event.around["task"], name);
    assert_eq!(event.around["attempt"], "1");
    assert_eq!(event.spans, ["task"]);
}

/// Fails once.
#[task(retries = 1, backoff = "1ms")]
async fn stumbles(n: u32, #[context] cx: &Context) -> anyhow::Result<u32> {
    tracing::info!("here");
    anyhow::ensure!(cx.attempt() > 1, "{n} stumbled");
    Ok(cx.attempt())
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_a_span_of_its_own_and_says_what_it_failed_with() {
    recorder();
    Runner::new(&memory()).run(Stumbles { n: 1 }).await.unwrap();
    let seen = seen_of(&Stumbles { n: 1 });
    let attempts = |events: Vec<&Seen>| -> Vec<String> {
        let attempt = |seen: &&Seen| seen.around["attempt"].clone();
        events.iter().map(attempt).collect()
    };
    assert_eq!(attempts(named(&seen, "here")), ["1", "2"]);
    let ends = named(&seen, "end of task");
    assert_eq!(attempts(ends.clone()), ["1", "2"]);
    assert_eq!(
        ends[0].fields.get("error").map(String::as_str),
        Some("1 stumbled")
    );
    assert_eq!(ends[1].fields.get("error"), None);
}

#[tokio::test(start_paused = true)]
async fn events_say_of_which_task_they_are_and_how_long_it_took() {
    recorder();
    Runner::new(&memory()).run(Stumbles { n: 2 }).await.unwrap();
    let seen = seen_of(&Stumbles { n: 2 });
    let retrying = named(&seen, "retrying")[0];
    let finished = named(&seen, "finished")[0];
    for (event, attempt) in [(retrying, "1"), (finished, "2")] {
        assert_eq!(event.fields["attempt"], attempt, "{event:?}");
        assert_eq!(event.fields["key"].len(), 32, "{event:?}");
        let elapsed: f64 = event.fields["elapsed"].parse().unwrap();
        assert!((0.0..1.0).contains(&elapsed), "{event:?}");
        assert_eq!(
            event.fields["description"], "Stumbles { n: 2 }",
            "{event:?}"
        );
    }
    assert_eq!(retrying.fields["error"], "2 stumbled");
}

/// A worker in the same process.
#[derive(Debug)]
struct Near(Worker);

impl Executor for Near {
    fn attempt(&self, order: AttemptRequest) -> AttemptFuture<'_> {
        Box::pin(async move { Ok(self.0.attempt(&order).await) })
    }
}

#[tokio::test]
async fn a_worker_tells_of_each_attempt_and_not_of_a_plan_for_it() {
    recorder();
    let workspace = memory();
    let worker = Worker::new(Runner::new(&workspace));
    let runner = Runner::new(&workspace).executor(Near(worker));
    runner.run(Speaks { n: 4 }).await.unwrap();
    let seen = seen_of(&Speaks { n: 4 });
    let finished = named(&seen, "finished");
    assert_eq!(finished.len(), 2, "by the worker and by the run: {seen:?}");
    assert!(named(&seen, "planned").is_empty(), "{seen:?}");
}
