//! `serve`: the tasks behind HTTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, ArgAction};
use kart_core::{AnyTask, StopToken};
use kart_serve::{
    Allow, Continuation, ContinueWith, Ending, Oidc, ServeError, Server, Settings, WithoutToken,
};

use serde_json::{Map, Value as Json};

use super::engine;
use crate::progress::{Look, Progress};
use crate::{End, FAILED, INTERRUPTED, Session, params, signals};

/// An option, and its variable in the environment: `KART_` and its name.
struct Choice {
    name: &'static str,
    value: Option<&'static str>,
    is_repeatable: bool,
    help: &'static str,
}

const fn one(name: &'static str, value: &'static str, help: &'static str) -> Choice {
    Choice {
        name,
        value: Some(value),
        is_repeatable: false,
        help,
    }
}

const fn many(name: &'static str, value: &'static str, help: &'static str) -> Choice {
    Choice {
        name,
        value: Some(value),
        is_repeatable: true,
        help,
    }
}

const fn switch(name: &'static str, help: &'static str) -> Choice {
    Choice {
        name,
        value: None,
        is_repeatable: false,
        help,
    }
}

#[rustfmt::skip]
static CHOICES: [Choice; 18] = [
    one("listen", "ADDRESS", "Where to listen [default: 127.0.0.1:8080, or 0.0.0.0:$PORT where PORT is set]"),
    many("allow", "TASK", "A task that may be started besides the root"),
    switch("allow-all", "Let every task be started"),
    switch("allow-unauthenticated", "Let everybody call, although it listens beyond this machine"),
    switch("trust-platform", "Ask nobody for a token: the platform has checked who calls, as Cloud Run does unless the service is public"),
    one("oidc-audience", "URL", "Take identity tokens of Google that are made out for this audience"),
    many("oidc-email", "EMAIL", "Of those only the ones of this account"),
    one("oidc-issuer", "URL", "Who makes the identity tokens, where it is not Google"),
    one("oidc-keys", "URL", "Where the issuer's keys are (a JWKS), where it is not Google"),
    one("dispatch-deadline", "DURATION", "When the queue cuts a request off [default: 10m]"),
    one("platform-limit", "DURATION", "When the platform cuts a request off, such as 60m"),
    one("margin", "DURATION", "How long before that a run stops [default: 15s, at most a tenth]"),
    switch("detach", "Let a run go on when all who waited for it have gone away"),
    switch("ack-permanent", "Answer 200 where no retry can mend the failures, so that a queue does not repeat them"),
    one("continue-with", "URL", "Hand interrupted runs on: https://…, cloud-tasks://projects/P/locations/L/queues/Q or pubsub://projects/P/topics/T"),
    one("public-url", "URL", "Where that queue reaches this service"),
    one("continue-as", "EMAIL", "The service account by whose identity tokens the queue calls"),
    one("max-runs", "N", "How many runs are under way at once [default: 4]"),
];

/// What the command has for itself.
pub(crate) fn options(command: clap::Command) -> clap::Command {
    let arg = |id: &'static str| Arg::new(id).long(id);
    let command = command
        .arg(
            arg("shared")
                .action(ArgAction::SetTrue)
                .help("Share the work with all others that run with --shared on this workspace"),
        )
        .arg(
            arg("limit")
                .value_name("NAME=N")
                .action(ArgAction::Append)
                .help("Units of a named limit that tasks share"),
        )
        .after_help(
            "Callers show the token in KART_TOKEN, or an identity token. Each option has a variable, such as \
             KART_MAX_RUNS for --max-runs. docs/http.md names every path.",
        );
    CHOICES.iter().fold(command, |command, choice| {
        let arg = arg(choice.name).help(choice.help);
        command.arg(match (choice.value, choice.is_repeatable) {
            (None, _) => arg.action(ArgAction::SetTrue),
            (Some(value), true) => arg.value_name(value).action(ArgAction::Append),
            (Some(value), false) => arg.value_name(value),
        })
    })
}

