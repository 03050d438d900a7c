-- Takes a connection slot. The answer: `granted`, `full` or `often`.
-- KEYS: the user's slots. ARGV: the slot, the one that it replaces or nothing, the lease in ms, how
-- many slots a user may hold, how many connects a minute may see.
local key, slot, replaces, lease = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local slots_max, connects_max = tonumber(ARGV[4]), tonumber(ARGV[5])
local now = now_ms()
local held, admitted, _, connects = read_slots(key, now, lease)
local since, expires = digits(now), digits(now + lease)
if admitted[slot] then
  -- The same claim again: it is one connection, admitted when it was.
  since = digits(admitted[slot])
else
  if #connects >= connects_max then
    return 'often'
  end
  if not admitted[replaces] and #held >= slots_max then
    return 'full'
  end
  if replaces ~= '' and replaces ~= slot then
    -- Marked even if it is not held: its node may have been cut off, and would register it later.
    redis.call('HDEL', key, replaces)
    redis.call('HSET', key, 'r:' .. replaces, expires)
  end
  connects[#connects + 1] = since
  redis.call('HSET', key, 'connects', table.concat(connects, ' '))
end
redis.call('HSET', key, slot, since .. ' ' .. expires)
redis.call('PEXPIRE', key, digits(math.max(lease, MINUTE)))
return 'granted'
