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
    use super::*;

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
}
