//! Page: metrics in Prometheus' text form.

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// The version of the text form; its text is UTF-8.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Labels, each with its value.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Name and meaning of a metric.
pub(super) type Name<'a> = (&'a str, &'a str);

/// The metrics of a page, by name.
#[derive(Default)]
pub(super) struct Page {
    families: BTreeMap<String, MetricFamily>,
}

/// A count as Prometheus has it. Above 2^53 it loses its last digits.
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

impl Page {
    /// Adds a count that only rises.
    pub(super) fn counter(&mut self, name: Name<'_>, labels: Labels<'_>, value: f64) {
        let mut counter = Counter::default();
        counter.set_value(value);
        self.add(MetricType::COUNTER, name, labels).set_counter(counter);
    }

    /// Adds a value of now.
    pub(super) fn gauge(&mut self, name: Name<'_>, labels: Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        self.add(MetricType::GAUGE, name, labels).set_gauge(gauge);
    }

    /// Adds a distribution: upper bounds, each with how many lie between it and the one before, and the sum of all values.
    pub(super) fn histogram(
        &mut self,
        name: Name<'_>,
        labels: Labels<'_>,
        (buckets, sum): (impl Iterator<Item = (f64, u64)>, f64),
    ) {
        let mut count = 0;
        let cumulated = buckets.map(|(bound, more)| {
            count += more;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut histogram = Histogram::default();
        // That of all values is added as they are written, under the name that Prometheus has for it.
        histogram.set_bucket(cumulated.filter(|bucket| bucket.upper_bound().is_finite()).collect());
        histogram.set_sample_count(count);
        histogram.set_sample_sum(sum);
        self.add(MetricType::HISTOGRAM, name, labels).set_histogram(histogram);
    }

    fn add(&mut self, kind: MetricType, (name, help): Name<'_>, labels: Labels<'_>) -> &mut Metric {
        let family = self.families.entry(name.to_owned()).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family
        });
        let pair = |(name, value): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let metrics = family.mut_metric();
        metrics.push(Metric::from_label(labels.iter().map(pair).collect()));
        metrics.last_mut().expect("one was pushed just now")
    }

    /// The page as it is sent.
    pub(super) fn into_text(self) -> String {
        let families: Vec<_> = self.families.into_values().collect();
        // It refuses families without a name or a metric; there are none.
        TextEncoder.encode_to_string(&families).unwrap_or_else(|error| format!("# {error}\n"))
    }
}
