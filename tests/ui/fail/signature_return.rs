use kart::task;

#[task]
async fn nothing() {}

#[task]
async fn opaque() -> impl Sized {
    1
}

#[task]
async fn borrowed(x: &str) -> anyhow::Result<&str> {
    Ok(x)
}

#[task]
async fn inferred() -> anyhow::Result<_> {
    Ok(1)
}

fn main() {}