pub(crate) async fn serve(session: &Session) -> Result<(), End> {
    let mut settings = settings(session)?;
    settings.continuation = continuation(session, &settings).await?;
    let given = given(session)?;
    let runner = engine::on_engine(session).await?;
    let workspace = session.workspace.clone();
    let root = session.parsed.task;
    let server = Server::bind(settings, runner, workspace, root, given).await;
    let server = server.map_err(|error| match error {
        ServeError::Settings(_) => End::wrong_use(error),
        error => End::new(FAILED, format!("error: {error}")),
    })?;
    let listening = format!(
        "listening on http://{}; outputs in {}",
        server.address(),
        session.workspace.location()
    );
    session.watch.note(&listening);
    let stop = StopToken::new();
    signals::listen(stop.clone());
    match server.run(&stop).await {
        Ending::WorkLeft => Err(End::new(
            INTERRUPTED,
            "ended; runs were interrupted: ask for them again",
        )),
        _ => Ok(()),
    }
}

/// The root with what was given at the start; none where it needs parameters that only a caller knows.
fn given(session: &Session) -> Result<Vec<Map<String, Json>>, End> {
    let spec = session.parsed.task;
    let is_option = |name: &str| session.parsed.param(name).is_some();
    let needs_more = AnyTask::given(spec.name, Vec::new()).is_err();
    let roots = match params::roots(session) {
        Err(_) if needs_more && !spec.params.iter().any(|param| is_option(param.name)) => {
            return Ok(Vec::new());
        }
        roots => roots?,
    };
    let layers = params::layers(spec, &session.parsed, &session.config)?;
    let is_given = |name: &str| layers.iter().any(|(param, ..)| param.name == name);
    let params = |root: AnyTask| -> Result<Map<String, Json>, End> {
        let mut wire = root.to_json()?;
        let Json::Object(mut params) = wire["params"].take() else {
            return Ok(Map::new());
        };
        params.retain(|name, _| is_given(name));
        Ok(params)
    };
    roots.into_iter().map(params).collect()
}

fn settings(session: &Session) -> Result<Settings, End> {
    let mut settings = Settings::default();
    settings.listen = listen(session)?;
    settings.token = std::env::var("KART_TOKEN").ok();
    settings.oidc = oidc(session)?;
    settings.allow = if flag(session, "allow-all")? {
        Allow::All
    } else {
        Allow::Named(all(session, "allow"))
    };
    settings.without_token = without_token(session)?;
    settings.limits.deadline = session.config.duration("deadline");
    settings.limits.platform = duration(session, "platform-limit")?;
    settings.limits.margin = duration(session, "margin")?;
    if let Some(dispatch) = duration(session, "dispatch-deadline")? {
        settings.limits.dispatch = dispatch;
    }
    if let Some(grace) = session.config.duration("grace") {
        settings.grace = grace;
    }
    settings.detach = flag(session, "detach")?;
    settings.ack_permanent = flag(session, "ack-permanent")?;
    if let Some(text) = text(session, "max-runs") {
        let most = text.parse().ok().filter(|most| *most > 0);
        settings.max_runs =
            most.ok_or_else(|| invalid("max-runs", &text, "it is a number, at least 1"))?;
    }
    settings.workers = session.config.workers();
    let watch = &session.watch;
    let look = match watch.log.look() {
        // Runs come and go, and several may be under way.
        Look::Bars => Look::Lines,
        look => look,
    };
    let progress = Progress::new(look, watch.log.is_colored(), watch.logged.events);
    settings.lines = Some(Arc::clone(&watch.lines));
    let telemetry = Arc::clone(&watch.telemetry);
    settings.on_event = Some(Arc::new(move |_, event| {
        progress.event(event);
        telemetry.event(event);
    }));
    Ok(settings)
}

/// What interrupted runs are handed on to.
async fn continuation(
    session: &Session,
    settings: &Settings,
) -> Result<Option<Arc<dyn Continuation>>, End> {
    let (public_url, account) = (text(session, "public-url"), text(session, "continue-as"));
    let Some(target) = text(session, "continue-with") else {
        if account.is_some() {
            return Err(End::wrong_use("--continue-as needs --continue-with"));
        }
        return Ok(None);
    };
    let is_queue = target.starts_with("cloud-tasks:");
    let is_topic = target.starts_with("pubsub:");
    let given = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let mut with = ContinueWith::new(target);
    with.public_url = public_url;
    with.service_account = account;
    with.audience = settings.oidc.as_ref().map(|oidc| oidc.audience.clone());
    with.token = given("KART_CONTINUE_TOKEN");
    with.dispatch = settings.limits.dispatch;
    with.endpoint = if is_topic {
        // As Google's own clients read it: a host and a port.
        given("PUBSUB_EMULATOR_HOST").map(|host| format!("http://{host}"))
    } else {
        given("CLOUD_TASKS_ENDPOINT")
    };
    let is_behind_platform = settings.without_token == WithoutToken::Platform;
    let is_guarded = settings.token.is_some() || settings.oidc.is_some() || is_behind_platform;
    // A platform knows accounts, and no token of this service.
    let has_token = with.token.is_some() && !is_behind_platform;
    if is_queue && is_guarded && with.service_account.is_none() && !has_token {
        return Err(End::wrong_use(
            "the queue would be refused by this service: give --continue-as EMAIL, or set KART_CONTINUE_TOKEN",
        ));
    }
    with.open().await.map(Some).map_err(End::wrong_use)
}

