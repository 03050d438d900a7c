-- What scripts find around them: Redis' tables and what of Lua's has no side effects.
-- Is given: what runs a command and raises its error, what hands the error back instead, what reads an
-- error that was raised so, and what tells which line of the user's script runs.
-- Returns what runs a script, the globals, and the scripts' environment.
local call, try, raised, place = ...
local error, pcall, rawset, select, setmetatable, tostring, type, xpcall =
  error, pcall, rawset, select, setmetatable, tostring, type, xpcall
local find, match, sub = string.find, string.match, string.sub

local function readonly(table)
  return setmetatable({}, {
    __index = table,
    __newindex = function()
      error('Attempt to modify a readonly table', 2)
    end,
    __metatable = false,
  })
end

-- As Redis does it, an error without a code gets one.
local function error_table(text)
  if sub(text, 1, 1) == '-' then
    text = sub(text, 2)
    if not find(text, ' ', 1, true) then
      text = 'ERR ' .. text
    end
  else
    text = 'ERR ' .. text
  end
  return { err = match(text, '^[\r\n]*(.-)[\r\n]*$') }
end

local function reply_maker(make)
  return function(...)
    if select('#', ...) ~= 1 or type((...)) ~= 'string' then
      return error_table('wrong number or type of arguments')
    end
    return make((...))
  end
end

local redis = {
  call = call,
  pcall = try,
  error_reply = reply_maker(function(text)
    return error_table(sub(text, 1, 1) == '-' and text or '-' .. text)
  end),
  status_reply = reply_maker(function(text)
    return { ok = text }
  end),
}

-- Redis hands errors of commands to scripts as their text.
local function caught(ok, problem, ...)
  if not ok then
    problem = raised(problem) or problem
    return ok, type(problem) == 'table' and problem.err or problem
  end
  return ok, problem, ...
end

local globals = {
  _VERSION = _VERSION, assert = assert, error = error, ipairs = ipairs, next = next, pairs = pairs,
  rawequal = rawequal, rawget = rawget, rawset = rawset, select = select, tonumber = tonumber,
  tostring = tostring, type = type, unpack = unpack,
  pcall = function(...)
    return caught(pcall(...))
  end,
  math = readonly(math), redis = readonly(redis), string = readonly(string), table = readonly(table),
}
-- Chance would make one seed two runs.
math.random, math.randomseed = nil, nil
setmetatable(globals, {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
})

local function located(problem)
  problem = raised(problem) or problem
  if type(problem) ~= 'table' then
    problem = { err = 'ERR ' .. tostring(problem) }
  end
  local line = place()
  if line then
    rawset(problem, 'line', line)
  end
  return problem
end

local function run(script)
  return xpcall(script, located)
end

return run, globals, readonly(globals)
