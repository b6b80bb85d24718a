//! `tracing`'s macros, or nothing without the feature.

#[cfg(feature = "tracing")]
pub(crate) use tracing::{debug, trace};

#[cfg(not(feature = "tracing"))]
mod silent {
    macro_rules! silent {
        ($($argument:tt)*) => {{
            // The arguments stay checked and used.
            let _ = || drop(format!($($argument)*));
        }};
    }
    pub(crate) use silent;
}

#[cfg(not(feature = "tracing"))]
pub(crate) use silent::{silent as debug, silent as trace};
