use kart::task;

#[task(path = "a.txt")]
async fn text() -> anyhow::Result<u32> {
    Ok(1)
}

fn main() {}
