//! Row P16: latency of running deliveries while a component of 20 MB is uploaded and compiled, and while
//! the API is asked all the time, each against the same load alone; quiet and busy runs take turns.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bulkhead_tests::host::{Host, root};
use bulkhead_tests::http::Client;
use bulkhead_tests::tool::{ReceiverProcess, start_generator};
use wasm_encoder::{CodeSection, Function, FunctionSection, Instruction, Module, TypeSection, ValType};

use super::case::{Bench, STEADY, number};
use super::report::Report;

const UPLOAD: usize = 20_000_000;
/// Between two requests to the API.
const PACE: Duration = Duration::from_millis(5);

impl Bench {
    pub fn beside(&self, report: &mut Report) -> Result<()> {
        eprintln!("  beside");
        let receiver = ReceiverProcess::start(&self.tools, &[])?;
        self.clear()?;
        let host = Host::start(self.spec(&STEADY, &receiver)?)?;
        let component = component(report.count("beside.upload"))?;
        // The first run of a host is not like the later ones: files are made, memory grows.
        self.latency(&host, &receiver, |_| Ok(()))?;
        let quiet = self.latency(&host, &receiver, |_| Ok(()))?;
        let mut took = Duration::ZERO;
        let api = host.api;
        let uploading = self.latency(&host, &receiver, |_| {
            let start = Instant::now();
            upload(api, &component)?;
            took = start.elapsed();
            Ok(())
        })?;
        let again = self.latency(&host, &receiver, |_| Ok(()))?;
        let asking = self.latency(&host, &receiver, |running| ask(api, running))?;
        for (figure, value) in
            [("beside.quiet", (quiet + again) / 2.0), ("beside.upload", uploading / quiet), ("beside.took", took.as_secs_f64()), ("beside.api", asking / again)]
        {
            report.add(figure, value)?;
        }
        Ok(())
    }

    /// The p99 of one load, in milliseconds, with something going on beside it.
    fn latency(&self, host: &Host, receiver: &ReceiverProcess, beside: impl FnOnce(&AtomicBool) -> Result<()> + Send) -> Result<f64> {
        Client::new(receiver.addr).send("POST", "/-/reset", &[], b"")?;
        let seconds = self.seconds.to_string();
        let mut generator = start_generator(&self.tools, host.intake, &[STEADY.load, &["--seconds", &seconds]].concat())?;
        let running = AtomicBool::new(true);
        std::thread::scope(|scope| -> Result<()> {
            let beside = scope.spawn(|| beside(&running));
            let patience = Instant::now() + Duration::from_secs(self.seconds + 60);
            while generator.is_running()? && Instant::now() < patience {
                // A sampling interval, not a wait for something.
                std::thread::sleep(Duration::from_millis(20));
            }
            running.store(false, Ordering::Relaxed);
            beside.join().map_err(|_| anyhow::anyhow!("what ran beside the load panicked"))?
        })?;
        generator.report()?;
        host.settled(Duration::from_secs(60))?;
        number(&receiver.stats()?, "/latency/p99_ms")
    }
}

fn upload(api: SocketAddr, component: &[u8]) -> Result<()> {
    let headers = [("content-type", "application/wasm")];
    let answer = Client::new(api).limit(Duration::from_secs(120)).send("POST", "/api/integration/connectors", &headers, component)?;
    ensure!(answer.status / 100 == 2, "the upload was answered {}: {}", answer.status, answer.text());
    Ok(())
}

fn ask(api: SocketAddr, running: &AtomicBool) -> Result<()> {
    let mut client = Client::new(api);
    while running.load(Ordering::Relaxed) {
        for path in ["/api/integration/instances", "/api/integration/connectors", "/metrics"] {
            let answer = client.get(path)?;
            ensure!(answer.status == 200, "{path} was answered {}", answer.status);
            std::thread::sleep(PACE);
        }
    }
    Ok(())
}

/// A connector in a version of its own that holds 20 MB of code more, all of which is compiled.
fn component(nth: usize) -> Result<Vec<u8>> {
    let path = root().join("target/guests/webhook.wasm");
    let mut bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let version = br#""version":"0.1.0""#;
    let at = bytes.windows(version.len()).position(|window| window == version).context("a version in the manifest")?;
    bytes[at..at + version.len()].copy_from_slice(format!(r#""version":"7.1.{}""#, nth % 10).as_bytes());
    let module = module(UPLOAD - bytes.len());
    // A core module that nobody instantiates is a section of its own: 1, its size, the module.
    bytes.push(1);
    let mut size = module.len();
    while size >= 0x80 {
        bytes.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    bytes.push(size as u8);
    bytes.extend_from_slice(&module);
    Ok(bytes)
}

/// Functions without loops, each with constants of its own.
fn module(size: usize) -> Vec<u8> {
    const STEPS: usize = 300;
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([ValType::I64], [ValType::I64]);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while code.byte_len() < size {
        let mut body = Function::new([]);
        body.instruction(&Instruction::LocalGet(0));
        for step in 0..STEPS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            body.instruction(&Instruction::I64Const((state >> 1) as i64));
            body.instruction(if step % 2 == 0 { &Instruction::I64Xor } else { &Instruction::I64Mul });
        }
        body.instruction(&Instruction::End);
        functions.function(0);
        code.function(&body);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    module.finish()
}
