//! Extract, transform, load: typed tables from several tills, a diamond, and a report under a name of its own.
//!
//! ```text
//! cargo run --example 02_etl
//! cargo run --example 02_etl                                      # nothing is left to do
//! cargo run --example 02_etl -- --day 2026-11-01..=2026-11-07     # a week
//! cargo run --example 02_etl -- tree
//! ```
//!
//! Delete `report-2026-11-01.txt` and only it is made again. Bump the `version` of `clean`, and all that comes after it
//! is, and no till is read again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use kart::format::Csv;
use kart::task;
use serde::{Deserialize, Serialize};

/// How many tills there are.
const TILLS: u32 = 6;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sale {
    city: String,
    item: String,
    cents: i64,
}

/// What may be wrong with a table. A task may fail with any error; one of your own says more.
#[derive(Debug, thiserror::Error)]
enum TableError {
    #[error("there is no sale on {day}")]
    Empty { day: String },
    #[error("the sale of {item} in {city} has no price")]
    NoPrice { city: String, item: String },
}

/// What one till has sold on a day. It stands for a download that takes a while and may fail; a till that already leaves
/// its table in the workspace would be a task without a body: `#[task(external, path = "raw/{day}-{till}.csv")]`.
#[task(path = "raw/{day}-{till}.csv", retries = 3, timeout = "1m")]
async fn sales(day: &str, till: u32) -> kart::Result<Vec<Sale>> {
    tokio::time::sleep(Duration::from_millis(80 + 40 * u64::from(till))).await;
    let mut seed = day
        .bytes()
        .fold(till, |seed, byte| seed.wrapping_mul(31) + u32::from(byte));
    let mut pick = |of: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 16) as usize % of
    };
    let sale = |_| Sale {
        city: ["Bern", "Rome", "Lyon"][pick(3)].to_owned(),
        item: ["tea", "coffee", "cake"][pick(3)].to_owned(),
        cents: [450, 300, 520, 380, -400][pick(5)],
    };
    Ok((0..40).map(sale).collect())
}

/// The sales of a day, without those that were taken back.
#[task(format = Csv)]
async fn clean(
    day: &str,
    #[requires((0..TILLS).map(|till| Sales { day: day.to_owned(), till }))] tills: Vec<Vec<Sale>>,
) -> Result<Vec<Sale>, TableError> {
    let sales = tills.into_iter().flatten();
    let sales: Vec<Sale> = sales.filter(|sale| sale.cents >= 0).collect();
    if let Some(Sale { city, item, .. }) = sales.iter().find(|sale| sale.cents == 0) {
        let (city, item) = (city.clone(), item.clone());
        return Err(TableError::NoPrice { city, item });
    }
    if sales.is_empty() {
        return Err(TableError::Empty {
            day: day.to_owned(),
        });
    }
    Ok(sales)
}

/// Sums by city. It takes whatever makes a table of sales: the caller chooses.
#[task]
async fn by_city(#[requires] sales: &[Sale]) -> kart::Result<BTreeMap<String, i64>> {
    Ok(sums(sales, |sale| &sale.city))
}

/// Sums by item, of the same table: it is made once, and both share it.
#[task]
async fn by_item(#[requires] sales: &[Sale]) -> kart::Result<BTreeMap<String, i64>> {
    Ok(sums(sales, |sale| &sale.item))
}

fn sums(sales: &[Sale], group: impl Fn(&Sale) -> &String) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    for sale in sales {
        *sums.entry(group(sale).clone()).or_default() += sale.cents;
    }
    sums
}

/// The report, where people look for it: a path without `{key}`. kart remembers beside it which
/// task wrote it, so a new `version` makes it again.
#[task(path = "report-{day}.txt", version = 1)]
async fn report(
    /// The day, or a range of them.
    #[param(default = "2026-11-01")]
    day: &str,
    #[requires(ByCity { sales: clean_of(day).into() })] cities: &BTreeMap<String, i64>,
    #[requires(ByItem { sales: clean_of(day).into() })] items: &BTreeMap<String, i64>,
) -> Result<String, std::fmt::Error> {
    let mut text = format!("Sales of {day}\n");
    for (name, cents) in cities.iter().chain(items) {
        writeln!(text, "{name:<10} {:>8}.{:02}", cents / 100, cents % 100)?;
    }
    Ok(text)
}

fn clean_of(day: &str) -> Clean {
    Clean {
        day: day.to_owned(),
    }
}

kart::main!(Report);
