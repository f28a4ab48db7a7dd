//! What is broken when: a plan drawn from a seed, the hand that carries it out, and the links that it can cut.

mod fault;
mod injector;
mod network;
mod observer;
mod plan;
mod timeline;

pub use fault::{Fault, Target};
pub use injector::{InjectError, Injector, Inspection};
pub use network::{Cut, Direction, Flow, Network};
pub use observer::observe;
pub use plan::{CustomerNodes, Kind, Plan, Reach, Step};
pub use timeline::{Bar, Entry, Happening, Timeline, bars};
