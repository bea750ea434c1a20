use kart::task;

#[task]
async fn number() -> anyhow::Result<u32> {
    Ok(1)
}

#[task]
async fn counted() -> anyhow::Result<u32> {
    let count = std::rc::Rc::new(1);
    number().await?;
    Ok(*count)
}

fn main() {}
