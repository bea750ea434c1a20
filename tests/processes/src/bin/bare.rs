//! What the engine alone costs: an object whose handler does nothing, and who calls it many times over.
//!
//!     bare serve 127.0.0.1:9080
//!     bare call http://127.0.0.1:8080 2000

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

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address] => {
            let endpoint = Endpoint::builder().bind(Bare).build();
            HttpServer::new(endpoint)
                .listen_and_serve(address.parse()?)
                .await;
            Ok(())
        }
        ["call", url, calls] => call(url, calls.parse()?).await,
        _ => anyhow::bail!("bare serve ADDRESS | bare call URL COUNT"),
    }
}
