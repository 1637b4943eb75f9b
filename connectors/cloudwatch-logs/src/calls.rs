//! Calls of the service.

use bulkhead_sdk::{Failure, http};

use crate::answer::{Fault, fault, is_type};

/// POSTs one operation; what is not 2xx is a fault.
pub fn call(operation: &str, body: Vec<u8>) -> Result<http::Response, Fault> {
    let response = http::post("primary", "/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("Logs_20140328.{operation}"))
        .body(body)
        .send()
        .map_err(|error| match error {
            http::Error::TooLarge(limit) => Fault::Refused(limit),
            error => Fault::Failure(Failure::from(error)),
        })?;
    if (200..=299).contains(&response.status) { Ok(response) } else { Err(fault(&response)) }
}

/// Creates something; that it is there already is fine.
pub fn create(operation: &str, body: Vec<u8>) -> Result<(), Fault> {
    match call(operation, body) {
        Ok(_) => Ok(()),
        Err(Fault::Refused(reason)) if is_type(&reason, "ResourceAlreadyExistsException") => Ok(()),
        // No event is at fault here.
        Err(Fault::Refused(reason)) => Err(Fault::Failure(Failure::Configuration(format!("{operation}: {reason}")))),
        Err(fault) => Err(fault),
    }
}
