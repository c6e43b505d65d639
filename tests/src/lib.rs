//! Conformance runners: they read other people's cases from a folder given to them, run them on the production
//! worker, and write results for a judge. Nothing in here belongs to an application.

pub mod kstreams;
