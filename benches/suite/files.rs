//! A file as output and as input, against copying it.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use kart::{Context, File, Runner, Workspace, task};

use super::Scale;
use super::measure::{Figures, measure, median, timed};

const BUFFER: usize = 1 << 20;

/// Copies a file of somebody else's.
#[task(path = "{key}.bin")]
fn copied(#[param(insignificant)] from: &str, #[context] cx: &Context) -> io::Result<File> {
    let file = cx.new_file()?;
    fs::copy(from, file.path())?;
    Ok(file)
}

#[task]
fn counted(
    #[param(insignificant)] from: &str,
    #[requires(Copied { from: from.to_owned() })] file: &File,
) -> io::Result<u64> {
    read(&mut file.open()?)
}

fn read(file: &mut fs::File) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(total),
            count => total += count as u64,
        }
    }
}

pub(crate) fn child(case: &str, mib: u64, dir: &Path) -> (Duration, f64) {
    let from = dir.join("from");
    let elapsed = match case {
        "make" => {
            let block = vec![7_u8; BUFFER];
            timed(|| {
                let mut file = fs::File::create(&from).expect("a file");
                (0..mib).for_each(|_| file.write_all(&block).expect("written"));
            })
        }
        "cp" => timed(|| {
            let to = dir.join("to");
            fs::copy(&from, &to).expect("copied");
            read(&mut fs::File::open(&to).expect("a file")).expect("read");
        }),
        "kart" => {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let workspace = Workspace::open(dir.join("workspace")).expect("a workspace");
            let from = from.display().to_string();
            timed(|| {
                let runner = Runner::new(&workspace);
                runtime
                    .block_on(runner.run(Counted { from }))
                    .expect("a complete run");
            })
        }
        _ => panic!("no case `{case}`"),
    };
    (elapsed, 0.0)
}

pub(crate) fn run(scale: &Scale, figures: &mut Figures) {
    let mib = if scale.is_quick { 16 } else { 4096 };
    let mut ratios = Vec::new();
    let mut peaks = Vec::new();
    for round in 0..scale.rounds.min(3) {
        let dir = tempfile::tempdir().expect("a directory");
        measure("files", "make", mib, dir.path());
        let early = (round % 2 == 1).then(|| measure("files", "kart", mib, dir.path()));
        let copied = measure("files", "cp", mib, dir.path());
        fs::remove_file(dir.path().join("to")).expect("removed");
        let kart = early.unwrap_or_else(|| measure("files", "kart", mib, dir.path()));
        ratios.push(kart.elapsed.as_secs_f64() / copied.elapsed.as_secs_f64());
        peaks.push(kart.kib / 1024.0);
    }
    let (ratio, peak) = (median(ratios), median(peaks));
    println!("\n| a file of {mib} MiB, written and read | × `cp` and reading | peak MiB |");
    println!("| --- | ---: | ---: |");
    println!("| in a directory | {ratio:.2} | {peak:.1} |");
    figures.add("files", "× cp", mib, ratio, "ratio");
    figures.add("files", "peak", mib, peak, "MiB");
}
