//! One task before and after a change of its code.

pub(crate) mod one {
    use crate::common::Log;

    #[kart::task(name = "Price")]
    pub(crate) async fn price(n: u64, #[resource] log: &Log) -> kart::Result<u64> {
        log.note("one");
        Ok(n + 1)
    }
}

pub(crate) mod two {
    use crate::common::Log;

    #[kart::task(name = "Price")]
    pub(crate) async fn price(n: u64, #[resource] log: &Log) -> kart::Result<u64> {
        log.note("two");
        Ok(n + 2)
    }
}
