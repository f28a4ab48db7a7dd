//! Runs all tasks of a simulation on one thread, in an order that a seed decides, in virtual time.
//!
//! A step polls one of the tasks that are ready, drawn by lot. Who woke whom first makes no difference, because the lot
//! is drawn over the tasks' numbers. When none is ready, tokio's paused clock goes on to the next timer. A task belongs to
//! the node of the task that began it; a node's tasks can be kept from running, or be dropped all at once, as a
//! process is by a signal.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use openraft::{AsyncRuntime, OptionalSend, TokioRuntime};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Steps without any time passing after which a simulation is taken to be stuck.
const STEPS_MAX: u64 = 2_000_000;
/// A simulation that is not over by then never ends.
const TIME_MAX: Duration = Duration::from_secs(1200);
/// When simulations begin.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// How long work on a thread of its own takes at most.
const WORK_MAX: Duration = Duration::from_millis(3);

/// A process of the simulation; none for what is outside of all.
pub(crate) type Process = Option<usize>;

struct Task {
    process: Process,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

struct Late {
    process: Process,
    /// Gone if nobody waits any more: to wake its task then would give away that it was ever asked.
    passed: Weak<AtomicBool>,
    waker: Waker,
}

#[derive(Default)]
struct Ready {
    tasks: BTreeSet<u64>,
    executor: Option<Waker>,
}

struct TaskWaker {
    task: u64,
    ready: Arc<Mutex<Ready>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let executor = {
            let mut ready = self.ready.lock();
            ready.tasks.insert(self.task);
            ready.executor.take()
        };
        if let Some(executor) = executor {
            executor.wake();
        }
    }
}

struct Executor {
    tasks: RefCell<BTreeMap<u64, Task>>,
    ready: Arc<Mutex<Ready>>,
    /// Sleepers whose time has come, and who go on when nobody else has anything to do.
    late: RefCell<VecDeque<Late>>,
    paused: RefCell<BTreeSet<usize>>,
    clocks_ahead_ms: RefCell<BTreeMap<usize, i64>>,
    random: RefCell<StdRng>,
    current: Cell<Process>,
    next_task: Cell<u64>,
    begun: Instant,
    steps: Cell<(u64, Duration)>,
    trace: RefCell<DefaultHasher>,
}

thread_local! {
    static RUNNING: RefCell<Option<Rc<Executor>>> = const { RefCell::new(None) };
}

fn running() -> Option<Rc<Executor>> {
    RUNNING.with_borrow(Clone::clone)
}

/// Whether a simulation runs on this thread.
pub(crate) fn is_running() -> bool {
    running().is_some()
}

/// Runs a simulation to its end. Returns what it returned, and a hash of all that happened on the way.
pub(crate) fn run<T: 'static>(seed: u64, main: impl Future<Output = T> + 'static) -> (T, u64) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    tokio.unwrap().block_on(async move {
        let executor = Rc::new(Executor::new(seed));
        RUNNING.set(Some(Rc::clone(&executor)));
        let _end = End;
        let done = Rc::new(RefCell::new(None));
        let result = Rc::clone(&done);
        executor.begin(None, async move { *result.borrow_mut() = Some(main.await) });
        let result = std::future::poll_fn(|context| {
            executor.run_until_idle(context, || done.borrow().is_some());
            done.borrow_mut().take().map_or(Poll::Pending, Poll::Ready)
        });
        let result = tokio::task::unconstrained(result).await;
        let trace = executor.trace.borrow().finish();
        (result, trace)
    })
}

/// Drops all tasks and lets the thread go, also when a simulation panics.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        if let Some(executor) = running() {
            let tasks = std::mem::take(&mut *executor.tasks.borrow_mut());
            drop(tasks);
        }
        RUNNING.set(None);
    }
}

impl Executor {
    fn new(seed: u64) -> Executor {
        Executor {
            tasks: RefCell::default(),
            ready: Arc::default(),
            late: RefCell::default(),
            paused: RefCell::default(),
            clocks_ahead_ms: RefCell::default(),
            random: RefCell::new(StdRng::seed_from_u64(seed)),
            current: Cell::new(None),
            next_task: Cell::new(0),
            begun: Instant::now(),
            steps: Cell::new((0, Duration::ZERO)),
            trace: RefCell::new(DefaultHasher::new()),
        }
    }

