//! `bulkhead user`: people who sign in at a running host with a password, through its API. A password is typed without
//! echo, or comes as the first line of standard input; it is never an argument, which everybody on a machine can read.

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::ask::value;
use super::failure::print;
use super::http_client::{Server, answered, block_on, percent};
use super::{Exit, Failure, Output, prompt};

#[derive(Debug, Args)]
pub struct UserArgs {
    /// API address of the host.
    #[arg(long, default_value = "http://127.0.0.1:8780", env = "BULKHEAD_API_URL", global = true)]
    api: String,
    /// API key or token that this verb uses itself.
    #[arg(long, env = "BULKHEAD_API_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    #[command(subcommand)]
    verb: UserVerb,
}

#[derive(Debug, Subcommand)]
enum UserVerb {
    /// Make a user; the password is asked for, or is the first line of standard input.
    Create {
        name: String,
        /// What they may do: security_admin, security_analyst, security_viewer, integration_admin, auditor, api_service.
        #[arg(long, required = true, value_delimiter = ',')]
        role: Vec<String>,
        /// The tenant whose things they see and change; everything where absent.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Users, by name.
    List,
    /// One user.
    Show { name: String },
    /// Give other roles; they count at once.
    Roles {
        name: String,
        #[arg(long, required = true, value_delimiter = ',')]
        role: Vec<String>,
    },
    /// Give another password; ends the user's sessions. Without a name: your own, as whoever is signed in.
    Passwd {
        name: Option<String>,
        /// The code of the app, for a password of your own where you have a second factor.
        #[arg(long, conflicts_with = "name")]
        code: Option<String>,
    },
    /// Give a new second factor, or none; ends the user's sessions.
    Totp {
        name: String,
        /// No second factor any more.
        #[arg(long)]
        remove: bool,
    },
    /// Let nobody in by this name; ends the user's sessions.
    Disable { name: String },
    /// Let the user in again.
    Enable { name: String },
    /// Remove a user and end the sessions.
    Remove { name: String },
}

pub fn run(args: &UserArgs, output: Output) -> Result<Exit, Failure> {
    if let UserVerb::Passwd { name: None, code } = &args.verb {
        return own_password(args, code.as_deref(), output);
    }
    let typed = || prompt::secret("password").map(|text| text.expose_secret().to_owned());
    let one = |name: &str, rest: &str| format!("users/{}{rest}", percent(name));
    let (method, path, body) = match &args.verb {
        UserVerb::Create { name, role, tenant } => {
            ("POST", "users".to_owned(), Some(json!({"name": name, "roles": role, "tenant": tenant, "password": typed()?})))
        }
        UserVerb::List => ("GET", "users?limit=1000".to_owned(), None),
        UserVerb::Show { name } => ("GET", one(name, ""), None),
        UserVerb::Roles { name, role } => ("PUT", one(name, ""), Some(json!({"roles": role}))),
        UserVerb::Passwd { name, .. } => ("POST", one(name.as_deref().unwrap_or_default(), "/password"), Some(json!({"password": typed()?}))),
        UserVerb::Totp { name, remove } => (if *remove { "DELETE" } else { "POST" }, one(name, "/totp"), None),
        UserVerb::Disable { name } => ("POST", one(name, "/disable"), None),
        UserVerb::Enable { name } => ("POST", one(name, "/enable"), None),
        UserVerb::Remove { name } => ("DELETE", one(name, ""), None),
    };
    let method = method.parse().map_err(|_| Failure::new(Exit::Usage, "request.method", "not a method"))?;
    let server = Server::new(args.api.clone(), args.token.clone());
    let answer = block_on(server.send(method, &path, body.map(|body| body.to_string())))?;
    let mut answer = if answer.is_empty() { json!({"data": null}) } else { value(&answer)? };
    if output == Output::Json {
        answer["schema_version"] = json!(1);
        print(answer)?;
        return Ok(Exit::Ok);
    }
    let data = &answer["data"];
    match &args.verb {
        UserVerb::List => data.as_array().into_iter().flatten().try_for_each(|user| print(line(user)))?,
        UserVerb::Show { .. } => print(format!("{data:#}"))?,
        UserVerb::Totp { remove: false, .. } => {
            print(data["url"].as_str().unwrap_or_default())?;
            eprintln!("secret, shown once: {}", data["secret"].as_str().unwrap_or_default());
        }
        UserVerb::Remove { name } => print(format!("{name} removed"))?,
        _ => print(line(data))?,
    }
    Ok(Exit::Ok)
}

/// Of whoever is signed in. The password of before is asked for first, then the new one; from standard input, a line each.
fn own_password(args: &UserArgs, code: Option<&str>, output: Output) -> Result<Exit, Failure> {
    let (current, new) = (prompt::secret("password")?, prompt::secret("new password")?);
    let mut body = json!({"current_password": current.expose_secret(), "new_password": new.expose_secret()});
    if let Some(code) = code {
        body["mfa_token"] = code.into();
    }
    let url = format!("{}/api/v2/auth/password", args.api.trim_end_matches('/'));
    let server = Server::new(args.api.clone(), args.token.clone());
    block_on(async {
        let request = server.request(reqwest::Method::POST, &url).await?;
        answered(&url, request.header("content-type", "application/json").body(body.to_string())).await
    })?;
    match output {
        Output::Json => print(json!({"schema_version": 1, "api": args.api}))?,
        Output::Text => print("your password is another one; your other sessions have ended")?,
    }
    Ok(Exit::Ok)
}

fn line(user: &Value) -> String {
    let text = |name: &str| user[name].as_str().unwrap_or("-");
    let roles: Vec<&str> = user["roles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let state = if user["enabled"] == true { "enabled" } else { "disabled" };
    let code = if user["totp"] == true { "password and code" } else { "password" };
    let seen = user["last_sign_in_at"].as_str().map_or_else(|| "never signed in".to_owned(), |at| format!("signed in {at} from {}", text("last_sign_in_from")));
    let tenant = user["tenant"].as_str().map(|tenant| format!("  tenant {tenant}")).unwrap_or_default();
    format!("{}  {state:<8} {}{tenant}  {code}  {seen}", text("name"), roles.join(","))
}