fn listen(session: &Session) -> Result<SocketAddr, End> {
    let hint = "it is an address and a port, such as 127.0.0.1:8080 or [::]:8080, or a port alone";
    if let Some(text) = text(session, "listen") {
        if let Ok(port) = text.parse() {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        return text.parse().map_err(|_| invalid("listen", &text, hint));
    }
    match std::env::var("PORT").ok().filter(|port| !port.is_empty()) {
        Some(port) => match port.parse() {
            Ok(port) => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
            Err(_) => Err(End::wrong_use(format!(
                "invalid value '{port}' for PORT: it is a port"
            ))),
        },
        None => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
    }
}

fn without_token(session: &Session) -> Result<WithoutToken, End> {
    let is_behind_platform = flag(session, "trust-platform")?;
    let is_open = flag(session, "allow-unauthenticated")?;
    match (is_behind_platform, is_open) {
        (true, true) => Err(End::wrong_use(
            "--trust-platform and --allow-unauthenticated exclude each other",
        )),
        (true, false) => Ok(WithoutToken::Platform),
        (false, true) => Ok(WithoutToken::Everybody),
        (false, false) => Ok(WithoutToken::Local),
    }
}

fn oidc(session: &Session) -> Result<Option<Oidc>, End> {
    let emails = all(session, "oidc-email");
    let Some(audience) = text(session, "oidc-audience") else {
        if emails.is_empty() {
            return Ok(None);
        }
        return Err(End::wrong_use("--oidc-email needs --oidc-audience"));
    };
    let mut oidc = Oidc::default();
    oidc.audience = audience;
    oidc.emails = emails;
    oidc.issuer = text(session, "oidc-issuer");
    oidc.keys = text(session, "oidc-keys");
    if oidc.issuer.is_some() != oidc.keys.is_some() {
        return Err(End::wrong_use(
            "--oidc-issuer and --oidc-keys are given together",
        ));
    }
    Ok(Some(oidc))
}

fn env(name: &str) -> Option<String> {
    let variable = format!("KART_{}", name.to_uppercase().replace('-', "_"));
    std::env::var(variable).ok().filter(|text| !text.is_empty())
}

fn text(session: &Session, name: &str) -> Option<String> {
    session.parsed.get::<String>(name).or_else(|| env(name))
}

fn all(session: &Session, name: &str) -> Vec<String> {
    let given = session.parsed.all(name);
    if !given.is_empty() {
        return given;
    }
    let env = env(name).unwrap_or_default();
    let parts = env
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

fn flag(session: &Session, name: &str) -> Result<bool, End> {
    if session.parsed.flag(name) {
        return Ok(true);
    }
    match env(name).as_deref() {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(other) => Err(invalid(name, other, "its variable is true or false")),
    }
}

fn duration(session: &Session, name: &str) -> Result<Option<Duration>, End> {
    let Some(text) = text(session, name) else {
        return Ok(None);
    };
    let parsed = humantime::parse_duration(&text);
    let hint = "a duration is such as `90s`, `55m` or `1h 30m`";
    parsed.map(Some).map_err(|_| invalid(name, &text, hint))
}

fn invalid(name: &str, text: &str, reason: &str) -> End {
    End::wrong_use(format!("invalid value '{text}' for '--{name}': {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::option_of;

    #[test]
    fn a_parameter_that_is_called_like_an_option_has_an_option_of_another_name() {
        for choice in &CHOICES {
            assert_eq!(option_of(choice.name), format!("--task-{}", choice.name));
        }
    }
}
