//! A small pipeline with all that a command line meets: modules, choices, secrets, failures, tasks that bodies ask for.

use std::collections::BTreeMap;

use kart::{Context, task};

mod etl {
    use kart::task;

    /// The rows of a day.
    #[task]
    pub(crate) async fn rows(
        /// The day.
        day: &str,
        #[param(default = 3)] count: u32,
    ) -> kart::Result<Vec<u32>> {
        let _ = day;
        Ok((0..count).collect())
    }
}

/// Needs a token that nobody is to see.
#[task]
async fn private(#[param(secret)] token: &str, n: u8) -> kart::Result<String> {
    Ok(format!("{} characters, {n}", token.len()))
}

/// Takes whatever text the caller chooses, and never does well.
#[task]
async fn opened(#[requires] text: String) -> anyhow::Result<String> {
    anyhow::bail!("{} characters are too many", text.len())
}

/// Fails for odd numbers, with a cause.
#[task]
async fn fragile(n: u32) -> anyhow::Result<u32> {
    if n % 2 == 1 {
        let cause = anyhow::anyhow!("{n} is odd <b>indeed</b>");
        return Err(cause.context("the number will not do"));
    }
    Ok(n)
}

/// Sums numbers, of which some fail.
#[task]
async fn shaky(#[requires((0..4).map(|n| Fragile { n }))] numbers: Vec<u32>) -> kart::Result<u32> {
    Ok(numbers.iter().sum())
}

/// Only a body knows of it.
#[task]
async fn page(number: u32) -> kart::Result<u32> {
    Ok(number * number)
}

/// The sum of whatever the caller chooses.
#[task]
async fn total(#[requires] rows: &[u32]) -> kart::Result<u32> {
    Ok(rows.iter().sum())
}

/// What a person reads in the end.
#[task(path = "summary-{day}.json")]
async fn summary(
    /// The day that is summed up.
    #[param(default = "2024-01-31")]
    day: &str,
    /// How many rows a day has.
    #[param(default = 3)]
    count: u32,
    #[param(default = &["a".to_owned()])] tags: &[String],
    #[requires(Total { rows: etl::Rows { day: day.to_owned(), count }.into() })] total: &u32,
    #[context] cx: &Context,
) -> kart::Result<BTreeMap<String, u32>> {
    let page = cx.get(Page { number: *total }).await?;
    Ok(tags.iter().map(|tag| (tag.clone(), *page)).collect())
}

kart::main!(Summary);
