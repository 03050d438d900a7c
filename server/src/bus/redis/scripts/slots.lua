-- Prelude: reads one user's slots, a hash of
--   <slot>     `<admitted ms> <expires ms>`
--   r:<slot>   `<expires ms>`: replaced, and not to be taken again by a renewal that comes late
--   connects   the times in ms of those admitted in the last minute, oldest first
-- What has expired, or is nothing of these, is dropped on sight: a node that crashed gives up nothing.
-- Returns the slots held in a list, when each was admitted, which were replaced, the connects, and when
-- each slot ends.
local MINUTE = 60000

local function read_slots(key, now, lease)
  local held, admitted, replaced, connects, ends = {}, {}, {}, {}, {}
  local hash = redis.call('HGETALL', key)
  for i = 1, #hash, 2 do
    local field, value = hash[i], hash[i + 1]
    if field == 'connects' then
      for at in string.gmatch(value, '%d+') do
        if math.abs(now - tonumber(at)) < MINUTE then
          connects[#connects + 1] = at
        end
      end
    else
      local gone = string.sub(field, 1, 2) == 'r:'
      local since, expires = string.match(value, '^(%d+) (%d+)$')
      if gone then
        expires = string.match(value, '^%d+$')
      end
      -- One that ends later than any lease was written before the clock was set back.
      if not expires or tonumber(expires) <= now or tonumber(expires) > now + lease then
        redis.call('HDEL', key, field)
      elseif gone then
        replaced[string.sub(field, 3)] = true
      else
        held[#held + 1] = field
        admitted[field] = math.min(tonumber(since), now)
        ends[field] = tonumber(expires)
      end
    end
  end
  return held, admitted, replaced, connects, ends
end
