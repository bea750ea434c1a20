//! `worker`: makes what runs on an engine order.

use std::net::{Ipv4Addr, SocketAddr};

use clap::{Arg, ArgAction};
use kart_core::StopToken;
use kart_restate::{Server, Settings};

use super::engine::{end, token, url};
use crate::{End, Session, signals};

/// What the command has for itself.
pub(crate) fn options(command: clap::Command) -> clap::Command {
    let arg = |id: &'static str| Arg::new(id).long(id);
    command
        .arg(
            arg("restate-endpoint")
                .value_name("ADDRESS")
                .help("Where the engine reaches it [default: 127.0.0.1:9080]"),
        )
        .arg(
            arg("restate-identity-key")
                .value_name("KEY")
                .help("Refuse what the engine of this public key, publickeyv1_…, has not signed"),
        )
        .arg(
            arg("limit")
                .value_name("NAME=N")
                .action(ArgAction::Append)
                .help("Units of a named limit that tasks share on this worker"),
        )
        .after_help(
            "Each option has a variable, such as KART_RESTATE_ENDPOINT. docs/restate.md tells of the engine.",
        )
}

pub(crate) async fn worker(session: &Session) -> Result<(), End> {
    let stop = StopToken::new();
    let mut settings = Settings::default();
    if let Some(text) = text(session, "restate-endpoint") {
        settings.endpoint = address(&text)?;
    }
    settings.identity_key = text(session, "restate-identity-key");
    if let Some(grace) = session.config.duration("grace") {
        settings.grace = grace;
    }
    settings.ingress = session
        .config
        .given("engine")
        .map(|engine| url(engine).to_owned());
    settings.token = token();
    let server = Server::bind(settings, session.runner.clone(), &stop).await;
    let server = server.map_err(end)?;
    let listening = format!(
        "worker at http://{}, {} at once; outputs in {}",
        server.address(),
        session.config.workers(),
        session.workspace.location()
    );
    session.watch.note(&listening);
    signals::listen(stop);
    server.run().await;
    Ok(())
}

fn address(text: &str) -> Result<SocketAddr, End> {
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse().map_err(|_| {
        End::wrong_use(format!(
            "invalid value '{text}' for '--restate-endpoint': it is an address and a port, such as 127.0.0.1:9080 \
             or [::]:9080, or a port alone"
        ))
    })
}

fn text(session: &Session, name: &str) -> Option<String> {
    let variable = format!("KART_{}", name.to_uppercase().replace('-', "_"));
    let env = || std::env::var(variable).ok().filter(|text| !text.is_empty());
    session.parsed.get::<String>(name).or_else(env)
}
