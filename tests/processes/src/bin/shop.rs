//! A batch to look at behind HTTP: rows, retries, a failure if one is asked for, lines of a log, a secret.

use std::time::Duration;

use anyhow::Context as _;
use kart::{Context, task};
use serde::{Deserialize, Serialize};

/// An order.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    id: u32,
    item: String,
    pieces: u32,
}

/// What was ordered on one day.
#[task(path = "orders/{day}.csv")]
async fn orders(day: u32, ms: u64, #[context] cx: &Context) -> anyhow::Result<Vec<Order>> {
    let count = 20 + (day * 7) % 13;
    for piece in 0..5 {
        cx.progress(piece, 5);
        tokio::time::sleep(Duration::from_millis(ms / 5)).await;
    }
    tracing::info!(count, "read the orders of day {day}");
    let items = ["tea, green", "\"good\" cups", "pot"];
    Ok((0..count)
        .map(|id| Order {
            id,
            item: items[id as usize % 3].to_owned(),
            pieces: 1 + id % 4,
        })
        .collect())
}

/// What things cost.
#[task(path = "prices.json")]
async fn prices(ms: u64) -> anyhow::Result<Vec<(String, f64)>> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(vec![
        ("tea, green".to_owned(), 4.5),
        ("pot".to_owned(), 21.0),
    ])
}

/// The orders of one day without those that make no sense.
#[task(retries = 1, backoff = "200ms")]
async fn clean(
    day: u32,
    ms: u64,
    #[param(insignificant)] broken: Option<u32>,
    #[requires(Orders { day, ms })] orders: Vec<Order>,
    #[requires(Prices { ms })] prices: Vec<(String, f64)>,
) -> anyhow::Result<usize> {
    tokio::time::sleep(Duration::from_millis(ms / 2)).await;
    if broken == Some(day) {
        tracing::warn!("the orders of day {day} look odd");
        let parsed: Result<u32, _> = "three".parse();
        parsed
            .context("the number of pieces in line 7 is no number")
            .with_context(|| format!("failed to read the orders of day {day}"))?;
    }
    Ok(orders.len() * prices.len())
}

/// The sum of seven days.
#[task]
async fn week(
    week: u32,
    ms: u64,
    #[param(insignificant)] broken: Option<u32>,
    #[requires((0..7).map(|day| Clean { day: week * 7 + day, ms, broken }))] days: Vec<usize>,
) -> anyhow::Result<usize> {
    tokio::time::sleep(Duration::from_millis(ms / 4)).await;
    Ok(days.iter().sum())
}

/// What goes to the people who asked.
#[task(path = "summary-{weeks}.json")]
async fn summary(
    #[param(default = 4)] weeks: u32,
    #[param(default = 200)] ms: u64,
    #[param(default = "hunter2".to_owned(), secret)] password: String,
    #[param(insignificant, default = None)] broken: Option<u32>,
    #[requires((0..weeks).map(|week| Week { week, ms, broken }))] sums: Vec<usize>,
) -> anyhow::Result<Vec<usize>> {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    tracing::info!("sent with the password {password}");
    Ok(sums)
}

/// One of many.
#[task]
async fn leaf(n: u32, #[param(insignificant)] ms: u64) -> anyhow::Result<u32> {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    Ok(n)
}

/// A great many.
#[task]
async fn many(
    leaves: u32,
    #[param(insignificant, default = 0)] ms: u64,
    #[requires((0..leaves).map(|n| Leaf { n, ms }))] sum: Vec<u32>,
) -> anyhow::Result<usize> {
    Ok(sum.len())
}

/// Fails, and says what it was given.
#[task]
async fn spoilt(text: &str) -> anyhow::Result<u32> {
    tracing::error!("what was given is {text}");
    anyhow::bail!("no good: {text}")
}

kart::main!(Summary);
