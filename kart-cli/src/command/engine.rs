//! `--engine`: attempts that workers make.

use std::num::NonZero;

use kart_core::{AnyTask, Runner};
use kart_restate::{Batch, Connect, Engine, RestateError, Ways};
use serde_json::json;

use crate::out::plural;
use crate::{End, FAILED, Session};

/// How many attempts are under way unless said otherwise: enough for many workers, and few enough that those of
/// higher priority need not wait long.
const UNDER_WAY: usize = 1000;

/// The session's runner, on the engine if there is one.
pub(super) async fn on_engine(session: &Session) -> Result<Runner, End> {
    let runner = session.runner.clone();
    Ok(match connect(session).await? {
        Some(engine) => runner.workers(under_way(session)).executor(engine),
        None => runner,
    })
}

/// Leaves the run to the workers, if that is what was asked for.
pub(super) async fn detach(session: &Session, roots: &[AnyTask]) -> Result<bool, End> {
    if !session.parsed.flag("detach") {
        return Ok(false);
    }
    if let Some(option) = HERE.iter().find(|option| is_given(session, option)) {
        return Err(End::wrong_use(format!(
            "'--{option}' is for a run that is waited for, and '--detach' waits for none"
        )));
    }
    let Some(engine) = connect(session).await? else {
        return Err(End::wrong_use(
            "'--detach' leaves a run to the workers of an engine: name it by --engine restate=URL",
        ));
    };
    // Whatever is wrong with it is found here, where somebody sees it.
    let plan = session.runner.plan_all(roots.to_vec()).await?;
    let missing = plan.runs();
    let (state, id) = if missing == 0 {
        ("done", None)
    } else {
        let (id, was_there) = leave(session, &engine, roots).await?;
        (if was_there { "joined" } else { "detached" }, Some(id))
    };
    if session.out.is_json {
        session
            .out
            .json(&json!({"state": state, "invocation": id, "missing": missing}));
        return Ok(true);
    }
    let how = match state {
        "joined" => "under way already",
        _ => "left to the workers",
    };
    session.out.line(match id {
        None => "nothing to do: all is complete".to_owned(),
        Some(id) => format!(
            "{how} as {id}: {missing} task{} to run; `runs` tells how it goes",
            plural(missing)
        ),
    });
    Ok(true)
}

async fn leave(
    session: &Session,
    engine: &Engine,
    roots: &[AnyTask],
) -> Result<(String, bool), End> {
    let config = &session.config;
    let mut ways = Ways::new(under_way(session));
    let limits = config.limits.iter();
    ways.limits = limits
        .map(|(name, (units, _))| (name.clone(), *units))
        .collect();
    ways.fail_fast = config.given("fail-fast") == Some("true");
    ways.is_shared = config.given("coordination") == Some("shared");
    let workspace = session.workspace.location();
    let sent = engine.detach(roots, workspace, ways).await;
    sent.map_err(|error| {
        let error = kart_core::chain(error.as_ref());
        End::new(FAILED, format!("error: {error}"))
    })
}

/// Options that mean nothing for a run that nobody waits for.
const HERE: [&str; 5] = ["report", "rerun", "deadline", "wait", "alone"];

fn is_given(session: &Session, option: &str) -> bool {
    let parsed = &session.parsed;
    !parsed.all(option).is_empty() || parsed.flag(option)
}

fn under_way(session: &Session) -> usize {
    session.config.number("workers").unwrap_or(UNDER_WAY)
}

async fn connect(session: &Session) -> Result<Option<Engine>, End> {
    let config = &session.config;
    let Some(engine) = config.given("engine") else {
        return Ok(None);
    };
    let mut connect = Connect::new(url(engine));
    connect.token = token();
    connect.batch = config.given("batch").and_then(batch);
    Ok(Some(connect.connect().await.map_err(end)?))
}

/// The ingress of an engine.
pub(super) fn url(engine: &str) -> &str {
    engine.trim_start_matches("restate=")
}

pub(super) fn token() -> Option<String> {
    let token = std::env::var("KART_ENGINE_TOKEN").ok();
    token.filter(|token| !token.is_empty())
}

/// A count, or for how long the first waits.
fn batch(text: &str) -> Option<Batch> {
    if let Ok(size) = text.parse::<NonZero<usize>>() {
        return (size.get() > 1).then(|| Batch::of(size));
    }
    humantime::parse_duration(text).ok().map(Batch::within)
}

pub(super) fn end(error: RestateError) -> End {
    match error {
        RestateError::Settings(_) => End::wrong_use(error),
        error => End::new(FAILED, format!("error: {}", kart_core::chain(&error))),
    }
}
