//! The server's own Lua scripts, run by the Lua that Redis has (5.1), in a sandbox like Redis'.
//!
//! A script sees the data, its keys and its arguments, and nothing of the host: no files, no clock but
//! Redis', no chance.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, LuaOptions, LuaString, MultiValue, StdLib, Table, Value as LuaValue};
use sha1::{Digest as _, Sha1};

use super::commands::Run;
use super::core::{Caller, Core};
use super::refusal::Refusal;
use super::reply::Reply;
use super::resp::integer;

const SANDBOX: &str = include_str!("sandbox.lua");

/// What scripts are called in messages.
const NAME: &str = "@user_script";

/// The most memory that scripts may take together.
const MEMORY_MAX: usize = 256 << 20;

/// How deep a script's answer may be nested.
const DEPTH_MAX: usize = 128;

/// Why scripts cannot be run at all: a fault of the sandbox, not of a script.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox of the simulated Redis does not start; mend sandbox.lua: {0}")]
pub struct SandboxError(#[from] mlua::Error);

/// The scripts that were loaded, and the Lua that runs them.
#[derive(Debug)]
pub(super) struct Scripts {
    lua: Lua,
    loaded: BTreeMap<String, Function>,
    run: Function,
    globals: Table,
    environment: Table,
}

impl Scripts {
    /// A Lua whose scripts call commands on `core`.
    pub(super) fn new(core: &Arc<Mutex<Core>>) -> Result<Self, SandboxError> {
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(false))?;
        lua.set_memory_limit(MEMORY_MAX)?;
        let core = Arc::clone(core);
        let string_library: Table = lua.globals().get("string")?;
        let format: Function = string_library.get("format")?;
        let invoke = lua.create_function(move |lua, args: MultiValue| {
            let reply = match words(&args, &format)? {
                Ok(args) => call(&core, &args),
                Err(refusal) => refusal.into(),
            };
            let failed = matches!(reply, Reply::Error(_));
            Ok((failed, to_lua(lua, &reply)?))
        })?;
        let place = lua.create_function(|lua, ()| Ok(line(lua)))?;
        let sandbox = lua.load(SANDBOX).set_name("@sandbox");
        let (run, globals, environment) = sandbox.call((invoke, place))?;
        Ok(Self {
            lua,
            loaded: BTreeMap::new(),
            run,
            globals,
            environment,
        })
    }

    /// Forgets all scripts, as a restart does.
    pub(super) fn forget(&mut self) {
        self.loaded.clear();
    }

    /// SCRIPT LOAD.
    pub(super) fn load(&mut self, text: &[u8]) -> Reply {
        let mut name = String::with_capacity(40);
        for byte in Sha1::digest(text) {
            name.push_str(&format!("{byte:02x}"));
        }
        if !self.loaded.contains_key(&name) {
            let chunk = self.lua.load(text).set_name(NAME).set_mode(ChunkMode::Text);
            match chunk
                .set_environment(self.environment.clone())
                .into_function()
            {
                Ok(function) => drop(self.loaded.insert(name.clone(), function)),
                Err(error) => return refused_text(&error),
            }
        }
        Reply::Bulk(Bytes::from(name))
    }

    /// EVALSHA. `core` must not be held meanwhile.
    pub(super) fn run(
        &self,
        core: &Mutex<Core>,
        caller: Caller,
        args: &[Bytes],
    ) -> Result<Reply, Refusal> {
        let [_, name, keys, rest @ ..] = args else {
            return Err(Refusal::Arity("evalsha"));
        };
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        // A name of another length is no name, whatever else is said.
        if name.len() != 40 {
            return Err(Refusal::NoScript);
        }
        let keys = integer(keys).ok_or(Refusal::NotInteger)?;
        let keys = usize::try_from(keys).map_err(|_| Refusal::KeysNegative)?;
        let (keys, rest) = rest.split_at_checked(keys).ok_or(Refusal::KeysTooMany)?;
        let function = self.loaded.get(&name).ok_or(Refusal::NoScript)?;
        {
            let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
            let in_script = true;
            core.script = Some(Caller {
                in_script,
                ..caller
            });
            core.script_wrote = false;
        }
        let answer = self.answer(function, keys, rest);
        let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
        core.script = None;
        Ok(match answer {
            Ok((true, value)) => from_lua(&value, 0),
            Ok((false, problem)) => failed(&name, &problem),
            Err(error) => Reply::error(format!("ERR Error running script {name}, {error}")),
        })
    }

    fn answer(
        &self,
        function: &Function,
        keys: &[Bytes],
        args: &[Bytes],
    ) -> mlua::Result<(bool, LuaValue)> {
        self.globals.raw_set("KEYS", self.texts(keys)?)?;
        self.globals.raw_set("ARGV", self.texts(args)?)?;
        self.run.call(function)
    }

    fn texts(&self, texts: &[Bytes]) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(texts.len(), 0)?;
        for text in texts {
            table.raw_push(self.lua.create_string(text)?)?;
        }
        Ok(table)
    }
}

/// Why a text is no script.
fn refused_text(error: &mlua::Error) -> Reply {
    let message = if let mlua::Error::SyntaxError { message, .. } = error {
        message.clone()
    } else {
        error.to_string()
    };
    Reply::error(format!(
        "ERR Error compiling script (new function): {message}"
    ))
}