    fn begin(&self, process: Process, future: impl Future<Output = ()> + 'static) {
        let number = self.next_task.replace(self.next_task.get() + 1);
        self.tasks.borrow_mut().insert(number, Task { process, future: Box::pin(future) });
        self.ready.lock().tasks.insert(number);
    }

    fn run_until_idle(&self, context: &Context<'_>, done: impl Fn() -> bool) {
        self.ready.lock().executor = Some(context.waker().clone());
        while !done() {
            if let Some(number) = self.draw() {
                self.step(number);
                continue;
            }
            let Some(sleeper) = self.next_late() else { return };
            if let Some(passed) = sleeper.passed.upgrade() {
                passed.store(true, Ordering::Relaxed);
                sleeper.waker.wake();
            }
        }
    }

    fn next_late(&self) -> Option<Late> {
        let (mut late, paused) = (self.late.borrow_mut(), self.paused.borrow());
        let may_run = |sleeper: &Late| sleeper.process.is_none_or(|at| !paused.contains(&at));
        let next = late.iter().position(may_run)?;
        late.remove(next)
    }

    /// Draws one of the tasks that are ready and not paused.
    fn draw(&self) -> Option<u64> {
        let (tasks, paused) = (self.tasks.borrow(), self.paused.borrow());
        let mut ready = self.ready.lock();
        // Whoever was woken after its end is of no interest.
        ready.tasks.retain(|number| tasks.contains_key(number));
        let may_run = |number: &&u64| {
            tasks.get(number).is_some_and(|task| task.process.is_none_or(|at| !paused.contains(&at)))
        };
        let candidates: Vec<u64> = ready.tasks.iter().filter(may_run).copied().collect();
        let drawn = match candidates.as_slice() {
            [] => return None,
            [only] => *only,
            several => several[self.random.borrow_mut().random_range(0..several.len())],
        };
        ready.tasks.remove(&drawn);
        Some(drawn)
    }

    fn step(&self, number: u64) {
        let now = self.begun.elapsed();
        let (steps, since) = self.steps.get();
        self.steps.set(if since == now { (steps + 1, now) } else { (0, now) });
        assert!(steps < STEPS_MAX && now < TIME_MAX, "the simulation is stuck at {now:?}");
        (number, now).hash(&mut *self.trace.borrow_mut());
        let Some(mut task) = self.tasks.borrow_mut().remove(&number) else { return };
        let waker = Waker::from(Arc::new(TaskWaker { task: number, ready: Arc::clone(&self.ready) }));
        let outside = self.current.replace(task.process);
        let polled = task.future.as_mut().poll(&mut Context::from_waker(&waker));
        match polled {
            Poll::Pending => drop(self.tasks.borrow_mut().insert(number, task)),
            Poll::Ready(()) => drop(task),
        }
        self.current.set(outside);
    }
}

/// Runs a task in the process of the one that begins it.
pub(crate) fn spawn<T: OptionalSend + 'static>(
    task: impl Future<Output = T> + OptionalSend + 'static,
) -> JoinHandle<T> {
    match running() {
        Some(executor) => spawn_on(executor.current.get(), task),
        None => JoinHandle::Tokio(tokio::spawn(task)),
    }
}

/// Runs a task in a process of the simulation.
pub(crate) fn spawn_on<T: 'static>(
    process: Process,
    task: impl Future<Output = T> + 'static,
) -> JoinHandle<T> {
    let (give, result) = oneshot::channel();
    if let Some(executor) = running() {
        executor.begin(process, async move {
            // Whoever does not wait for it needs no result.
            let _ = give.send(task.await);
        });
    }
    JoinHandle::Simulated(result)
}

/// Does what would block a thread, a little later.
pub(crate) fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    match random_below(WORK_MAX) {
        Some(takes) => spawn(async move {
            if takes > WORK_MAX / 2 {
                tokio::time::sleep(takes).await;
            }
            work()
        }),
        None => JoinHandle::Tokio(tokio::task::spawn_blocking(work)),
    }
}

/// Ends a process at once: its tasks are dropped wherever they are. Not to be called from within.
pub(crate) fn kill(process: usize) {
    let Some(executor) = running() else { return };
    resume(process);
    let tasks = executor.tasks.borrow();
    let its: Vec<u64> =
        tasks.iter().filter(|(_, task)| task.process == Some(process)).map(|(number, _)| *number).collect();
    drop(tasks);
    for number in its {
        let task = executor.tasks.borrow_mut().remove(&number);
        drop(task);
    }
}

/// Keeps a process from running, until it is resumed.
pub(crate) fn pause(process: usize) {
    if let Some(executor) = running() {
        executor.paused.borrow_mut().insert(process);
    }
}

