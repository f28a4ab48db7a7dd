//! What is broken when: a plan drawn from a seed, and the hand that carries it out.

mod injector;
mod plan;
mod timeline;

pub use injector::{Injector, Inspection};
pub use plan::{CustomerNodes, Kind, Plan, Step, Target};
pub use timeline::{Entry, Happening, Timeline};
