//! Two clocks: the one on the wall, and the processor's time that was used, which other programs on the same machine disturb
//! less.

use std::time::{Duration, Instant};

use nix::time::ClockId;

/// Both clocks, since some moment.
pub struct Watch {
    wall: Instant,
    clock: ClockId,
    processor: Duration,
}

/// What both clocks say.
#[derive(Clone, Copy, Default)]
pub struct Elapsed {
    pub wall: Duration,
    pub processor: Duration,
}

impl Watch {
    /// The processor's time of this thread.
    pub fn of_thread() -> Self {
        Watch::start(ClockId::CLOCK_THREAD_CPUTIME_ID)
    }

    /// The processor's time of all threads.
    pub fn of_process() -> Self {
        Watch::start(ClockId::CLOCK_PROCESS_CPUTIME_ID)
    }

    fn start(clock: ClockId) -> Self {
        let processor = clock.now().expect("the processor's clock").into();
        Watch { wall: Instant::now(), clock, processor }
    }

    pub fn elapsed(&self) -> Elapsed {
        let processor = Duration::from(self.clock.now().expect("the processor's clock"));
        Elapsed { wall: self.wall.elapsed(), processor: processor.saturating_sub(self.processor) }
    }
}

impl Elapsed {
    pub fn add(&mut self, more: Elapsed) {
        self.wall += more.wall;
        self.processor += more.processor;
    }

    pub fn report(&self, what: &str, count: usize) {
        let Elapsed { wall, processor } = *self;
        let each = processor.as_secs_f64() * 1e6 / count as f64;
        println!("{what:<44} {wall:>10.2?} {processor:>10.2?} of processor, {each:>8.2} µs each of {count}");
    }
}
