//! Storage for the memos of an attribute: a `static` without types, because it can name neither `Self` nor a generic.
//!
//! Most functions have one instance. Its memo is in `first`, and a lookup is one load and one comparison. Other instances
//! of a generic function are in a map.

use std::{
    any::{Any, TypeId},
    collections::BTreeMap,
    sync::{OnceLock, PoisonError, RwLock},
};

/// An object that lives as long as the process. The reader knows its type.
type Cell = &'static (dyn Any + Send + Sync);

/// The objects of one place in the program, one for each instance of the function around it.
#[derive(Debug, Default)]
pub struct Cells {
    /// The object of the first instance.
    first: OnceLock<(TypeId, Cell)>,
    /// The objects of the other instances.
    others: RwLock<BTreeMap<TypeId, Cell>>,
}

impl Cells {
    /// For a `static`.
    #[must_use]
    pub const fn new() -> Self {
        Self { first: OnceLock::new(), others: RwLock::new(BTreeMap::new()) }
    }

    /// The object of the instance that the type `M` identifies. The first call makes it by `open`.
    ///
    /// `open` runs under no lock. If several run at once, one result is kept.
    #[inline]
    pub(super) fn get<M: 'static, T: Send + Sync + 'static>(&self, open: impl FnOnce() -> T) -> &'static T {
        const {
            assert!(
                size_of::<M>() == 0,
                "an option of the attribute must not depend on a parameter of the function"
            );
        };
        let mark = TypeId::of::<M>();
        let found =
            self.first.get().filter(|(known, _)| *known == mark).and_then(|(_, cell)| cell.downcast_ref());
        found.unwrap_or_else(|| self.get_slowly(mark, open))
    }

    #[cold]
    fn get_slowly<T: Send + Sync + 'static>(&self, mark: TypeId, open: impl FnOnce() -> T) -> &'static T {
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        let found = others.get(&mark).and_then(|cell| cell.downcast_ref());
        drop(others);
        found.unwrap_or_else(|| self.keep(mark, open()))
    }

    fn keep<T: Send + Sync + 'static>(&self, mark: TypeId, opened: T) -> &'static T {
        let opened: &'static T = Box::leak(Box::new(opened));
        let (known, first) = self.first.get_or_init(|| (mark, opened));
        if *known == mark {
            return first.downcast_ref().unwrap_or(opened);
        }
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        let cell: Cell = *others.entry(mark).or_insert(opened);
        cell.downcast_ref().unwrap_or(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark<M: 'static>(_: &M, cells: &'static Cells, value: u8) -> u8 {
        *cells.get::<M, u8>(|| value)
    }

    #[test]
    fn each_mark_has_the_object_that_was_opened_for_it_first() {
        static CELLS: Cells = Cells::new();
        let (one, two, three) = (|| 1, || 2, || 3);
        assert_eq!((mark(&one, &CELLS, 1), mark(&two, &CELLS, 2), mark(&three, &CELLS, 3)), (1, 2, 3));
        assert_eq!((mark(&one, &CELLS, 7), mark(&two, &CELLS, 8), mark(&three, &CELLS, 9)), (1, 2, 3));
    }

    #[test]
    fn who_opens_may_ask_the_same_cells() {
        static CELLS: Cells = Cells::new();
        fn outer() -> u8 {
            struct Mark;
            *CELLS.get::<Mark, u8>(|| *CELLS.get::<Mark, u8>(|| 1) + 1)
        }
        assert_eq!((outer(), outer()), (1, 1), "the inner one was kept first");
    }
}
