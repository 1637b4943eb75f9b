//! The two macros that turn a type into a component.

/// Makes a component of a [`Connector`](crate::Connector). Natively it makes nothing.
#[macro_export]
macro_rules! export_connector {
    ($ty:ident) => {
        $crate::export_schema!(<$ty as $crate::Connector>::Config);
        #[cfg(target_arch = "wasm32")]
        #[doc(hidden)]
        mod bulkhead_component {
            #![allow(unsafe_code, reason = "the exported symbols of the component model; the code behind them is generated")]
            use $crate::bindings::connector::bulkhead::connector::types as wit;
            use $crate::bindings::connector::exports::bulkhead::connector::delivering;
            use $crate::exports;

            std::thread_local! { static SLOT: exports::Slot<super::$ty> = const { std::cell::RefCell::new(None) }; }

            struct Component;
            impl delivering::Guest for Component {
                fn configure(config: String, format: wit::RecordFormat) -> Result<delivering::Configured, String> {
                    exports::configure(&SLOT, &config, format)
                }
                fn check() -> Result<delivering::Checked, wit::Failure> {
                    exports::check(&SLOT)
                }
                fn deliver(records: wit::RecordBatch, events: wit::EventBatch, attempt: u32) -> Result<wit::Delivery, wit::Failure> {
                    exports::deliver(&SLOT, &records, &events, attempt)
                }
                fn settle(tokens: Vec<String>) -> Result<Vec<wit::Outcome>, wit::Failure> {
                    exports::settle(&SLOT, &tokens)
                }
                fn pull(cursor: Vec<u8>) -> Result<delivering::Page, wit::Failure> {
                    exports::pull(&SLOT, &cursor)
                }
                fn query(operation: String, parameters: String) -> Result<String, wit::Failure> {
                    exports::query(&SLOT, &operation, &parameters)
                }
                fn receive(request: delivering::Inbound) -> Result<delivering::Reply, wit::Failure> {
                    exports::receive(&SLOT, request)
                }
                fn maintain() -> Result<Option<u32>, wit::Failure> {
                    exports::maintain(&SLOT)
                }
                fn close() {
                    exports::close(&SLOT);
                }
            }
            $crate::bindings::connector::export!(Component with_types_in $crate::bindings::connector);
        }
    };
}

/// Makes a component of a [`Formatter`](crate::Formatter). Natively it makes nothing.
#[macro_export]
macro_rules! export_formatter {
    ($ty:ident) => {
        $crate::export_schema!(<$ty as $crate::Formatter>::Config);
        #[cfg(target_arch = "wasm32")]
        #[doc(hidden)]
        mod bulkhead_component {
            #![allow(unsafe_code, reason = "the exported symbols of the component model; the code behind them is generated")]
            use $crate::bindings::formatter::bulkhead::connector::types as wit;
            use $crate::bindings::formatter::exports::bulkhead::connector::formatting;
            use $crate::exports;

            std::thread_local! { static SLOT: exports::Slot<super::$ty> = const { std::cell::RefCell::new(None) }; }

            struct Component;
            impl formatting::Guest for Component {
                fn configure(config: String) -> Result<formatting::Configured, String> {
                    exports::format_configure(&SLOT, &config)
                }
                fn format(events: wit::EventBatch) -> formatting::Formatted {
                    exports::format(&SLOT, &events)
                }
            }
            $crate::bindings::formatter::export!(Component with_types_in $crate::bindings::formatter);
        }
    };
}

/// Places the schema of a configuration in the custom section that the build command lifts into the
/// component's manifest.
#[doc(hidden)]
#[macro_export]
macro_rules! export_schema {
    ($config:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            const PARTS: &[&str] = &["{", <$config as $crate::Config>::BODY, "}"];
            #[allow(unsafe_code, reason = "a named section is unsafe to ask for; this one is data only")]
            #[unsafe(link_section = "bulkhead:config-schema")]
            #[used]
            static SCHEMA: [u8; $crate::config::private::length(PARTS)] = $crate::config::private::join(PARTS);
        };
    };
}
