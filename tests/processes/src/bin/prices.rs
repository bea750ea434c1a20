//! Prices, and a bill that reads one: what the other two programs have changed.

use kart::task;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Amount {
    amount: u32,
}

/// The price of a day.
#[task(path = "price-{day}.json")]
async fn price(day: u32, rate: u32) -> kart::Result<Amount> {
    Ok(Amount { amount: day * rate })
}

/// What is to be paid.
#[task]
async fn bill(
    #[param(default = 4)] day: u32,
    #[param(default = 25)] rate: u32,
    #[requires(Price { day, rate })] amount: &Amount,
) -> kart::Result<u32> {
    Ok(amount.amount)
}

kart::main!(Bill);
