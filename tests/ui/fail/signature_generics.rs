use kart::task;

#[task]
async fn generic<T>(x: T) -> anyhow::Result<u8> {
    let _ = x;
    Ok(1)
}

#[task]
async fn lifetime<'a>(x: &'a str) -> anyhow::Result<u8> {
    let _ = x;
    Ok(1)
}

#[task]
async fn clause() -> anyhow::Result<u8>
where
    u8: Copy,
{
    Ok(1)
}

fn main() {}
