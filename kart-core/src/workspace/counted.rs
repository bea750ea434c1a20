//! A backend whose requests are counted.

use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::backend::{Answer, Answers, Backend, Found, Object, Write, Written};
use super::bulk_exists::{self, Page};
use super::requests::Counters;
use super::{ObjectInfo, Reader, RequestCounts};
use crate::error::StoreError;
use crate::format::File;

pub(super) struct Counted {
    inner: Box<dyn Backend>,
    counters: Counters,
}

impl Counted {
    pub(super) fn new(inner: Box<dyn Backend>) -> Self {
        Counted {
            inner,
            counters: Counters::default(),
        }
    }

    pub(super) fn counts(&self, refused: u64) -> RequestCounts {
        self.counters.get(refused)
    }
}

impl Backend for Counted {
    fn prepare(&self) -> Answer<'_, ()> {
        self.inner.prepare()
    }

    fn check_place<'a>(&'a self, path: &'a str) -> Answer<'a, ()> {
        self.inner.check_place(path)
    }

    fn size<'a>(&'a self, path: &'a str) -> Answer<'a, Option<u64>> {
        self.counters.exists(1);
        self.inner.size(path)
    }

    fn look_up<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Found>> {
        self.counters.exists(1);
        self.inner.look_up(path)
    }

    fn look_up_many(&self, paths: Vec<String>) -> Answers<'_, Option<Found>> {
        self.counters.exists(paths.len());
        self.inner.look_up_many(paths)
    }

    fn exists_many(&self, paths: Vec<String>) -> Answer<'_, Vec<bool>> {
        self.counters.exists(paths.len());
        self.inner.exists_many(paths)
    }

    fn page<'a>(&'a self, directory: &'a str, after: &'a str) -> Answer<'a, Page> {
        self.counters.list(1);
        self.inner.page(directory, after)
    }

    fn read<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Object>> {
        self.counters.read(1);
        self.inner.read(path)
    }

    fn read_many(&self, paths: Vec<String>) -> Answers<'_, Option<Object>> {
        self.counters.read(paths.len());
        self.inner.read_many(paths)
    }

    fn read_range<'a>(&'a self, path: &'a str, range: Range<u64>) -> Answer<'a, Option<Bytes>> {
        self.counters.read(1);
        self.inner.read_range(path, range)
    }

    fn reader<'a>(&'a self, path: &'a str) -> Answer<'a, Option<Reader>> {
        self.counters.read(1);
        self.inner.reader(path)
    }

    fn fetch<'a>(&'a self, path: &'a str) -> Answer<'a, Option<File>> {
        self.counters.read(1);
        self.inner.fetch(path)
    }

    fn write<'a>(&'a self, write: Write<'a>) -> Answer<'a, Written> {
        self.counters.write(1);
        self.inner.write(write)
    }

    fn annotate<'a>(&'a self, path: &'a str, metadata: &'a str) -> Answer<'a, bool> {
        self.inner.annotate(path, metadata)
    }

    fn delete<'a>(&'a self, path: &'a str) -> Answer<'a, bool> {
        self.counters.delete(1);
        self.inner.delete(path)
    }

    fn delete_once<'a>(&'a self, path: &'a str) -> Answer<'a, ()> {
        self.counters.delete(1);
        self.inner.delete_once(path)
    }

    fn objects<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<ObjectInfo>> {
        self.counters.list(1);
        self.inner.objects(prefix)
    }

    fn rename<'a>(&'a self, from: &'a str, to: &'a str) -> Answer<'a, bool> {
        self.counters.write(1);
        self.inner.rename(from, to)
    }

    fn new_file(&self) -> io::Result<File> {
        self.inner.new_file()
    }

    fn abort_stale_uploads(&self) -> Answer<'_, usize> {
        self.inner.abort_stale_uploads()
    }
}

/// What a bucket is asked about many objects.
impl bulk_exists::Source for Counted {
    type Error = StoreError;

    async fn page(&self, directory: &str, after: &str) -> Result<Page, StoreError> {
        Backend::page(self, directory, after).await
    }

    async fn exists(&self, path: &str) -> Result<bool, StoreError> {
        Ok(self.size(path).await?.is_some())
    }
}
