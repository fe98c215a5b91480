//! The janitor: a thread for work that no call waits for. It unlinks, verifies, drops values and tells events (both run
//! code of the user, which the worker never does), and drops engines that are out of service.

use std::{
    collections::VecDeque,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    thread::ThreadId,
    time::Duration,
};

use crate::{
    clock::Deadline,
    store::{blob, engine::Engine},
    sync::{Condvar, Mutex, PoisonError, lock, thread},
};

/// How often the janitor looks whether a retired engine is still used by a reader.
const LOOK: Duration = Duration::from_millis(2);

/// How long a caller waits for the janitor.
const CATCH_UP: Duration = Duration::from_secs(5);

type Task = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(crate) struct Janitor {
    work: Mutex<Work>,
    /// There is more work, or the janitor is to end.
    called: Condvar,
    /// There is nothing left to do.
    idle: Condvar,
    /// Files and folders out of sight, to be unlinked.
    trash: Mutex<Vec<PathBuf>>,
}

#[derive(Default)]
struct Work {
    tasks: VecDeque<Task>,
    /// Engines out of service, and what is done with each once no reader uses it.
    engines: Vec<(Arc<Engine>, AfterEngine)>,
    unlinks: bool,
    /// Whether something is being done at this moment.
    active: bool,
    /// The janitor's thread, while it runs.
    thread: Option<ThreadId>,
    ended: bool,
}

type AfterEngine = Box<dyn FnOnce(Engine) + Send>;

impl Janitor {
    /// Starts the thread, unless it runs.
    pub(crate) fn start(self: &Arc<Self>) -> io::Result<()> {
        let mut state = lock(&self.work);
        if state.thread.is_some() || state.ended {
            return Ok(());
        }
        let janitor = Arc::clone(self);
        let work = move || janitor.work();
        let started = thread::Builder::new().name("memolith-janitor".into()).spawn(work)?;
        state.thread = Some(started.thread().id());
        Ok(())
    }

    /// Has a task done. `false` when there is no janitor any more, and none to be had.
    pub(crate) fn run(self: &Arc<Self>, task: impl FnOnce() + Send + 'static) -> bool {
        // A guest has none until there is something to do.
        let is_to_be_had = self.start().is_ok();
        let mut work = lock(&self.work);
        if work.ended || !is_to_be_had {
            return false;
        }
        work.tasks.push_back(Box::new(task));
        self.called.notify_one();
        true
    }

    /// Has a file or folder unlinked that is out of sight already.
    pub(crate) fn queue_unlink(&self, retired: Option<PathBuf>) {
        if let Some(retired) = retired {
            lock(&self.trash).push(retired);
            lock(&self.work).unlinks = true;
            self.called.notify_one();
        }
    }

    /// Unlinks on this thread everything that was discarded so far.
    pub(crate) fn empty_trash(&self) {
        let trash = mem::take(&mut *lock(&self.trash));
        for retired in trash {
            blob::unlink(&retired);
        }
    }

    /// Waits until the janitor has done what it was given so far, at most for some seconds: a reader may keep an engine. On
    /// the janitor's own thread it does not wait.
    pub(crate) fn catch_up(&self) {
        self.empty_trash();
        let mut work = lock(&self.work);
        if work.thread == Some(thread::current().id()) {
            return;
        }
        let deadline = Deadline::after(CATCH_UP);
        while work.is_busy()
            && let Some(left) = deadline.remaining()
        {
            work = self.idle.wait_timeout(work, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Has an engine dropped once no reader uses it: the last handle of an engine flushes when it is dropped, and may hang.
    pub(crate) fn retire(&self, engine: Arc<Engine>, after: impl FnOnce(Engine) + Send + 'static) {
        lock(&self.work).engines.push((engine, Box::new(after)));
        self.called.notify_one();
    }

    /// Whether tasks that take long had better stop.
    pub(crate) fn is_ended(&self) -> bool {
        lock(&self.work).ended
    }

    /// Ends the thread when it has done its tasks.
    pub(crate) fn end(&self) {
        lock(&self.work).ended = true;
        self.called.notify_one();
    }

    fn work(&self) {
        while let Some(next) = self.next() {
            // A task that panics ends neither the thread nor the process.
            let _ = catch_unwind(AssertUnwindSafe(|| match next {
                Next::Task(task) => task(),
                Next::Unlink => self.empty_trash(),
                Next::Engine(engine, after) => after(*engine),
            }));
        }
    }

    fn next(&self) -> Option<Next> {
        let mut work = lock(&self.work);
        work.active = false;
        loop {
            if let Some(next) = work.next() {
                work.active = true;
                return Some(next);
            }
            self.idle.notify_all();
            let wait = if work.engines.is_empty() { None } else { Some(LOOK) };
            work = match wait {
                None if work.ended => {
                    work.thread = None;
                    return None;
                }
                None => self.called.wait(work).unwrap_or_else(PoisonError::into_inner),
                Some(wait) => self.called.wait_timeout(work, wait).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }
}

enum Next {
    Task(Task),
    Unlink,
    Engine(Box<Engine>, AfterEngine),
}

impl Work {
    fn is_busy(&self) -> bool {
        self.thread.is_some()
            && (self.active || self.unlinks || !self.tasks.is_empty() || !self.engines.is_empty())
    }

    fn next(&mut self) -> Option<Next> {
        if let Some((engine, after)) = self.unused_engine() {
            return Some(Next::Engine(Box::new(engine), after));
        }
        if let Some(task) = self.tasks.pop_front() {
            return Some(Next::Task(task));
        }
        mem::take(&mut self.unlinks).then_some(Next::Unlink)
    }

    /// An engine that no reader uses, out of the list. It cannot find a new reader there.
    fn unused_engine(&mut self) -> Option<(Engine, AfterEngine)> {
        let place = self.engines.iter().position(|(engine, _)| Arc::strong_count(engine) == 1)?;
        let (engine, after) = self.engines.swap_remove(place);
        match Arc::try_unwrap(engine) {
            Ok(engine) => Some((engine, after)),
            Err(engine) => {
                self.engines.push((engine, after));
                None
            }
        }
    }
}
