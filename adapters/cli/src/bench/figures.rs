//! What was measured.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde_json::{Value, json};

use super::histogram::Histogram;
use crate::failure::Failure;
use crate::terminal::Colours;

/// Errors and how often they came.
pub(super) type Errors = BTreeMap<String, u64>;

/// The figures of one run.
#[derive(Debug)]
pub(super) struct Figures {
    elapsed: Duration,
    cpu: Duration,
    latencies: Histogram,
    errors: Errors,
}

/// A measurement under way.
#[derive(Debug)]
pub(super) struct Watch {
    began: Instant,
    cpu: Duration,
}

impl Watch {
    /// Begins to measure.
    pub(super) fn start() -> Result<Self, Failure> {
        Ok(Self { cpu: cpu_time()?, began: Instant::now() })
    }

    /// Ends it.
    pub(super) fn stop(self, latencies: Histogram, errors: Errors) -> Result<Figures, Failure> {
        Ok(Figures {
            elapsed: self.began.elapsed(),
            cpu: cpu_time()?.saturating_sub(self.cpu),
            latencies,
            errors,
        })
    }
}

/// The process's user and system time so far.
fn cpu_time() -> Result<Duration, Failure> {
    let usage =
        getrusage(UsageWho::RUSAGE_SELF).map_err(|error| Failure::no(format!("getrusage: {error}")))?;
    let duration = |time: TimeVal| {
        Duration::from_secs(time.tv_sec().unsigned_abs())
            + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

impl Figures {
    /// Operations that succeeded.
    pub(super) fn ops(&self) -> u64 {
        self.latencies.total()
    }

    fn ops_per_sec(&self) -> f64 {
        self.ops() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// This throughput as a part of another.
    pub(super) fn share_of(&self, other: &Self) -> f64 {
        self.ops_per_sec() / other.ops_per_sec().max(f64::MIN_POSITIVE)
    }

    fn cpu_us_per_op(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.ops().max(1) as f64
    }

    fn quantile_us(&self, part: f64) -> f64 {
        self.latencies.quantile(part).as_nanos() as f64 / 1000.0
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "ops_per_sec": round(self.ops_per_sec(), 1),
            "cpu_us_per_op": round(self.cpu_us_per_op(), 3),
            "p50_us": round(self.quantile_us(0.5), 1),
            "p99_us": round(self.quantile_us(0.99), 1),
            "p999_us": round(self.quantile_us(0.999), 1),
            "errors": self.errors.values().sum::<u64>(),
            "errors_by_kind": self.errors,
            "ops": self.ops(),
            "seconds": round(self.elapsed.as_secs_f64(), 3),
        })
    }

    pub(super) fn write(&self, out: &mut impl Write, colours: Colours) -> io::Result<()> {
        let mut row =
            |name: &str, value: String| writeln!(out, "{}{value}", colours.bold(&format!("{name:<12}")));
        row("operations", format!("{} in {:.2} s", self.ops(), self.elapsed.as_secs_f64()))?;
        row("throughput", format!("{:.0} per second", self.ops_per_sec()))?;
        row("CPU", format!("{:.3} us per operation, of this process", self.cpu_us_per_op()))?;
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| self.quantile_us(part));
        row("latency", format!("{p50:.1} us median, {p99:.1} us 99 %, {p999:.1} us 99.9 %"))?;
        if self.errors.is_empty() {
            row("errors", colours.green("none").to_string())?;
        }
        for (kind, count) in &self.errors {
            row("errors", colours.red(&format!("{count} {kind}")).to_string())?;
        }
        Ok(())
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let latencies = Histogram::new();
        latencies.record(Duration::from_micros(100), 2000);
        let (elapsed, cpu) = (Duration::from_secs(2), Duration::from_millis(3));
        Figures { elapsed, cpu, latencies, errors: Errors::from([("AmbiguousTimeout".to_owned(), 3)]) }
    }

    #[test]
    fn json_has_all_figures() {
        let json = figures().to_json();
        assert_eq!((json["ops_per_sec"].as_f64(), json["cpu_us_per_op"].as_f64()), (Some(1000.0), Some(1.5)));
        assert_eq!((json["errors"].as_u64(), json["ops"].as_u64()), (Some(3), Some(2000)));
        for name in ["p50_us", "p99_us", "p999_us"] {
            assert!((json[name].as_f64().unwrap() - 100.0).abs() < 2.0, "{json}");
        }
    }

    #[test]
    fn text_has_them_too() {
        let mut out = Vec::new();
        figures().write(&mut out, Colours::NONE).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("1000 per second") && text.contains("3 AmbiguousTimeout"), "{text}");
    }
}
