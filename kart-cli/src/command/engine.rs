//! `--engine`: attempts that workers make.

use std::num::NonZero;
use std::time::SystemTime;

use kart_core::{AnyTask, Runner};
use kart_restate::{Batch, Connect, Engine, RestateError, Ways};
use serde_json::{Value as Json, json};

use crate::out::plural;
use crate::setting::SETTINGS;
use crate::{End, FAILED, Session};

/// The session's runner, on the engine if there is one.
pub(super) async fn on_engine(session: &Session) -> Result<Runner, End> {
    let runner = session.runner.clone();
    Ok(match connect(session).await? {
        Some(engine) => runner.executor(engine),
        None => runner,
    })
}

/// Leaves the run to the workers, if that is what was asked for.
pub(super) async fn detach(session: &Session, roots: &[AnyTask]) -> Result<bool, End> {
    if !session.parsed.flag("detach") {
        return Ok(false);
    }
    let parsed = &session.parsed;
    if let Some(option) = HERE
        .iter()
        .find(|option| parsed.flag(option) || !parsed.all(option).is_empty())
    {
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
    if missing == 0 {
        left(
            session,
            &json!({"state": "done", "invocation": null, "missing": 0, "options": null}),
            "nothing to do: all is complete",
        );
        return Ok(true);
    }
    tell_what_has_no_say(session);
    let (id, was_there) = leave(session, &engine, roots).await?;
    let (state, options, how, with) = if was_there {
        let with = ", with the options that it was left with, and not those given now";
        ("joined", "first", "under way already", with)
    } else {
        ("detached", "given", "left to the workers", "")
    };
    let told = json!({"state": state, "invocation": id, "missing": missing, "options": options});
    let s = plural(missing);
    left(
        session,
        &told,
        &format!("{how} as {id}{with}: {missing} task{s} to run; `runs` tells how it goes"),
    );
    Ok(true)
}

/// Tells what became of a run that nobody waits for.
fn left(session: &Session, json: &Json, line: &str) {
    if session.out.is_json {
        session.out.json(json);
    } else {
        session.out.line(line);
    }
}

async fn leave(
    session: &Session,
    engine: &Engine,
    roots: &[AnyTask],
) -> Result<(String, bool), End> {
    let config = &session.config;
    let mut ways = Ways::new(config.workers());
    let limits = config.limits.iter();
    ways.limits = limits
        .map(|(name, (units, _))| (name.clone(), *units))
        .collect();
    ways.fail_fast = config.fail_fast();
    ways.coordination = config.coordination();
    ways.on_code_change = config.on_code_change();
    ways.on_type_change = config.on_type_change();
    ways.ttl = config.duration("ttl");
    // One past the end of time is none.
    let deadline = config.duration("deadline");
    ways.deadline = deadline.and_then(|after| SystemTime::now().checked_add(after));
    let workspace = session.workspace.location();
    let sent = engine.detach(roots, workspace, ways).await;
    sent.map_err(|error| {
        let error = kart_core::chain(error.as_ref());
        End::new(FAILED, format!("error: {error}"))
    })
}

/// Options that mean nothing for a run that nobody waits for.
const HERE: [&str; 4] = ["abandon", "fresh", "report", "rerun"];

/// Settings that have no say in a run that is left to the workers, and what holds in their place.
const WITHOUT_SAY: [(&str, &str); 2] = [
    ("wait", "it waits for as long as another run has its root"),
    ("grace", "what it has ordered goes on to its end"),
];

/// Says which settings the run is left without, wherever they come from.
fn tell_what_has_no_say(session: &Session) {
    for (name, instead) in WITHOUT_SAY {
        let setting = SETTINGS.iter().find(|setting| setting.name == name);
        if let (Some(set), Some(setting)) = (session.config.values.get(name), setting) {
            session.watch.note(&format!(
                "{} has no say in a run that is left to the workers: {instead}",
                set.source.place_of(setting)
            ));
        }
    }
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
