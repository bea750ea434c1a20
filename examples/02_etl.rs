//! Extract, transform, load: typed tables, a file that kart did not make, and a report under a name
//! of its own.
//!
//! ```text
//! cargo run --example 02_etl
//! cargo run --example 02_etl          # nothing is left to do
//! ```
//!
//! Change a row of `raw/2026-11-01.csv` in the workspace and nothing happens: what exists is
//! complete, and kart does not look into it. Delete `report-2026-11-01.txt` and only it is made
//! again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kart::format::Csv;
use kart::{Runner, TaskExt as _, Workspace, task};
use serde::{Deserialize, Serialize};

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

/// What the tills leave: made by something else, so it has no body.
#[task(external, path = "raw/{day}.csv")]
async fn raw(day: &str) -> kart::Result<Vec<Sale>>;

/// The sales of a day, without those that were taken back.
#[task(format = Csv)]
async fn clean(
    day: &str,
    #[requires(Raw { day: day.to_owned() })] sales: Vec<Sale>,
) -> Result<Vec<Sale>, TableError> {
    let sales: Vec<Sale> = sales.into_iter().filter(|sale| sale.cents >= 0).collect();
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

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let workspace = Workspace::open("./kart-workspace/etl")?;
    let day = "2026-11-01".to_owned();

    // Elsewhere the tills would have left this file. The example has none, so that it can be run
    // as it is; without it the run would fail and name the path.
    let raw = Raw { day: day.clone() };
    if !raw.is_complete(&workspace).await? {
        let table =
            "city,item,cents\nBern,tea,450\nRome,coffee,300\nBern,coffee,520\nRome,tea,-400\n";
        workspace.create(&raw.path(), table.into()).await?;
    }

    let root = Report { day };
    match Runner::new(&workspace).run(root.clone()).await {
        Ok(report) => {
            println!("{}\n", report.counts());
            print!("{}", report.output(&root).await?);
            Ok(())
        }
        // The alternate form tells the whole story: each failed task with its chain of causes.
        Err(error) => anyhow::bail!("{error:#}"),
    }
}
