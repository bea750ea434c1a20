//! Which of many objects are there, with few requests.
//!
//! The wanted names of one directory are sorted and merged with pages of its listing. Each page begins just
//! before the next wanted name, so it answers for at least that one, and leaps over what lies between: there are
//! never more pages than names, nor (but for the last of each stretch) more than the whole listing has.
//! Where a few pages, taken here and there, answer for hardly more than one name each, the listing is much
//! longer than what is wanted; then single questions cost the same, are cheaper, and can all be under way at once.
//!
//! A listing is believed only as far as it can be: one that is out of order, repeats itself or ignores where it
//! was to begin is not asked again, and a few names that it left out are asked for by themselves.

use std::ops::Range;

use futures_util::FutureExt as _;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

/// Objects on one page. Stores give so many for one request.
pub(super) const PAGE: usize = 1000;
/// Fewer names of one directory are asked for one by one.
const FEW: usize = 24;
/// How many pages are looked at before the choice is made.
const SAMPLES: usize = 4;
/// More pages a name than that, and names are asked for one by one.
const SPARSE: f64 = 0.8;
/// A stretch of the listing that is walked page after page, while others are under way.
const STRETCH_PAGES: f64 = 8.0;
/// Questions under way at once, for what has no bound of its own.
const CONCURRENCY: usize = 64;

/// A part of a listing.
#[derive(Debug)]
pub(super) struct Page {
    /// The names, in order.
    pub(super) names: Vec<String>,
    /// Whether nothing comes after it.
    pub(super) is_last: bool,
}

/// What can be asked of a store.
pub(super) trait Source: Sync {
    type Error: Send + 'static;

    /// Up to [`PAGE`] objects below a directory that come after a name, which need not be that of an object.
    fn page(
        &self,
        directory: &str,
        after: &str,
    ) -> impl Future<Output = Result<Page, Self::Error>> + Send;

    fn exists(&self, name: &str) -> impl Future<Output = Result<bool, Self::Error>> + Send;
}

/// Whether there is an object at each path, in the order of the paths.
pub(super) async fn exists_many<S: Source>(
    source: &S,
    paths: &[String],
) -> Result<Vec<bool>, S::Error> {
    let mut order: Vec<usize> = (0..paths.len()).collect();
    order.sort_unstable_by(|&a, &b| paths[a].cmp(&paths[b]));
    let mut families = Vec::new();
    for same in order.chunk_by(|&a, &b| directory(&paths[a]) == directory(&paths[b])) {
        families.push(DirectoryQuery {
            source,
            directory: directory(&paths[same[0]]),
            names: same.iter().map(|&at| paths[at].as_str()).collect(),
        });
    }
    // The compiler finds the lifetimes of boxed futures that a loop makes, and not those of a `map`.
    let mut asked = Vec::with_capacity(families.len());
    for family in &families {
        asked.push(family.ask().boxed());
    }
    let answers: Vec<Vec<bool>> = stream::iter(asked)
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    let mut found = vec![false; paths.len()];
    for (at, answer) in order.into_iter().zip(answers.into_iter().flatten()) {
        found[at] = answer;
    }
    Ok(found)
}

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// The wanted names of one directory, sorted.
struct DirectoryQuery<'a, S> {
    source: &'a S,
    directory: &'a str,
    names: Vec<&'a str>,
}

/// What one page has answered: the names from the first one on, and which of them are there.
struct PageResult {
    names: Range<usize>,
    there: Vec<usize>,
}

/// Why pages are not asked for any more.
enum ListingError<E> {
    /// The listing cannot be believed.
    Disordered,
    /// It could not be had; other questions may well be answered.
    Failed(E),
}

