use kart::task;

#[task]
fn main() -> anyhow::Result<()> {
    Ok(())
}
