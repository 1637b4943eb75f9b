//! `bulkhead login` and `logout`: a session with a host, kept for the other verbs. With `--user` the host itself checks a
//! password; otherwise the OpenID provider that the host trusts says who somebody is.

mod browser;
mod device;
mod provider;

use clap::Args;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::failure::print;
use super::http_client::{answered, block_on, client};
use super::session::{self, Kept};
use super::{Exit, Failure, Output, prompt};

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// API address of the host.
    #[arg(long, default_value = "http://127.0.0.1:8780", env = "BULKHEAD_API_URL")]
    api: String,
    /// A user of the host, or of its directory; the password is asked for, or is the first line of standard input.
    #[arg(long)]
    user: Option<String>,
    /// The code of the app, for users who have one.
    #[arg(long, requires = "user")]
    code: Option<String>,
    /// At the OpenID provider: in a browser on this machine, in place of a code that is entered in any browser.
    #[arg(long, conflicts_with = "user")]
    browser: bool,
}

#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// API address of the host.
    #[arg(long, default_value = "http://127.0.0.1:8780", env = "BULKHEAD_API_URL")]
    api: String,
}

pub fn login(args: &LoginArgs, output: Output) -> Result<Exit, Failure> {
    let kept = match &args.user {
        Some(user) => with_password(args, user)?,
        None => block_on(async {
            let provider = provider::of_host(&args.api).await?;
            if args.browser { browser::sign_in(&provider).await } else { device::sign_in(&provider).await }
        })?,
    };
    let path = session::keep(&args.api, kept)?;
    match output {
        Output::Json => print(json!({"schema_version": 1, "api": args.api, "kept_in": path.display().to_string()}))?,
        Output::Text => print(format!("signed in at {}; kept in {}", args.api, path.display()))?,
    }
    Ok(Exit::Ok)
}

fn with_password(args: &LoginArgs, user: &str) -> Result<Kept, Failure> {
    let password = prompt::secret("password")?;
    let mut body = json!({"username": user, "password": password.expose_secret()});
    if let Some(code) = &args.code {
        body["mfa_token"] = code.as_str().into();
    }
    let url = format!("{}/api/v2/auth/login", args.api.trim_end_matches('/'));
    let answer = block_on(async { answered(&url, client()?.post(&url).header("content-type", "application/json").body(body.to_string())).await })?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|error| Failure::from_error(Exit::Failed, "host.answer", &error))?;
    Kept::of(&answer, None, None).ok_or_else(|| Failure::new(Exit::Failed, "host.answer", "the answer has no token"))
}

/// The session is forgotten here whether the host can be told or not.
pub fn logout(args: &LogoutArgs, output: Output) -> Result<Exit, Failure> {
    let Some(kept) = session::forget(&args.api)? else {
        return Err(Failure::new(Exit::NotFound, "session.none", format!("there is no session with {}", args.api)));
    };
    let mut told = Ok(());
    if kept.provider.is_none() {
        let url = format!("{}/api/v2/auth/logout", args.api.trim_end_matches('/'));
        told = block_on(async { answered(&url, client()?.delete(&url).bearer_auth(kept.access_token())).await }).map(drop);
    }
    match output {
        Output::Json => print(json!({"schema_version": 1, "api": args.api}))?,
        Output::Text => print(format!("signed out of {}", args.api))?,
    }
    // What has expired is over, but for the refresh token, which ends by itself.
    if let Err(failure) = told {
        eprintln!("note: the host did not end the session, it ends there by itself: {}", failure.message);
    }
    Ok(Exit::Ok)
}