/// The line of the user's script that runs, if one does.
fn line(lua: &Lua) -> Option<usize> {
    /// Deeper than any script of ours calls.
    const LEVELS_MAX: usize = 200;
    for level in 0..LEVELS_MAX {
        let found = lua.inspect_stack(level, |debug| {
            let users = debug.source().source.as_deref() == Some(NAME);
            users.then(|| debug.current_line()).flatten()
        })?;
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The words of a command that a script calls.
fn words(args: &MultiValue, format: &Function) -> mlua::Result<Result<Vec<Bytes>, Refusal>> {
    if args.is_empty() {
        return Ok(Err(Refusal::ScriptNoArgs));
    }
    let mut words = Vec::with_capacity(args.len());
    for arg in args {
        words.push(if let LuaValue::String(text) = arg {
            Bytes::copy_from_slice(&text.as_bytes())
        } else if let LuaValue::Integer(_) | LuaValue::Number(_) = arg {
            let text: LuaString = format.call(("%.17g", arg))?;
            Bytes::copy_from_slice(&text.as_bytes())
        } else {
            return Ok(Err(Refusal::ScriptArgs));
        });
    }
    Ok(Ok(words))
}

/// Runs a command for the script that runs.
fn call(core: &Mutex<Core>, args: &[Bytes]) -> Reply {
    let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(mut caller) = core.script else {
        return Refusal::NotInScript.into();
    };
    let spec = match core.admit_in_script(args) {
        Ok(spec) => spec,
        Err(refusal) => return refusal.into(),
    };
    let Run::Data(run) = spec.run else {
        return Refusal::NotInScript.into();
    };
    core.script_wrote |= spec.writes;
    let reply = run(&mut core, &mut caller, args).unwrap_or_else(Reply::from);
    core.script = Some(caller);
    reply
}

/// What a script gets as a reply: always the old protocol's.
fn to_lua(lua: &Lua, reply: &Reply) -> mlua::Result<LuaValue> {
    let list = |items: &mut dyn Iterator<Item = &Reply>| {
        let table = lua.create_table()?;
        for item in items {
            table.raw_push(to_lua(lua, item)?)?;
        }
        Ok(LuaValue::Table(table))
    };
    let named = |name: &str, text: &[u8]| {
        let table = lua.create_table()?;
        table.raw_set(name, lua.create_string(text)?)?;
        Ok(LuaValue::Table(table))
    };
    match reply {
        Reply::Status(text) => named("ok", text),
        Reply::Error(text) => named("err", text),
        // Lua has no other numbers.
        #[expect(clippy::cast_precision_loss, reason = "as in Redis")]
        Reply::Int(number) => Ok(LuaValue::Number(*number as f64)),
        Reply::Bulk(bytes) => Ok(LuaValue::String(lua.create_string(bytes)?)),
        Reply::Null | Reply::NullArray => Ok(LuaValue::Boolean(false)),
        Reply::Array(items) | Reply::Push(items) | Reply::Each(items) => list(&mut items.iter()),
        Reply::Map(pairs) => list(&mut pairs.iter().flat_map(|(key, value)| [key, value])),
        Reply::Pairs(pairs) => {
            let table = lua.create_table()?;
            for (key, value) in pairs {
                table.raw_push(list(&mut [key, value].into_iter())?)?;
            }
            Ok(LuaValue::Table(table))
        }
    }
}

/// What a client gets of what a script returns.
fn from_lua(value: &LuaValue, depth: usize) -> Reply {
    if let LuaValue::String(text) = value {
        Reply::Bulk(Bytes::copy_from_slice(&text.as_bytes()))
    } else if let LuaValue::Integer(number) = value {
        Reply::Int(*number)
    } else if let LuaValue::Number(number) = value {
        Reply::Int(truncated(*number))
    } else if let LuaValue::Boolean(true) = value {
        Reply::Int(1)
    } else if let LuaValue::Table(table) = value {
        from_table(table, depth)
    } else {
        Reply::Null
    }
}

/// As a processor truncates: what does not fit is the least number.
fn truncated(number: f64) -> i64 {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if (-BEYOND..BEYOND).contains(&number) {
        #[expect(clippy::cast_possible_truncation, reason = "it fits")]
        let whole = number as i64;
        whole
    } else {
        i64::MIN
    }
}

fn from_table(table: &Table, depth: usize) -> Reply {
    if depth >= DEPTH_MAX {
        return Reply::error("ERR reached lua stack limit");
    }
    let text = |name: &str| match table.raw_get(name) {
        Ok(LuaValue::String(text)) => Some(Bytes::copy_from_slice(&text.as_bytes())),
        Ok(_) | Err(_) => None,
    };
    if let Some(error) = text("err") {
        return Reply::Error(error);
    }
    if let Some(status) = text("ok") {
        return Reply::Status(status);
    }
    let mut items = Vec::new();
    // The first nil ends it.
    for place in 1.. {
        match table.raw_get(place) {
            Ok(LuaValue::Nil) | Err(_) => break,
            Ok(item) => items.push(from_lua(&item, depth + 1)),
        }
    }
    Reply::Array(items)
}

/// What a client is told of a script that failed.
fn failed(name: &str, problem: &LuaValue) -> Reply {
    let LuaValue::Table(problem) = problem else {
        return Reply::error(format!(
            "ERR Error running script {name}, execution failure"
        ));
    };
    let error = match problem.raw_get("err") {
        Ok(LuaValue::String(error)) => error.as_bytes().to_vec(),
        Ok(_) | Err(_) => b"ERR unknown error".to_vec(),
    };
    let line: Option<usize> = problem.raw_get("line").unwrap_or_default();
    let place = line.map(|line| format!(" script: {name}, on {NAME}:{line}."));
    Reply::Error(Bytes::from(
        [error, place.unwrap_or_default().into_bytes()].concat(),
    ))
}
