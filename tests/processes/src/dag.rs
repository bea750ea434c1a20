//! A graph of tasks that a seed gives: three kinds of tasks, each requiring some of those before it.

#![expect(
    clippy::missing_errors_doc,
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    reason = "the tasks are functions for the sake of their bodies"
)]

use std::time::Duration;

use kart::{Task, TaskExt, task};

use crate::note_start;

/// What a node requires: a few of the nodes before it, of each kind.
#[derive(Debug, Default)]
pub struct Below {
    /// Asynchronous tasks.
    pub quick: Vec<u32>,
    /// Plain functions with outputs of many sizes.
    pub block: Vec<u32>,
    /// Tasks whose path has no key.
    pub named: Vec<u32>,
}

/// The nodes below a node, the same each time.
#[must_use]
pub fn below(seed: u64, node: u32) -> Below {
    let mut rng = fastrand::Rng::with_seed(seed ^ (u64::from(node) << 32));
    let mut below = Below::default();
    if node == 0 {
        return below;
    }
    for _ in 0..rng.u32(0..4) {
        // Near ones mostly, so that the graph is deep.
        let nearest = node - 1;
        let back = if rng.bool() {
            rng.u32(0..20)
        } else {
            rng.u32(0..=nearest)
        };
        let required = nearest.saturating_sub(back);
        let kind = match required % 5 {
            0 => &mut below.named,
            1 => &mut below.block,
            _ => &mut below.quick,
        };
        if !kind.contains(&required) {
            kind.push(required);
        }
    }
    below
}

fn mix(seed: u64, node: u32, inputs: impl IntoIterator<Item = u64>) -> u64 {
    inputs
        .into_iter()
        .fold(seed ^ u64::from(node), |sum, input| {
            (sum.rotate_left(7) ^ input).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        })
        // What JSON readers of other languages read exactly.
        >> 12
}

/// How many numbers the output of a block has: a few hundred kilobytes now and then.
fn length(seed: u64, node: u32) -> usize {
    match mix(seed, node, [1]) % 40 {
        0 => 20_000,
        1..4 => 1_000,
        _ => 3,
    }
}

type Inputs = (Vec<u64>, Vec<Vec<u64>>, Vec<String>);

fn sum(seed: u64, node: u32, (quick, block, named): &Inputs) -> anyhow::Result<u64> {
    let blocks = block.iter().map(|block| mix(0, 0, block.iter().copied()));
    let named = named.iter().map(|named| named.trim().parse());
    let named: Vec<u64> = named.collect::<Result<_, _>>()?;
    Ok(mix(
        seed,
        node,
        quick.iter().copied().chain(blocks).chain(named),
    ))
}

fn tasks(seed: u64, node: u32) -> (Vec<Quick>, Vec<Block>, Vec<Named>) {
    let Below {
        quick,
        block,
        named,
    } = below(seed, node);
    (
        quick.into_iter().map(|node| Quick { seed, node }).collect(),
        block.into_iter().map(|node| Block { seed, node }).collect(),
        named.into_iter().map(|node| Named { seed, node }).collect(),
    )
}

/// An asynchronous task, which takes a moment now and then.
#[task]
pub async fn quick(
    seed: u64,
    node: u32,
    #[requires(tasks(seed, node))] inputs: (Vec<u64>, Vec<Vec<u64>>, Vec<String>),
) -> anyhow::Result<u64> {
    note_start(&format!("{node}"));
    if node.is_multiple_of(7) {
        tokio::time::sleep(Duration::from_millis(u64::from(node % 4))).await;
    }
    sum(seed, node, &inputs)
}

/// A plain function.
#[task(path = "block/{key}.msgpack")]
pub fn block(
    seed: u64,
    node: u32,
    #[requires(tasks(seed, node))] inputs: (Vec<u64>, Vec<Vec<u64>>, Vec<String>),
) -> anyhow::Result<Vec<u64>> {
    note_start(&format!("{node}"));
    let sum = sum(seed, node, &inputs)?;
    Ok((0..length(seed, node) as u64).map(|at| sum ^ at).collect())
}

/// A task whose path has no key.
#[task(path = "named/{seed}-{node}.txt")]
pub async fn named(
    seed: u64,
    node: u32,
    #[requires(tasks(seed, node))] inputs: (Vec<u64>, Vec<Vec<u64>>, Vec<String>),
) -> anyhow::Result<String> {
    note_start(&format!("{node}"));
    Ok(format!("{}\n", sum(seed, node, &inputs)?))
}

/// All nodes.
#[task]
pub async fn dag(
    seed: u64,
    nodes: u32,
    #[requires(every(seed, nodes))] all: (
        Vec<kart::Artifact<u64>>,
        Vec<kart::Artifact<Vec<u64>>>,
        Vec<kart::Artifact<String>>,
    ),
) -> anyhow::Result<usize> {
    note_start("all");
    Ok(all.0.len() + all.1.len() + all.2.len() + usize::from(seed == u64::MAX && nodes == 0))
}

fn every(seed: u64, nodes: u32) -> (Vec<Quick>, Vec<Block>, Vec<Named>) {
    let of = |kind: fn(u32) -> bool| (0..nodes).filter(move |node| kind(*node));
    (
        of(|node| node % 5 > 1)
            .map(|node| Quick { seed, node })
            .collect(),
        of(|node| node % 5 == 1)
            .map(|node| Block { seed, node })
            .collect(),
        of(|node| node.is_multiple_of(5))
            .map(|node| Named { seed, node })
            .collect(),
    )
}

/// What a finished batch holds: the path of each node's output, and its bytes, computed without kart's runner.
///
/// # Errors
///
/// A value that no format takes, which is a flaw of this very graph.
pub fn expected(seed: u64, nodes: u32) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    fn encoded<T: Task>(output: &T::Output) -> anyhow::Result<Vec<u8>> {
        let encoded = <T::Format as kart::Format<T::Output>>::encode(output);
        Ok(encoded.map_err(anyhow::Error::from_boxed)?.to_vec())
    }
    let mut sums: Vec<u64> = Vec::new();
    let mut outputs = Vec::new();
    for node in 0..nodes {
        let below = below(seed, node);
        let output = |node: &u32| {
            let sum = sums[*node as usize];
            (0..length(seed, *node) as u64).map(|at| sum ^ at).collect()
        };
        let inputs = (
            below
                .quick
                .iter()
                .map(|node| sums[*node as usize])
                .collect(),
            below.block.iter().map(output).collect(),
            below
                .named
                .iter()
                .map(|node| sums[*node as usize].to_string())
                .collect(),
        );
        let sum = sum(seed, node, &inputs)?;
        sums.push(sum);
        outputs.push(match node % 5 {
            0 => (
                Named { seed, node }.path(),
                encoded::<Named>(&format!("{sum}\n"))?,
            ),
            1 => {
                let output = (0..length(seed, node) as u64).map(|at| sum ^ at).collect();
                (Block { seed, node }.path(), encoded::<Block>(&output)?)
            }
            _ => (Quick { seed, node }.path(), encoded::<Quick>(&sum)?),
        });
    }
    Ok(outputs)
}
