-- Prelude: reads a clock, which is a hash of an epoch `e` and a counter.
-- An epoch marks one life of the data. Whoever finds none makes one, of the caller's random candidate.
local function clock(key, counter, candidate)
  local epoch = redis.call('HGET', key, 'e')
  local count = tonumber(redis.call('HGET', key, counter))
  -- What this server cannot have written counts as absent, so that it mends itself.
  if not (count and count >= 0 and count < 9007199254740992) then
    count = 0
  end
  if not epoch or #epoch ~= 16 or string.find(epoch, '[^0-9a-f]') then
    epoch, count = candidate, 0
    redis.call('HSET', key, 'e', epoch, counter, '0')
  end
  return epoch, math.floor(count)
end
