//! The hostile cases of the threat model, H01 to H80: each a named test with an exact error and a bound on its time.
mod credentials;
