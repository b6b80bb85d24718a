//! The engine under a script: operations, answers and accidents in any order, and the contract of [`settee::engine`].
//!
//! The bytes choose a configuration, then steps. A step is something that the application, the clock or the network
//! does. The network is played by [`peer`]: it reads what the engine sends, so that its answers fit, or nearly.

mod application;
mod choices;
mod names;
mod network;
mod peer;
mod settings;
mod topology;
mod web;
mod work;
mod world;

use choices::Choices;
use world::World;

const PASSWORD: &str = "s3cret";

/// Any bytes are a script.
pub fn engine(data: &[u8]) {
    let twice = data.first().is_some_and(|first| first % 8 == 7);
    let epoch = std::time::Instant::now();
    let run = || {
        let mut world = World::new(Choices::new(data), epoch, twice);
        while world.step() {}
        world.finish()
    };
    let digest = run();
    if twice {
        assert_eq!(run(), digest, "the same inputs give other outputs");
    }
}
