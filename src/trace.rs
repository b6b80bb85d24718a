//! Log macros that compile to nothing without the feature `tracing`.

macro_rules! debug {
    ($($arguments:tt)*) => {{
        #[cfg(feature = "tracing")]
        tracing::debug!($($arguments)*);
    }};
}

macro_rules! info {
    ($($arguments:tt)*) => {{
        #[cfg(feature = "tracing")]
        tracing::info!($($arguments)*);
    }};
}

macro_rules! warning {
    ($($arguments:tt)*) => {{
        #[cfg(feature = "tracing")]
        tracing::warn!($($arguments)*);
    }};
}

pub(crate) use {debug, info, warning};
