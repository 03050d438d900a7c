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
use super::script_values::{from_lua, to_lua};

const SANDBOX: &str = include_str!("sandbox.lua");

/// What scripts are called in messages.
const NAME: &str = "@user_script";

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
        let core = Arc::clone(core);
        let string_library: Table = lua.globals().get("string")?;
        let format: Function = string_library.get("format")?;
        let answer = move |args: &MultiValue| -> mlua::Result<Reply> {
            Ok(match words(args, &format)? {
                Ok(args) => call(&core, &args),
                Err(refusal) => refusal.into(),
            })
        };
        let answer = Arc::new(answer);
        let tried = Arc::clone(&answer);
        // Called from Rust they do not take the place of the script that calls them last of all: its
        // line would be lost.
        let call = lua.create_function(move |lua, args: MultiValue| {
            let reply = answer(&args)?;
            if let Reply::Error(said) = reply {
                return Err(mlua::Error::external(Raised(said)));
            }
            to_lua(lua, &reply)
        })?;
        let try_call =
            lua.create_function(move |lua, args: MultiValue| to_lua(lua, &tried(&args)?))?;
        let raised = lua.create_function(|lua, problem: LuaValue| raised(lua, &problem))?;
        let place = lua.create_function(|lua, ()| Ok(line(lua)))?;
        let sandbox = lua.load(SANDBOX).set_name("@sandbox");
        let (run, globals, environment) = sandbox.call((call, try_call, raised, place))?;
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

/// A command's error on its way through a script.
#[derive(Debug, thiserror::Error)]
#[error("{}", String::from_utf8_lossy(.0))]
struct Raised(Bytes);

/// What Redis' scripts have instead of what was raised, if a command's error was.
fn raised(lua: &Lua, problem: &LuaValue) -> mlua::Result<LuaValue> {
    let LuaValue::Error(error) = problem else {
        return Ok(LuaValue::Nil);
    };
    let mut error: &mlua::Error = error;
    while let mlua::Error::CallbackError { cause, .. } = error {
        error = cause;
    }
    match error.downcast_ref::<Raised>() {
        Some(Raised(said)) => to_lua(lua, &Reply::Error(said.clone())),
        None => Ok(LuaValue::Nil),
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

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    fn answer(text: &str) -> Reply {
        let core = Arc::new(Mutex::new(Core::new(Settings::default())));
        let mut scripts = Scripts::new(&core).unwrap();
        let Reply::Bulk(name) = scripts.load(text.as_bytes()) else {
            panic!("{text}");
        };
        let caller = Caller {
            client: 1,
            db: 0,
            in_script: false,
        };
        let words = [
            Bytes::from_static(b"EVALSHA"),
            name,
            Bytes::from_static(b"0"),
        ];
        scripts
            .run(&core, caller, &words)
            .unwrap_or_else(Reply::from)
    }

    #[test]
    fn nothing_of_the_host_is_within_reach() {
        for outside in [
            "os",
            "io",
            "debug",
            "package",
            "require",
            "print",
            "load",
            "loadstring",
            "dofile",
            "getfenv",
            "setfenv",
            "collectgarbage",
            "newproxy",
            "coroutine",
            "_G",
            "xpcall",
        ] {
            let Reply::Error(said) = answer(&format!("return {outside}")) else {
                panic!("{outside} is there");
            };
            assert!(
                said.starts_with(b"ERR user_script:1: Script attempted"),
                "{said:?}"
            );
        }
        assert_eq!(answer("return math.random"), Reply::Null);
        assert_eq!(answer("return math.floor(1.5)"), Reply::Int(1));
    }

    #[test]
    fn an_answer_that_holds_itself_has_an_end() {
        let mut reply = answer("local t = {} t[1] = t return t");
        while let Reply::Array(mut items) = reply {
            reply = items.remove(0);
        }
        assert_eq!(reply, Reply::error("ERR reached lua stack limit"));
    }
}
