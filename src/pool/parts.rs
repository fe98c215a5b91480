//! A list that grows and is read without a lock.

use std::{iter, sync::OnceLock};

/// The first element, and the list behind it. In the order in which they were added. None ever leaves.
pub(super) struct Parts<T>(OnceLock<Box<(T, Self)>>);

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Parts<T> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        iter::successors(self.0.get(), |link| link.1.0.get()).map(|link| &link.0)
    }

    pub(super) fn push(&self, part: T) {
        let mut end = self;
        let mut added = Box::new((part, Self::default()));
        loop {
            while let Some(link) = end.0.get() {
                end = &link.1;
            }
            match end.0.set(added) {
                Ok(()) => return,
                Err(back) => added = back,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        error::{Error, ErrorKind},
        pool::ResourcePool,
        sync::lock,
    };

    #[test]
    fn parts_of_several_threads_are_all_in_the_list() {
        let parts = Parts::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let parts = &parts;
                scope.spawn(move || (0..100).for_each(|number| parts.push(thread * 100 + number)));
            }
        });
        let mut found: Vec<i32> = parts.iter().copied().collect();
        found.sort_unstable();
        assert_eq!(found, (0..400).collect::<Vec<_>>());
    }

    /// Enters its number when it is released.
    struct Numbered(u8, Arc<Mutex<Vec<u8>>>);

    impl Drop for Numbered {
        fn drop(&mut self) {
            lock(&self.1).push(self.0);
        }
    }

    #[test]
    fn the_pool_of_the_process_covers_those_of_functions() {
        let released = Arc::default();
        let parts = [ResourcePool::new(), ResourcePool::new()];
        parts.iter().for_each(ResourcePool::register);
        let [one, two] = &parts;
        for (number, pool) in [(0, two), (1, one), (2, ResourcePool::global()), (3, two), (4, one)] {
            pool.get_or_insert_with(&number, || Numbered(number, Arc::clone(&released)));
        }
        assert_eq!((ResourcePool::global().len(), ResourcePool::global().stats().inserts), (5, 5));
        assert!(ResourcePool::global().get::<Numbered>(&1_u8).is_none(), "no key finds them there");
        one.failed(Error::new(ErrorKind::Config, "of a part"));
        assert!(ResourcePool::global().take_last_failure().is_some() && one.last_failure().is_none());
        ResourcePool::global().clear();
        assert_eq!(*lock(&released), [0, 1, 2, 3, 4], "in the order of insertion");
        assert!(one.is_empty() && two.is_empty());
    }
}
