-- Holds on to a node's slots of one user, and takes those again that are missing. The answer: for each
-- slot to be given up its place among those named, counting from 0, and `replaced` or `excess`.
-- KEYS: the user's slots. ARGV: the lease in ms, how many slots a user may hold, how many ms a slot of a
-- node that lives has left at least; each slot and the ms since its connection was admitted.
local key, lease, slots_max = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local now = now_ms()
local held, admitted, replaced, _, ends = read_slots(key, now, lease)
local alive = tonumber(ARGV[3])
local expires = digits(now + lease)
local lost, place = {}, {}
for i = 4, #ARGV, 2 do
  local slot = ARGV[i]
  if replaced[slot] then
    lost[#lost + 1] = digits((i - 4) / 2)
    lost[#lost + 1] = 'replaced'
  else
    if not admitted[slot] then
      held[#held + 1] = slot
      admitted[slot] = math.max(0, now - tonumber(ARGV[i + 1]))
    end
    place[slot] = digits((i - 4) / 2)
    ends[slot] = now + lease
    redis.call('HSET', key, slot, digits(admitted[slot]) .. ' ' .. expires)
  end
end
redis.call('PEXPIRE', key, digits(math.max(lease, MINUTE)))
-- A node that does not renew is gone or cut off: its slots cost nobody else theirs.
local living = {}
for i = 1, #held do
  if ends[held[i]] - now >= alive then
    living[#living + 1] = held[i]
  end
end
held = living
if #held > slots_max then
  -- Every node finds the same newest, and each tells its own; they stay listed until they are closed.
  table.sort(held, function(a, b)
    if admitted[a] ~= admitted[b] then
      return admitted[a] < admitted[b]
    end
    return a < b
  end)
  for i = slots_max + 1, #held do
    if place[held[i]] then
      lost[#lost + 1] = place[held[i]]
      lost[#lost + 1] = 'excess'
    end
  end
end
return lost
