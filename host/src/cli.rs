//! The command line: data on stdout, the rest on stderr, stable exit codes.

mod ask;
mod audit;
mod author;
mod compile;
mod completions;
mod connector;
mod dlq;
mod entries;
mod failure;
mod http_client;
mod inspect;
mod journal;
mod key;
mod login;
mod notify;
mod policy;
mod prompt;
mod pull;
mod replay;
mod schema;
mod send;
mod serve;
mod session;
mod store;
mod subscription;
mod sync;
mod tap;
mod top;
mod unseal;
mod user;
mod validate;
mod webhook;

use std::path::PathBuf;
use std::process::ExitCode;

use bulkhead_ingest::LineFormat;
use clap::{Parser, Subcommand, ValueEnum};

pub use failure::{Exit, Failure};

use crate::pipeline::GivenUp;

/// The configuration file that is taken where none is named.
const DEFAULT_CONFIG: &str = "bulkhead.yaml";

#[derive(Debug, Parser)]
#[command(name = "bulkhead", version, about = "Takes in audit events, keeps them safe and delivers them through sandboxed connectors", max_term_width = 100)]
struct Cli {
    /// How results are printed.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Short for `--output json`.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the service; SIGTERM drains and exits 0.
    Serve {
        #[arg(short, long, env = "BULKHEAD_CONFIG", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
        /// Check the configuration and every component it names, then exit.
        #[arg(long)]
        check: bool,
        /// Give up what a lane has not delivered, `instance/format`, where no route names it any more.
        #[arg(long, value_name = "LANE")]
        discard_lane: Vec<String>,
        /// Give up a part of the configuration that is stored, `section/name`, where it keeps the host from starting.
        #[arg(long, value_name = "ENTRY")]
        discard_entry: Vec<String>,
        /// Delete all API keys, where the pepper is lost that they need.
        #[arg(long)]
        discard_api_keys: bool,
        /// Take the lines of standard input as events, deliver everything, and exit; lines are `auto`
        /// (JSON, syslog or text by how they begin), `json`, `text` or `syslog`.
        #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "auto", value_parser = serve::line_format)]
        stdin: Option<LineFormat>,
    },
    /// Check a configuration and print every fault.
    Validate {
        #[arg(short, long, env = "BULKHEAD_CONFIG", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// The configuration's schema, or what is in force.
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Post events from a file, from standard input, or made ones.
    Send(send::SendArgs),
    /// Begin a connector or a formatter: a folder that builds and passes its tests as it is.
    New(author::new::NewArgs),
    /// Build the author's folder to a component, whatever its language needs.
    Build(author::build::BuildArgs),
    /// Run the author's cases and the conformance suite on a component; exits 7 where a check fails.
    Test(author::test::TestArgs),
    /// Build, run against a server that fails on request, show every exchange, build again on change.
    Dev(author::dev::DevArgs),
    /// Say what building needs that this machine lacks, and the command that mends it.
    Doctor(author::doctor::DoctorArgs),
    /// Say what a component is and what it can reach, without running it.
    Inspect {
        /// A `.wasm` file or the name of a built-in component.
        component: String,
    },
    /// Dead letters of a running host.
    Dlq(dlq::DlqArgs),
    /// Read a lane again from a point in time.
    Replay(replay::ReplayArgs),
    /// Test the connection of an instance of a running host, pause it, resume it.
    Instance(ask::InstanceArgs),
    /// Put a question to the system behind an instance of a running host.
    Query(ask::QueryArgs),
    /// Have an instance of a running host bring what is new now.
    Pull(pull::PullArgs),
    /// Runs of pull connectors of a running host, and when the next ones are.
    Sync(sync::SyncArgs),
    /// What a running host accepts and what becomes of it, as it happens.
    Tap(tap::TapArgs),
    /// How a running host does, instance by instance: rates, queues, latencies, breakers, fuel, memory.
    Top(top::TopArgs),
    /// Webhooks of a running host: make, list, show, remove, test, exchange the secret, look at deliveries, repeat one.
    Webhook(webhook::WebhookArgs),
    /// What events set off on a running host: make, list, show, remove.
    Subscription(subscription::SubscriptionArgs),
    /// Write the stored entries of a running host's configuration into a folder, one file each, without secrets.
    Export(entries::ExportArgs),
    /// Store the entries of a folder or of one file in a running host, all in one change.
    Import(entries::ImportArgs),
    /// Say what an import would change; exits 10 where it would.
    Diff(entries::DiffArgs),
    /// Upload a component to a running host.
    Push(connector::PushArgs),
    /// Components of a running host and their versions.
    Connector(connector::ConnectorArgs),
    /// API keys of a running host: make, list, show, rotate, revoke.
    Key(key::KeyArgs),
    /// People who sign in at a running host with a password: make, list, change, remove.
    User(user::UserArgs),
    /// Sign in at a host; other verbs use the session where no token is given.
    Login(login::LoginArgs),
    /// End the session with a host.
    Logout(login::LogoutArgs),
    /// Offline tools for the journal of a host that is not running.
    Journal(journal::JournalArgs),
    /// Offline tools for the control store of a host that is not running.
    Store(store::StoreArgs),
    /// Open sealed fields in text, with the keys of a configuration.
    Unseal(unseal::UnsealArgs),
    /// Compile the component on standard input within limits; the host starts this for each.
    #[command(hide = true)]
    CompileComponent(compile::CompileArgs),
    /// What connectors may send, and which rule decides.
    Policy(policy::PolicyArgs),
    /// Receipts of deliveries and the trail of what people did: check the chain, list, show.
    Audit(audit::AuditArgs),
    /// A completion script for a shell.
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// JSON Schema of the configuration, for editors.
    Schema,
    /// The configuration in force, secrets hidden.
    Show {
        #[arg(short, long, env = "BULKHEAD_CONFIG", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
        /// With every default filled in.
        #[arg(long, required = true)]
        effective: bool,
    },
}

pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print(); // a closed terminal is not worth a second error
            return exit.into();
        }
    };
    let output = if cli.json { Output::Json } else { cli.output };
    let result = match cli.verb {
        Verb::Serve { config, check, discard_lane, discard_entry, discard_api_keys, stdin } => {
            let given_up = GivenUp { lanes: &discard_lane, entries: &discard_entry, api_keys: discard_api_keys };
            serve::run(&config, check, given_up, stdin, output)
        }
        Verb::Validate { config } => validate::run(&config, output),
        Verb::Config { verb: ConfigVerb::Schema } => schema::print_schema(),
        Verb::Config { verb: ConfigVerb::Show { config, effective: _ } } => schema::print_effective(&config, output),
        Verb::Send(args) => send::run(&args, output),
        Verb::New(args) => author::new::run(&args, output),
        Verb::Build(args) => author::build::run(&args, output),
        Verb::Test(args) => author::test::run(&args, output),
        Verb::Dev(args) => author::dev::run(&args, output),
        Verb::Doctor(args) => author::doctor::run(&args, output),
        Verb::Inspect { component } => inspect::run(&component, output),
        Verb::Dlq(args) => dlq::run(&args, output),
        Verb::Replay(args) => replay::run(&args, output),
        Verb::Instance(args) => ask::instance(&args, output),
        Verb::Query(args) => ask::query(&args, output),
        Verb::Pull(args) => pull::run(&args, output),
        Verb::Sync(args) => sync::run(&args, output),
        Verb::Tap(args) => tap::run(&args, output),
        Verb::Top(args) => top::run(&args, output),
        Verb::Webhook(args) => webhook::run(&args, output),
        Verb::Subscription(args) => subscription::run(&args, output),
        Verb::Export(args) => entries::export(&args, output),
        Verb::Import(args) => entries::import(&args, output),
        Verb::Diff(args) => entries::diff(&args, output),
        Verb::Push(args) => connector::push(&args, output),
        Verb::Connector(args) => connector::run(&args, output),
        Verb::Key(args) => key::run(&args, output),
        Verb::User(args) => user::run(&args, output),
        Verb::Login(args) => login::login(&args, output),
        Verb::Logout(args) => login::logout(&args, output),
        Verb::Journal(args) => journal::run(&args, output),
        Verb::Store(args) => store::run(&args, output),
        Verb::Unseal(args) => unseal::run(&args, output),
        Verb::CompileComponent(args) => compile::run(&args),
        Verb::Policy(args) => policy::run(&args, output),
        Verb::Audit(args) => audit::run(&args, output),
        Verb::Completions { shell } => completions::run::<Cli>(shell),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(output),
    }
}
