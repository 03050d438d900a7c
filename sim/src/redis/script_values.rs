//! Replies as Lua values and Lua values as replies, with all that is lost between them in Redis too.

use bytes::Bytes;
use mlua::{Lua, Table, Value as LuaValue};

use super::reply::Reply;

/// How deep a script's answer may be nested.
const DEPTH_MAX: usize = 128;

/// What a script gets as a reply: always the old protocol's.
pub(super) fn to_lua(lua: &Lua, reply: &Reply) -> mlua::Result<LuaValue> {
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
pub(super) fn from_lua(value: &LuaValue, depth: usize) -> Reply {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_as_a_processor_cuts_them() {
        for (number, expected) in [
            (1.9, 1),
            (-1.9, -1),
            (1e300, i64::MIN),
            (f64::NAN, i64::MIN),
            (-9_223_372_036_854_775_808.0, i64::MIN),
        ] {
            assert_eq!(truncated(number), expected);
        }
    }
}
