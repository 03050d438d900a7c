-- Prelude: Redis' own clock, since those of the nodes differ.
local function now_us()
  local now = redis.call('TIME')
  return tonumber(now[1]) * 1000000 + tonumber(now[2])
end

local function now_ms()
  return math.floor(now_us() / 1000)
end

-- Lua would write large numbers with an exponent.
local function digits(number)
  return string.format('%.0f', number)
end
