//! The in-process side of the ports.