/// Lets a paused process run again.
pub(crate) fn resume(process: usize) {
    if let Some(executor) = running() {
        executor.paused.borrow_mut().remove(&process);
    }
}

/// Whether a process is paused.
pub(crate) fn is_paused(process: usize) -> bool {
    running().is_some_and(|executor| executor.paused.borrow().contains(&process))
}

/// Sets a process's clock ahead of the right time, or back.
pub(crate) fn set_clock_ahead(process: usize, ms: i64) {
    if let Some(executor) = running() {
        executor.clocks_ahead_ms.borrow_mut().insert(process, ms);
    }
}

/// The clock of the process that asks.
pub(crate) fn clock_ms() -> u64 {
    let Some(executor) = running() else {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
        return u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    };
    let passed = u64::try_from(executor.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let ahead = executor.current.get().and_then(|at| executor.clocks_ahead_ms.borrow().get(&at).copied());
    (EPOCH_MS + passed).saturating_add_signed(ahead.unwrap_or(0))
}

/// Draws from the simulation's randomness, if one runs.
pub(crate) fn draw<T>(draw: impl FnOnce(&mut StdRng) -> T) -> Option<T> {
    running().map(|executor| draw(&mut executor.random.borrow_mut()))
}

/// A random time below this one, if a simulation runs.
pub(crate) fn random_below(limit: Duration) -> Option<Duration> {
    draw(|random| random.random_range(Duration::ZERO..limit))
}

/// The outcome of a task to come.
pub enum JoinHandle<T> {
    Tokio(tokio::task::JoinHandle<T>),
    Simulated(oneshot::Receiver<T>),
}

/// Why a task has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(transparent)]
    Tokio(tokio::task::JoinError),
    #[error("its process was killed")]
    Killed,
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            JoinHandle::Tokio(handle) => Pin::new(handle).poll(context).map_err(JoinError::Tokio),
            JoinHandle::Simulated(result) => Pin::new(result).poll(context).map_err(|_| JoinError::Killed),
        }
    }
}

/// A timer of openraft's. openraft waits for a timer or for an event, whichever comes first, and lets tokio throw dice when
/// both are there. So a timer counts only when nobody has anything else to do: all events have been taken by then.
pub struct Sleep {
    timer: Pin<Box<tokio::time::Sleep>>,
    passed: Option<Arc<AtomicBool>>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(passed) = &self.passed {
            return if passed.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending };
        }
        std::task::ready!(self.timer.as_mut().poll(context));
        let Some(executor) = running() else { return Poll::Ready(()) };
        let passed = Arc::new(AtomicBool::new(false));
        let late = Late {
            process: executor.current.get(),
            passed: Arc::downgrade(&passed),
            waker: context.waker().clone(),
        };
        executor.late.borrow_mut().push_back(late);
        self.passed = Some(passed);
        Poll::Pending
    }
}

/// openraft's runtime: the simulation's, or tokio's where none runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SimulatedRuntime;

impl AsyncRuntime for SimulatedRuntime {
    type JoinError = JoinError;
    type JoinHandle<T: OptionalSend + 'static> = JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = Instant;
    type TimeoutError = tokio::time::error::Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = tokio::time::Timeout<T>;
    // For election timeouts only, which this group does without.
    type ThreadLocalRng = <TokioRuntime as AsyncRuntime>::ThreadLocalRng;
    type OneshotSender<T: OptionalSend> = <TokioRuntime as AsyncRuntime>::OneshotSender<T>;
    type OneshotReceiver<T: OptionalSend> = oneshot::Receiver<T>;
    type OneshotReceiverError = oneshot::error::RecvError;

    fn spawn<T>(future: T) -> JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        spawn(future)
    }

    fn sleep(duration: Duration) -> Sleep {
        Sleep { timer: Box::pin(tokio::time::sleep(duration)), passed: None }
    }

    fn sleep_until(deadline: Instant) -> Sleep {
        Sleep { timer: Box::pin(tokio::time::sleep_until(deadline)), passed: None }
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        tokio::time::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        tokio::time::timeout_at(deadline, future)
    }

    fn is_panic(error: &JoinError) -> bool {
        matches!(error, JoinError::Tokio(error) if error.is_panic())
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        TokioRuntime::thread_rng()
    }

    fn oneshot<T>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>)
    where
        T: OptionalSend,
    {
        TokioRuntime::oneshot()
    }
}
