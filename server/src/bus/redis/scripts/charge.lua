-- Counts a call unless its sliding window is full. The answer: 0, or after how many ms to try again.
-- KEYS: the latest admissions in ms, newest first; as many as the limit counts make the window exact.
-- ARGV: the limit, the window in ms, `1` if the call was admitted already.
local now, limit, window = now_ms(), tonumber(ARGV[1]), tonumber(ARGV[2])
if ARGV[3] ~= '1' then
  local oldest = tonumber(redis.call('LINDEX', KEYS[1], digits(limit - 1)))
  -- An admission far ahead is one from before the clock was set back, and must not lock the user out.
  if oldest and math.abs(now - oldest) < window then
    return oldest + window - now
  end
end
redis.call('LPUSH', KEYS[1], digits(now))
redis.call('LTRIM', KEYS[1], '0', digits(limit - 1))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 0
