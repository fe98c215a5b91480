//! A future that is a part of a computation.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{self, Poll},
};

use super::Context;

impl Context {
    /// A future that does the same as `future`, as a part of the computation: for a task that is spawned.
    ///
    /// The future is also dropped as a part of the computation.
    ///
    /// ```
    /// use std::{pin::pin, task};
    ///
    /// use memolith::Context;
    ///
    /// let mut future = pin!(Context::current().wrap(async { 12 }));
    /// let poll = future.as_mut().poll(&mut task::Context::from_waker(task::Waker::noop()));
    /// assert!(poll.is_ready());
    /// ```
    pub fn wrap<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        Within::new(self.clone(), future)
    }
}

/// A future that is polled and dropped within a computation.
pub(crate) struct Within<F> {
    context: Context,
    /// On the heap, so that it can be dropped before this. `None` once it is dropped.
    future: Option<Pin<Box<F>>>,
}

impl<F> Within<F> {
    pub(crate) fn new(context: Context, future: F) -> Self {
        Self { context, future: Some(Box::pin(future)) }
    }

    /// From now on the future is polled and dropped within another context.
    pub(crate) fn move_to(&mut self, context: Context) {
        self.context = context;
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let Self { context, future } = &mut *self;
        context.run(|| {
            let Some(polled) = future else { return Poll::Pending };
            let poll = polled.as_mut().poll(cx);
            if poll.is_ready() {
                *future = None;
            }
            poll
        })
    }
}

impl<F> Drop for Within<F> {
    fn drop(&mut self) {
        let future = mem::take(&mut self.future);
        self.context.run(|| drop(future));
    }
}
