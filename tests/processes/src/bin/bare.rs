//! What the engine alone costs: an object whose handler does nothing, and who calls it many times over.
//!
//!     bare serve 127.0.0.1:9080
//!     bare call http://127.0.0.1:8080 2000     as kart does it: requests from outside
//!     bare fan http://127.0.0.1:8080 2000      from within: a handler that calls them and waits for them

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use restate_sdk::prelude::*;

struct Bare;

#[restate_sdk::object(
    name = "bare",
    client_visibility = "pub(crate)",
    journal_retention = "0s",
    idempotency_retention = "0s"
)]
impl Bare {
    #[handler]
    async fn run(&self, _: ObjectContext<'_>, order: String) -> Result<String, HandlerError> {
        Ok(order)
    }
}

/// A graph as a durable handler: all its calls are in its own journal.
struct Fan;

#[restate_sdk::service(
    name = "bare-fan",
    client_visibility = "pub(crate)",
    journal_retention = "0s",
    idempotency_retention = "0s"
)]
impl Fan {
    #[handler]
    async fn run(&self, context: Context<'_>, calls: u64) -> Result<u64, HandlerError> {
        let nonce = context.invocation_id().to_owned();
        let order = "x".repeat(300);
        let calls: Vec<_> = (0..calls)
            .map(|number| {
                let object = context.object_client::<BareClient<'_>>(format!("{nonce}-{number}"));
                object.run(order.clone()).call()
            })
            .collect();
        let mut made = 0;
        for call in calls {
            call.await?;
            made += 1;
        }
        Ok(made)
    }
}

/// How many calls share a connection, and how many connections there are.
const SHARING: usize = 100;
const CONNECTIONS: usize = 10;

async fn call(url: &str, calls: u64) -> anyhow::Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let client = reqwest::Client::builder().http2_prior_knowledge().build()?;
        for _ in 0..SHARING {
            let (client, next, url) = (client.clone(), Arc::clone(&next), url.to_owned());
            callers.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls {
                        return anyhow::Ok(());
                    }
                    let request = client
                        .post(format!("{url}/bare/{number}-{}/run", std::process::id()))
                        .header("idempotency-key", "1")
                        .header("content-type", "application/json")
                        // About as much as an order has.
                        .body(format!("\"{}\"", "x".repeat(300)));
                    request.send().await?.error_for_status()?.bytes().await?;
                }
            });
        }
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    println!("{:.3}", began.elapsed().as_secs_f64());
    Ok(())
}

async fn fan(url: &str, calls: u64) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().http2_prior_knowledge().build()?;
    let began = Instant::now();
    let request = client
        .post(format!("{url}/bare-fan/run"))
        .header("content-type", "application/json")
        .body(calls.to_string());
    let answer = request.send().await?.error_for_status()?;
    let made: u64 = answer.text().await?.parse()?;
    anyhow::ensure!(made == calls, "{made} of {calls} calls came back");
    println!("{:.3}", began.elapsed().as_secs_f64());
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address] => {
            let endpoint = Endpoint::builder().bind(Bare).bind(Fan).build();
            HttpServer::new(endpoint)
                .listen_and_serve(address.parse()?)
                .await;
            Ok(())
        }
        ["call", url, calls] => call(url, calls.parse()?).await,
        ["fan", url, calls] => fan(url, calls.parse()?).await,
        _ => anyhow::bail!("bare serve ADDRESS | bare call URL COUNT | bare fan URL COUNT"),
    }
}