impl<S: Source> DirectoryQuery<'_, S> {
    async fn ask(&self) -> Result<Vec<bool>, S::Error> {
        let all = 0..self.names.len();
        let mut found = vec![false; self.names.len()];
        if all.len() < FEW {
            self.ask_each(all, &mut found).await?;
            return Ok(found);
        }
        let mut open = vec![all];
        match self.list(&mut found, &mut open).await {
            Ok(()) if self.is_believable(&found, &open).await? => {}
            Ok(()) | Err(ListingError::Disordered) => {
                tracing::warn!(
                    directory = self.directory,
                    "the store's listing is out of order or leaves objects out: asking for each by itself"
                );
                open = absent(&found);
            }
            Err(ListingError::Failed(_)) => {}
        }
        for names in open {
            self.ask_each(names, &mut found).await?;
        }
        Ok(found)
    }

    /// Answers by listing what is better answered by it; what is left is `open`.
    async fn list(
        &self,
        found: &mut [bool],
        open: &mut Vec<Range<usize>>,
    ) -> Result<(), ListingError<S::Error>> {
        let count = self.names.len();
        let within = |at: usize| at * count / SAMPLES;
        let samples = (0..SAMPLES).map(|at| match at {
            0 => self.page(0..count),
            _ => self.page(fastrand::usize(within(at)..within(at + 1))..count),
        });
        let samples = try_join_all(samples).await?;
        // A page that answers for all names that are left may have room for more: it does not show how many it takes.
        let full: Vec<f64> = samples
            .iter()
            .filter(|answered| answered.names.end < count)
            .map(|answered| 1.0 / ratio(answered.names.len()))
            .collect();
        let pages_a_name = full.iter().sum::<f64>() / ratio(full.len().max(1));
        for answered in samples {
            answered.note(found, open);
        }
        if pages_a_name > SPARSE {
            return Ok(());
        }
        let stretches = open.iter().flat_map(|names| {
            let pages = ratio(names.len()) * pages_a_name;
            split(names.clone(), pages / STRETCH_PAGES)
        });
        let mut walks = Vec::new();
        for names in stretches {
            walks.push(self.walk(names).boxed());
        }
        let mut walks = stream::iter(walks).buffer_unordered(CONCURRENCY);
        let mut result = Ok(());
        while let Some(walked) = walks.next().await {
            match walked {
                Ok(pages) => {
                    for answered in pages {
                        answered.note(found, open);
                    }
                }
                Err(refused) => result = Err(refused),
            }
        }
        result
    }

    async fn walk(&self, names: Range<usize>) -> Result<Vec<PageResult>, ListingError<S::Error>> {
        let mut pages = Vec::new();
        let mut rest = names;
        while !rest.is_empty() {
            let answered = self.page(rest.clone()).await?;
            rest.start = answered.names.end.max(rest.start + 1);
            pages.push(answered);
        }
        Ok(pages)
    }

    /// One page, from just before the first of these names on.
    async fn page(&self, names: Range<usize>) -> Result<PageResult, ListingError<S::Error>> {
        let first = self.names[names.start];
        let after = just_before(first);
        let page = self.source.page(self.directory, after).await;
        let page = page.map_err(ListingError::Failed)?;
        let mut there = Vec::new();
        let mut at = names.start;
        let mut last = after;
        for name in &page.names {
            if name.as_str() <= last {
                return Err(ListingError::Disordered);
            }
            last = name;
            while at < names.end && self.names[at] < name.as_str() {
                at += 1;
            }
            while at < names.end && self.names[at] == name {
                there.push(at);
                at += 1;
            }
        }
        if page.is_last {
            at = names.end;
        }
        Ok(PageResult {
            names: names.start..at.max(names.start + 1),
            there,
        })
    }

    /// Asks for a few of the names that the listing has left out.
    async fn is_believable(&self, found: &[bool], open: &[Range<usize>]) -> Result<bool, S::Error> {
        let is_listed = |at: &usize| !open.iter().any(|names| names.contains(at));
        let absent = (0..found.len()).filter(|at| !found[*at]).filter(is_listed);
        let mut asked = Vec::with_capacity(SAMPLES);
        for at in fastrand::choose_multiple(absent, SAMPLES) {
            asked.push(self.source.exists(self.names[at]));
        }
        Ok(try_join_all(asked).await?.iter().all(|exists| !exists))
    }

    async fn ask_each(&self, names: Range<usize>, found: &mut [bool]) -> Result<(), S::Error> {
        let mut asked = Vec::with_capacity(names.len());
        for at in names {
            let name = self.names[at];
            asked.push(async move { Ok((at, self.source.exists(name).await?)) }.boxed());
        }
        let mut answers = stream::iter(asked).buffer_unordered(CONCURRENCY);
        while let Some((at, answer)) = answers.try_next().await? {
            found[at] = answer;
        }
        Ok(())
    }
}

impl PageResult {
    /// Takes the answers in; the names are not open any more.
    fn note(self, found: &mut [bool], open: &mut Vec<Range<usize>>) {
        for at in self.there {
            found[at] = true;
        }
        let answered = self.names;
        *open = std::mem::take(open)
            .into_iter()
            .flat_map(|names| {
                let before = names.start..names.end.min(answered.start);
                let after = names.start.max(answered.end)..names.end;
                [before, after]
            })
            .filter(|names| !names.is_empty())
            .collect();
    }
}

/// The ranges of what was not found.
fn absent(found: &[bool]) -> Vec<Range<usize>> {
    let absent = (0..found.len()).filter(|at| !found[*at]);
    absent.map(|at| at..at + 1).collect()
}

/// Some equal parts of a range.
fn split(names: Range<usize>, parts: f64) -> impl Iterator<Item = Range<usize>> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no more than there are names"
    )]
    let parts = (parts.ceil() as usize).clamp(1, names.len());
    let at = move |part: usize| names.start + part * names.len() / parts;
    (0..parts).map(move |part| at(part)..at(part + 1))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn ratio(count: usize) -> f64 {
    count as f64
}

/// A name that comes before this one with hardly any other in between.
fn just_before(name: &str) -> &str {
    let mut shorter = name.chars();
    shorter.next_back();
    shorter.as_str().trim_end_matches('/')
}

#[cfg(test)]
mod tests;
