//! What the fuzz targets do with an input. Nothing here knows of a fuzzer: ordinary tests run the same functions on the
//! inputs that once failed.

pub mod checksums;
pub mod recovery;
pub mod requests;
