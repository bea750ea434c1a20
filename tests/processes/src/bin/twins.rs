//! Two tasks of one name.

use kart::task;

#[task(name = "twin")]
async fn first() -> kart::Result<u8> {
    Ok(1)
}

#[task(name = "twin")]
async fn second() -> kart::Result<u8> {
    Ok(2)
}

kart::main!(First);
